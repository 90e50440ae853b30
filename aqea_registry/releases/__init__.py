"""Card, package. Verbs package, publish, pull, confirm, mark."""
