"""Documents that somebody else wrote, as badly as can be: a finding or one line, in little time and memory.

`files/KIND/NAME` are the documents, `table.tsv` says in a line each what must happen: the exit status, and the codes of the
findings that the sound document has not. `python -m tests.hostile` prints the lines as they are now.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import sampling
from tests.hostile.places import FILES, PLACES, TABLE, Said, absent, codes_of, make_project

EXPECTED = dict(line.split("\t", 1) for line in TABLE.read_text().splitlines())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile")
    make_project(root)
    for kind, place in PLACES.items():  # what is imported now is not counted later
        place.read(root, next((FILES / kind).iterdir()).read_bytes(), nullcontext())
    return root


@pytest.fixture(scope="module")
def sound(root: Path) -> dict[str, Said]:
    """What is said of the documents as they are."""
    return {kind: place.read(root, place.content(root) or absent) for kind, place in PLACES.items() if place.fixed}


def test_every_file_has_its_line() -> None:
    assert sorted(EXPECTED) == sorted(path.relative_to(FILES).as_posix() for path in FILES.glob("*/*"))
    assert {name.partition("/")[0] for name in EXPECTED} == {*PLACES}


@pytest.mark.parametrize("kind", PLACES)
def test_a_hostile_document_is_told_and_harms_nothing(root: Path, sound: dict[str, Said], kind: str) -> None:
    wrong = {}
    for path in sorted((FILES / kind).iterdir()):
        said = PLACES[kind].read(root, path.read_bytes())
        actual = f"{said.status}\t{codes_of(said, sound.get(kind))}"
        if actual != EXPECTED[f"{kind}/{path.name}"]:
            wrong[path.name] = actual, EXPECTED[f"{kind}/{path.name}"]
    assert not wrong


def _socket(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


def _large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


NOT_FILES: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a socket": _socket,
    "a folder": Path.mkdir,
    "an endless file": lambda path: path.symlink_to("/dev/zero"),
    "a link in a circle": lambda path: path.symlink_to(path.name),
    "a file of a terabyte": _large,
}


@pytest.mark.parametrize("kind", [kind for kind, place in PLACES.items() if place.on_disk])
@pytest.mark.parametrize("what", NOT_FILES)
def test_what_is_not_a_file_is_told_at_once(root: Path, sound: dict[str, Said], kind: str, what: str) -> None:
    said = PLACES[kind].read(root, NOT_FILES[what])
    assert said.status in (1, 2, 3)
    if said.status == 1 and kind != "list":
        assert codes_of(said, sound.get(kind)) != "-", "it is told"


@pytest.mark.parametrize("kind", PLACES)
def test_any_bytes_give_a_finding_or_one_line(root: Path, kind: str) -> None:
    place = PLACES[kind]
    sound = place.content(root) or next((FILES / kind).iterdir()).read_bytes()
    pieces = st.sampled_from([bytes([byte]) for byte in b'\0\xff"{}[]:,-&*~\n'] + [b"", b"..", b"1e9", b"<<: "])
    changed = st.builds(
        lambda start, length, piece: sound[:start] + piece + sound[start + length :],
        st.integers(0, len(sound)),
        st.integers(0, 40),
        pieces | st.binary(max_size=8),
    )

    @settings(max_examples=sampling.times(40, 12), deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.binary(max_size=200) | changed)
    def check(content: bytes) -> None:
        assert place.read(root, content).status in range(6)

    check()
