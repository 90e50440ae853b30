"""Talking to servers: when to ask again, streams, the Hub's client. Imported by sources and stores only."""
