"""Opening a store by its name, or the folder of a release; and questions about a release that several commands ask."""

from collections.abc import Mapping
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from aqea_registry.base.extras import require
from aqea_registry.base.files import Limit, UnsafePath, inside, open_regular, read_small, read_stream, size_of
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused, suggestion
from aqea_registry.base.references import asset_name, is_folder, join_reference, split_reference, without_login
from aqea_registry.base.sha256_list import parse_list
from aqea_registry.stores.port import Releases, Store, Tagged, parsed
from aqea_registry.stores.release import LIST, RECORD, Descriptor, Release, build, digest_of


def open_store(spec: str, root: Path) -> Store:
    """The store of this name; the DIR of `oci:DIR` starts at `root`. Raises BadConfiguration, CannotCheck (no client)."""
    if is_folder(spec):
        from aqea_registry.stores.oci_layout import Layout

        return Layout(spec, layout_folder(root, spec))
    if spec.startswith("oci://"):
        require("an OCI registry")
        from aqea_registry.stores.registry_store import Registry

        return Registry(spec)
    if spec.startswith("hf://"):
        require("the Hugging Face Hub")
        from aqea_registry.stores.hub_store import HubStore

        return HubStore(spec)
    if spec.startswith("github://"):
        require("GitHub")
        from aqea_registry.stores.github_store import GitHub

        return GitHub(spec)
    message = f"{without_login(spec)!r} is not a store"
    raise BadConfiguration(message, "the stores are oci:DIR, oci://HOST/NAME, hf://datasets/ORG/NAME and github://OWNER/REPO")


def layout_folder(root: Path, spec: str) -> Path:
    """The folder of the store `oci:DIR`."""
    return root / Path(spec.removeprefix("oci:")).expanduser()


def open_tagged(reference: str, root: Path) -> tuple[Store, Tagged]:
    """The store of a STORE-REF, and what that names there. Raises what `open_store` and `find` raise."""
    spec, tag, digest = split_reference(reference)
    store = open_store(spec, root)
    return store, find(store, tag, digest)


def find(store: Releases, tag: str, digest: str | None = None) -> Tagged:
    """What a tag names, or the release of a digest in its place. Raises CannotCheck for none, Refused for another `digest`."""
    tagged = _of_digest(store, tag) if tag == digest else store.find(tag)
    if tagged is None:
        known = store.tags()
        hint = f"it has {', '.join(known[-5:])}" if known else "it has no release: publish one, or correct its name"
        missing = "no tag names this release" if tag == digest else "there is no such tag"
        raise CannotCheck(f"{join_reference(store.spec, tag, digest)}: {missing}", suggestion(tag, known, hint))
    if digest is not None and tagged.digest != digest:
        message = "the tag names another release than the one that was asked for"
        raise Refused.of("tag-moved", join_reference(store.spec, tag), message, digest, tagged.digest)
    return tagged


def _of_digest(store: Releases, digest: str) -> Tagged | None:
    """The release of a digest under one of its tags, the last ones first: not every store can be asked for a digest."""
    for tag in reversed(store.tags()):
        with suppress(Refused):  # a tag of something else
            if (tagged := store.find(tag)) is not None and tagged.digest == digest:
                return tagged
    return None


def read_text(store: Releases, tagged: Tagged, path: str, layer: Descriptor) -> bytes:
    """A small file of a release, checked. Raises Refused for other bytes, CannotCheck for a file that is not small."""
    subject = f"{join_reference(store.spec, tagged.tag)}: {path}"
    if layer.size > Limit.PROJECT:
        raise CannotCheck(f"{subject} has {layer.size} bytes; the limit here is {Limit.PROJECT}")
    with store.open(tagged, path, layer, 0) as file:
        content = read_stream(file, layer.size)
    if digest_of(content) != layer.digest:
        message = "the store's bytes are not those that the release names"
        raise Refused.of("mismatch", subject, message, layer.digest, digest_of(content))
    return content


def place_in_download(folder: Path, path: str) -> Path:
    """Where a file of a release lies in a download of it: under its path, or as GitHub's asset. Raises UnsafePath."""
    return next((at for name in (path, asset_name(path)) if (at := inside(folder, name)).exists()), folder / path)


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
            file = BufferedReader(open_regular(place_in_download(self._folder, path)))
        except (OSError, UnsafePath) as error:
            raise Refused.of("missing", f"{self.spec}: {path}", f"cannot be read: {error}", layer.digest) from error
        file.seek(offset)
        return file

    def attachments(self, tagged: Tagged) -> Mapping[str, bytes]:
        """None: stores keep them beside a release."""
        return {}

    def _read(self) -> Release:
        try:
            if (self._folder / RECORD).is_file():
                return parsed(self.spec, read_small(self._folder / RECORD, Limit.STATEMENT), RECORD)
            content = read_small(self._folder / LIST, Limit.PROJECT)
            files = {**parse_list(content, LIST).entries, LIST: digest_of(content).removeprefix("sha256:")}
            return build((path, sha256, size_of(place_in_download(self._folder, path))) for path, sha256 in files.items())
        except (OSError, UnsafePath) as error:
            raise CannotCheck(f"{self.spec} is not the folder of a release: {error}", "name a STORE-REF") from error
