"""The way in: sources of pinned bytes, and the verb `pin`. A source is never trusted; its bytes are checked against the pin.

Open `kinds` first: what a source can be asked, which one a line of params.yaml names, and each kind. `fetch` brings the files
of a pin from the first source that has them. `resolve` makes a pin of a catalogue entry, `pin` writes and checks the lock.
`rows` reads the rows of a dataset, and is pure. `mteb_tasks` says what a task of MTEB reads, `open_task` loads it over a folder
of pinned files. `describe` makes an entry of what a person names, for `init`.

>>> from pathlib import Path
>>> from aqea_registry.remote.hub_client import Repository
>>> from aqea_registry.sources.kinds import open_source
>>> repository = Repository(name="talk", kind="dataset", id="org/talk", commit="0" * 40)
>>> source = open_source("directory:mirror/{id}", Path("/project"), repository)
>>> source.present(), source.hint
(False, 'put the files into /project/mirror/org/talk')
"""
