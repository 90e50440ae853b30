"""Print what happens now, as lines of the table."""

import tempfile
from pathlib import Path

from tests.hostile.places import FILES, PLACES, absent, codes_of, make_project

with tempfile.TemporaryDirectory() as folder:
    root = Path(folder)
    make_project(root)
    for kind, place in sorted(PLACES.items()):
        sound = place.read(root, place.content(root) or absent) if place.fixed else None
        for path in sorted((FILES / kind).iterdir()):
            said = place.read(root, path.read_bytes())
            print(f"{kind}/{path.name}\t{said.status}\t{codes_of(said, sound)}")
