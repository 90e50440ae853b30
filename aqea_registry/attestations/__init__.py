"""Statements and confirmations that refer to digests."""
