"""What every command said, as --json, when version 0.1.0 said it: over a sound project and over broken copies of it.

`tests/data/0.1.0` is a project that version 0.1.0 made, with a release in a layout. `cases.py` breaks it in forty ways and
lists the commands. `recorded.json.gz` holds what 0.1.0 answered and is never written anew: `python -m tests.golden record`
refuses to. What a later version answers differently on purpose stands in `differences.py`, with the reason; the test fails for
any other difference.

Compared are exit status, keys, and every value but texts for people, times, this machine, and a release's digest and bytes.
"""
