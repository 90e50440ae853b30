"""Every number in a paper traces to bytes that cannot change, and anyone can make those bytes again."""

__version__ = "0.1.0"
