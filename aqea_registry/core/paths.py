"""Paths that come out of files: relative, POSIX, and never outside their root."""

from __future__ import annotations

import os
from pathlib import Path


class UnsafePath(ValueError):
    """A path that must not be followed; the message is the reason."""


def safe_path(text: str) -> str:
    """Return `text` if it is a plain relative POSIX path, in its one spelling.

    Raises UnsafePath for absolute paths, `..`, `.`, empty components, backslashes, drive letters and control characters.
    """
    if not text:
        raise UnsafePath("the path is empty")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UnsafePath("the path is not UTF-8") from error
    if "\0" in text:
        raise UnsafePath("the path holds a NUL byte")
    if "\\" in text:
        raise UnsafePath("the path holds a backslash")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise UnsafePath("the path holds a control character")
    if text.startswith("/"):
        raise UnsafePath("the path is absolute")
    if len(text) > 1 and text[1] == ":" and text[0].isalpha():
        raise UnsafePath("the path starts with a drive letter")
    if ".." in text.split("/"):
        raise UnsafePath("the path climbs out with '..'")
    if any(part in {"", "."} for part in text.split("/")):
        raise UnsafePath("the path has empty or '.' components")
    return text


def inside(root: Path, relative: str) -> Path:
    """Join a checked relative path to `root`; raise UnsafePath if a symbolic link on the way leaves `root`."""
    path = root / safe_path(relative)
    real_root = os.path.realpath(root)
    if os.path.commonpath([real_root, os.path.realpath(path)]) != real_root:
        raise UnsafePath("a symbolic link leads out of the root")
    return path
