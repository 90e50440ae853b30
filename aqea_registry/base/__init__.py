"""Tools that know nothing of the project's subject: findings, files, paths, guarded text formats. No network, no numpy."""
