"""The page, its figures and every other plot. Verb report."""
