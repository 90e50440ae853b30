"""The verb verify: a list of digests, a checkout or a release, held against its bytes. Nothing is changed.

Open `verify_list` first: it hashes each listed file once and needs `base` alone. `verify_folder` adds what lies in a folder
and no list names, and reads what the Hub's client keeps of its downloads. `verify_project` checks everything that a checkout
records about itself, and `recompute` in it gives scores from a checked chain; `verify_results` checks vector sets and
results. `verify_release` checks a release in its store or as it was downloaded, and the stores against receipts. All read
files or ask stores; what they decide with is pure: `surplus` here, `why_other` in `base`, the values' own checks in `vectors`
and `project`.

>>> from pathlib import Path
>>> from aqea_registry.base.files import FileDigest
>>> from aqea_registry.verification.verify_list import digest_findings
>>> found = FileDigest(sha256="1" * 64, size=5)
>>> [finding] = digest_findings(Path("."), {"a.json": "0" * 64}, {"a.json": found})
>>> finding.code, finding.subject, finding.message
('mismatch', 'a.json', 'the bytes are not those that the list names')
"""
