"""Paths out of files: one spelling, and never outside their root."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.base.files import UnsafePath, inside, locate, safe_path

GOOD = (
    "a",
    "a/b.json",
    "training/data/sts12_e5large_1024d_pairs.json",
    "..a",
    "a..",
    ".hidden",
    "a b",
    " ",
    "ünï",
    "*",
    "-",
    "C/:",
    "ab:c/d",
)

BAD = {
    "": "empty",
    "/": "absolute",
    "/etc/passwd": "absolute",
    "//host/share": "absolute",
    "..": "climbs",
    "../a": "climbs",
    "a/../b": "climbs",
    "a/..": "climbs",
    ".": "components",
    "./a": "components",
    "a/.": "components",
    "a/./b": "components",
    "a//b": "components",
    "a/": "components",
    "a\0b": "NUL",
    "a\\b": "backslash",
    "..\\a": "backslash",
    "C:": "drive",
    "c:/a": "drive",
    "C:a": "drive",
    "a\nb": "control",
    "a\rb": "control",
    "a\x7fb": "control",
    "\x1b[2J": "control",
}


@pytest.mark.parametrize("text", GOOD)
def test_a_plain_relative_path_is_safe(text: str) -> None:
    assert safe_path(text) == text


@pytest.mark.parametrize(("text", "reason"), BAD.items())
def test_anything_else_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(UnsafePath, match=reason):
        safe_path(text)


@pytest.mark.parametrize("text", ["\ud800", "a/\udcff.json"])
def test_a_path_that_has_no_utf8_is_refused(text: str) -> None:
    """A JSON escape or a file name that is not UTF-8 makes half a surrogate pair; no digest can be taken over it."""
    with pytest.raises(UnsafePath):
        safe_path(text)


@given(st.text(st.sampled_from("./\\a:\0\n C")) | st.text())
def test_what_is_safe_stays_below_its_root(text: str) -> None:
    try:
        safe_path(text)
    except UnsafePath:
        return
    joined = os.path.normpath(f"/root/{text}")
    assert joined == f"/root/{text}"
    assert joined.startswith("/root/")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a file, a folder, and a neighbour outside."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("x")
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "file").write_text("x")
    return root


def test_files_below_the_root_are_inside_whether_there_or_not(root: Path) -> None:
    assert inside(root, "folder/file") == root / "folder" / "file"
    assert inside(root, "folder/new/deep") == root / "folder" / "new" / "deep"


def test_links_that_stay_are_followed(root: Path) -> None:
    (root / "file").symlink_to("folder/file")
    (root / "other").symlink_to(root / "folder")
    assert inside(root, "file").read_text() == "x"
    assert inside(root, "other/file").read_text() == "x"
    assert inside(root, "other/new") == root / "other" / "new"


@pytest.mark.parametrize("target", ["../outside/secret", "/etc/passwd", "..", "folder/../../outside/secret", "/nowhere/at/all"])
def test_a_link_that_leaves_is_refused(root: Path, target: str) -> None:
    (root / "link").symlink_to(target)
    with pytest.raises(UnsafePath, match="symbolic link"):
        inside(root, "link")


def test_a_link_that_leaves_is_refused_on_the_way(root: Path) -> None:
    (root / "link").symlink_to(root.parent / "outside")
    (root / "chain").symlink_to("link")
    for path in ("link/secret", "link/new", "chain/secret"):
        with pytest.raises(UnsafePath, match="symbolic link"):
            inside(root, path)


def test_a_neighbour_with_the_same_beginning_is_outside(root: Path) -> None:
    neighbour = root.parent / "root2"
    neighbour.mkdir()
    (root / "link").symlink_to(neighbour)
    with pytest.raises(UnsafePath):
        inside(root, "link/a")


def test_links_in_a_circle_do_not_hang(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    assert not inside(root, "a").exists()


def test_the_root_may_be_a_link_itself(root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root)
    assert inside(link, "folder/file") == link / "folder" / "file"


def test_unsafe_text_is_refused_before_the_disk_is_asked(root: Path) -> None:
    for text in ("../outside/secret", "/etc/passwd", ""):
        with pytest.raises(UnsafePath):
            inside(root, text)


def test_many_paths_are_located_as_each_alone(root: Path) -> None:
    (root / "link").symlink_to("folder/file")
    (root / "folder/up").symlink_to("..")
    (root / "out").symlink_to(root.parent / "outside")
    (root / "secret").symlink_to("out/secret")
    (root / "dangling").symlink_to("nowhere")
    (root / "circle").symlink_to("circle")
    there = {"folder/file": 1, "link": 1, "folder/up/link": 1, "folder/up/folder/file": 1}
    absent = ("absent", "folder/absent", "nowhere/a", "nowhere/b", "dangling", "folder/file/below", "circle", "n" * 300)
    unsafe = ("out", "out/secret", "out/absent", "secret", "folder/up/out/secret", "../outside/secret", "/etc/passwd", "a//b")
    paths, sizes, errors = locate(root, [*absent, *there, *unsafe])
    assert paths == {path: str(root / path) for path in there}
    assert {path: sizes[joined] for path, joined in paths.items()} == there
    assert {path for path, error in errors.items() if isinstance(error, UnsafePath)} == set(unsafe)
    assert {path for path, error in errors.items() if isinstance(error, OSError)} == set(absent)
    for path in (*there, *absent):
        assert inside(root, path) == root / path
    for path in unsafe:
        with pytest.raises(UnsafePath, match=re.escape(str(errors[path]))):
            inside(root, path)


def test_a_million_absent_files_share_one_error(root: Path) -> None:
    _, _, errors = locate(root, ["a", "b", "folder/c"])
    assert len({id(error) for error in errors.values()}) == 1
    assert not hasattr(errors["a"], "filename") or errors["a"].filename is None
