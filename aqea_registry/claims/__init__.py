"""Ledgers. Verbs claims check, import, export, lint."""
