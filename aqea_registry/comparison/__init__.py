"""Verb compare: verdict, measures, diagnosis; changes between releases."""
