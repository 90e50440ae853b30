"""The nouns: digests, manifests, pins, pair sets, metrics, releases, findings.

No network, no clock, no printing. Only `files` touches the disk; every other module computes on values.
"""
