"""Talking to servers, for sources and stores: when to ask again, bytes over connections that break, the Hub's client.

Open `retry` first: `with_retries` is the one rule of when a request is made again, when a silent server is given up, and
which error it ends in; clients call it, nobody else. `UploadBody` and `Download` are the bytes of one request after another,
checked on the way out and resumed on the way in. `answers` says what came in its place, without secrets. `hub_client` is the
one client of the Hugging Face Hub, and `hub_writer` what it changes there; those of GitHub and of OCI registries stand in
`stores`, which alone needs them. All but `answers` have effects: they sleep, read files and ask servers.

>>> from aqea_registry.remote.retry import wait_before
>>> [wait_before(attempt, None) for attempt in range(3)], wait_before(0, "7"), wait_before(0, "3600")
([0.5, 1.0, 2.0], 7.0, 310.0)
"""
