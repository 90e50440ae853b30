"""Opening a store by its name, and questions about a release in it that several commands ask."""

from contextlib import suppress
from pathlib import Path

from aqea_registry.base.extras import require
from aqea_registry.base.files import Limit, read_stream
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused, suggestion
from aqea_registry.base.references import is_folder, join_reference
from aqea_registry.stores.port import Held, Store, Tagged
from aqea_registry.stores.release import Descriptor, digest_of


def open_store(spec: str, root: Path) -> Store:
    """The store of this name; the DIR of `oci:DIR` starts at `root`. Raises BadConfiguration, CannotCheck (no client)."""
    if is_folder(spec):
        from aqea_registry.stores.oci_layout import Layout

        return Layout(spec, layout_folder(root, spec))
    if spec.startswith("oci://"):
        require("an OCI registry")
        from aqea_registry.stores.registry.store import Registry

        return Registry(spec)
    if spec.startswith("hf://"):
        require("the Hugging Face Hub")
        from aqea_registry.stores.hub_store import HubStore

        return HubStore(spec)
    if spec.startswith("github://"):
        require("GitHub")
        from aqea_registry.stores.github.store import GitHub

        return GitHub(spec)
    raise BadConfiguration(
        f"{spec!r} is not a store", "the stores are oci:DIR, oci://HOST/NAME, hf://datasets/ORG/NAME and github://OWNER/REPO"
    )


def layout_folder(root: Path, spec: str) -> Path:
    """The folder of the store `oci:DIR`."""
    return root / Path(spec.removeprefix("oci:")).expanduser()


def find(store: Held, tag: str, digest: str | None = None) -> Tagged:
    """What a tag names, or the release of a digest in its place. Raises CannotCheck for none, Refused for another `digest`."""
    tagged = _of_digest(store, tag) if tag == digest else store.find(tag)
    if tagged is None:
        known = store.tags()
        hint = f"it has {', '.join(known[-5:])}" if known else "it has no release"
        missing = "no tag names this release" if tag == digest else "there is no such tag"
        raise CannotCheck(f"{join_reference(store.spec, tag, digest)}: {missing}", suggestion(tag, known, hint))
    if digest is not None and tagged.digest != digest:
        message = "the tag names another release than the one that was asked for"
        raise Refused.of("tag-moved", join_reference(store.spec, tag), message, digest, tagged.digest)
    return tagged


def _of_digest(store: Held, digest: str) -> Tagged | None:
    """The release of a digest under one of its tags, the last ones first: not every store can be asked for a digest."""
    for tag in reversed(store.tags()):
        with suppress(Refused):  # a tag of something else
            if (tagged := store.find(tag)) is not None and tagged.digest == digest:
                return tagged
    return None


def read_text(store: Held, tagged: Tagged, path: str, layer: Descriptor) -> bytes:
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
