"""The store in an OCI registry, as docker, skopeo and oras speak to it.

Open `store` first: the tag that is looked at before and after it is written, and the attachments. `http` is the client of one
repository, and finds docker's login for it.

>>> from aqea_registry.stores.registry.http import token_server
>>> token_server('Bearer realm="https://auth.example/token",service="example",scope="repository:a/b:pull"')
('https://auth.example/token', {'service': 'example', 'scope': 'repository:a/b:pull'})
"""
