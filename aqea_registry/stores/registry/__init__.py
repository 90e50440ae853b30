"""The store in an OCI registry, as docker, skopeo and oras speak to it.

Open `store` first: the tag that is looked at before and after it is written, and the attachments. `http` is the client of one
repository; `login` finds docker's login for it, by asking a credential helper where one is configured.

>>> from aqea_registry.stores.registry.login import token_server
>>> token_server('Bearer realm="https://auth.example/token",service="example",scope="repository:a/b:pull"')
('https://auth.example/token', {'service': 'example', 'scope': 'repository:a/b:pull'})
"""
