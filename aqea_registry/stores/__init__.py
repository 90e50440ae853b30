"""Stores, by their names."""
