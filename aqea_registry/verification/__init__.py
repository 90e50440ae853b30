"""Verb verify: a list, a checkout, a release; scores recomputed from a checked chain."""
