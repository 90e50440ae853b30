"""A release in a folder: as it was pulled, or downloaded from the Hub or GitHub by other programs. It can be read alone."""

from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from aqea_registry.base.files import Limit, UnsafePath, inside, open_regular, read_small, size_of
from aqea_registry.base.findings import CannotCheck, Refused
from aqea_registry.base.sha256_list import parse_list
from aqea_registry.stores.github.assets import asset_name
from aqea_registry.stores.port import Tagged, parsed
from aqea_registry.stores.release import LIST, RECORD, Descriptor, Release, build, digest_of


class DownloadedRelease:
    """A folder with the files of one release; its digest is that of the manifest which lies there, or which they give."""

    def __init__(self, folder: Path, name: str) -> None:
        self.spec, self._folder = name, folder

    def tags(self) -> list[str]:
        """No tag: a folder knows only what it holds."""
        return []

    def find(self, tag: str) -> Tagged:
        """The release in the folder, whatever the tag. Raises CannotCheck if there is none."""
        digest = self._read().digest()
        return Tagged(tag=digest, digest=digest, at=digest)

    def release(self, tagged: Tagged) -> Release:
        """The release."""
        return self._read()

    def open(self, tagged: Tagged, path: str, layer: Descriptor, offset: int) -> BinaryIO:
        """A file's bytes from `offset` on, under its path or as GitHub's asset."""
        try:
            file = BufferedReader(open_regular(self._at(path)))
        except (OSError, UnsafePath) as error:
            raise Refused.of("missing", f"{self.spec}: {path}", f"cannot be read: {error}", layer.digest) from error
        file.seek(offset)
        return file

    def attachments(self, tagged: Tagged) -> Mapping[str, bytes]:
        """None: stores keep them beside a release."""
        return {}

    def _at(self, path: str) -> Path:
        return next(
            (at for name in (path, asset_name(path)) if (at := inside(self._folder, name)).exists()), self._folder / path
        )

    def _read(self) -> Release:
        try:
            if (self._folder / RECORD).is_file():
                return parsed(self.spec, read_small(self._folder / RECORD, Limit.STATEMENT), RECORD)
            content = read_small(self._folder / LIST, Limit.PROJECT)
            files = {**parse_list(content, LIST).entries, LIST: digest_of(content).removeprefix("sha256:")}
            return build((path, sha256, size_of(self._at(path))) for path, sha256 in files.items())
        except (OSError, UnsafePath) as error:
            raise CannotCheck(f"{self.spec} is not the folder of a release: {error}", "name a STORE-REF") from error
