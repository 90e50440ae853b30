"""A checkout as one snapshot: params, lock, dvc.lock, manifest, paths, git. Verb manifest."""
