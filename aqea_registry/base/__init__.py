"""Tools that know nothing of the project's subject. No network, no numpy.

Start with `findings`: what is wrong is data with a closed list of codes; exceptions mean that something could not be done.
`files` hashes, reads and writes files, all or nothing, and checks paths; `extras` imports optional packages. Pure are `strict`
(bounded YAML and JSON), `sha256_list` (lists as `sha256sum` writes them), `recognise` (what a file is that is not what its name
says), `references` (STORE-REFs) and `progress`.

>>> from aqea_registry.base.strict import load_yaml
>>> load_yaml(b"models: {minilm: {dimension: 384}}", "params.yaml")
{'models': {'minilm': {'dimension': 384}}}
>>> load_yaml(b"{a: 1, a: 2}", "params.yaml")
Traceback (most recent call last):
    ...
aqea_registry.base.findings.BadConfiguration: params.yaml: line 1, column 8: the key 'a' appears twice
"""
