"""Project in, artefacts out. Verbs generate, export."""
