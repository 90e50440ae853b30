"""Questions about a release in a store that several operations ask."""

from __future__ import annotations

from collections.abc import Mapping

from aqea_registry.core.changes import Contents, contents, is_told
from aqea_registry.core.findings import BadConfiguration, CannotCheck, Refused
from aqea_registry.core.release import Descriptor, Release, digest_of
from aqea_registry.core.status import Status, current
from aqea_registry.stores.base import Store, Tagged

LARGEST_TEXT = 64 << 20


def find(store: Store, tag: str) -> Tagged:
    """What a tag names. Raises CannotCheck if there is no such tag."""
    tagged = store.find(tag)
    if tagged is None:
        known = store.tags()
        hint = f"it has {', '.join(known[-5:])}" if known else "it holds no release"
        raise CannotCheck(f"{store.reference(tag)}: there is no such tag", hint)
    return tagged


def status(store: Store, tagged: Tagged) -> Status | None:
    """Whether the release was superseded or withdrawn."""
    return current(store.attachments(tagged), tagged.digest)


def read_text(store: Store, tagged: Tagged, path: str, layer: Descriptor) -> bytes:
    """A small file of a release, checked. Raises Refused for other bytes, CannotCheck for a file that is not small."""
    if layer.size > LARGEST_TEXT:
        raise CannotCheck(f"{store.reference(tagged.tag)}: {path} has {layer.size} bytes; the limit here is {LARGEST_TEXT}")
    with store.open(tagged, path, layer, 0) as file:
        blocks = []
        left = layer.size + 1
        while left and (block := file.read(left)):
            blocks.append(block)
            left -= len(block)
    content = b"".join(blocks)
    if digest_of(content) != layer.digest:
        subject = f"{store.reference(tagged.tag)}: {path}"
        message = "the store's bytes are not those that the release names"
        raise Refused.of("mismatch", subject, message, layer.digest, digest_of(content))
    return content


def read_contents(store: Store, tagged: Tagged) -> Contents:
    """What a release in a store says: digests, scores, pins."""
    release = store.release(tagged)
    layers = release.files()
    texts = {path: read_text(store, tagged, path, layer) for path, layer in layers.items() if is_told(path)}
    return told(store.reference(tagged.tag), release, texts)


def told(reference: str, release: Release, texts: Mapping[str, bytes]) -> Contents:
    """What a release says. Raises Refused if its own texts are malformed."""
    try:
        return contents(release, texts)
    except BadConfiguration as error:
        raise Refused.of("malformed", reference, error.message) from error
