"""Releases in the graph: which of them carry a file, and the stores that hold them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from aqea_registry.core.findings import RegistryError
from aqea_registry.core.references import is_folder, join_reference
from aqea_registry.core.statement import NAME
from aqea_registry.core.status import current
from aqea_registry.operations.graph import Draft
from aqea_registry.operations.graph_statements import draw_statements
from aqea_registry.operations.project import published_path
from aqea_registry.operations.receipts import all_receipts
from aqea_registry.stores import open_store
from aqea_registry.stores.base import Store


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """A release where somebody says that it is: a receipt or the store itself. `files` maps paths to digest and size."""

    tag: str
    digest: str
    reference: str
    files: Mapping[str, tuple[str, int]]
    facts: Mapping[str, str]
    broken: str | None = None
    beside: Mapping[str, bytes] = {}  # the documents that the store keeps with it


def draw_releases(draft: Draft, stores: Sequence[str]) -> None:
    """Draw the releases of every receipt, of the stores in folders that params.yaml names, and of `stores`."""
    by_digest: defaultdict[str, list[Carried]] = defaultdict(list)
    for one in _carried(draft, stores):
        by_digest[one.digest].append(one)
    made: defaultdict[str, list[str]] = defaultdict(list)
    for id_, node in draft.nodes.items():
        if node.kind in ("file", "pair-set") and "sha256" in node.facts:
            made[node.facts["sha256"]].append(id_)
    own = set(draft.words)  # a path of the project means the project's file
    for digest, held in sorted(by_digest.items()):
        tags = sorted({one.tag for one in held})
        size = sum(size for _, size in held[0].files.values())
        facts = {"digest": digest, "files": len(held[0].files), "size": f"{size} bytes"}
        id_ = draft.node("release", digest, ", ".join(tags), facts, None, tags)
        for path, (file_digest, size) in held[0].files.items():
            sha256 = file_digest.removeprefix("sha256:")
            for file in made.get(sha256) or [_released_file(draft, path, sha256, size, tags)]:
                draft.edge(id_, file, "carries")
                if path not in own:
                    draft.words[path].add(file)
        for one in held:
            told = draft.nodes.get(f"store:{one.reference}")
            store = draft.node(
                "store",
                one.reference,
                one.reference,
                {**(told.facts if told else {}), **one.facts},
                one.broken,
                [one.reference],
            )
            draft.edge(store, id_, "holds")
            if mark := current(one.beside, digest):
                draft.note(id_, status=mark.text())
    held_beside = (
        (f"{one.reference}: {name}", content)
        for many in by_digest.values()
        for one in many
        for name, content in one.beside.items()
        if NAME.fullmatch(name)
    )
    draw_statements(draft, held_beside)


def _released_file(draft: Draft, path: str, sha256: str, size: int, tags: Sequence[str]) -> str:
    """A file that only the release has: written for it, or with other bytes than the project has now."""
    facts: dict[str, object] = {"sha256": sha256, "size": f"{size} bytes"}
    for here in draft.project.manifest_paths():
        if published_path(here) == path:
            facts["note"] = f"{here} has other bytes now"
            for id_ in sorted(draft.words[here]):
                draft.note(id_, **{f"in {', '.join(tags)}": f"other bytes, sha256 {sha256}"})
    return draft.node("file", f"{path}@{sha256[:12]}", f"{path} of {', '.join(tags)}", facts)


def _carried(draft: Draft, stores: Sequence[str]) -> Iterator[Carried]:
    project, told = draft.project, set()
    for _, receipt in all_receipts(project):
        files = {file.path: (file.digest, file.size) for file in receipt.files}
        for spec, one in sorted(receipt.stores.items()):
            told.add((spec, receipt.tag))
            facts = {"at": one.at, **{key: _text(value) for key, value in sorted(one.ids.items())}}
            told_of = (receipt.tag, receipt.digest)
            broken, beside = _asked(open_store(spec, project.root), *told_of) if is_folder(spec) else (None, {})
            yield Carried(
                tag=receipt.tag,
                digest=receipt.digest,
                reference=one.reference,
                files=files,
                facts=facts,
                broken=broken,
                beside=beside,
            )
    asked = [spec for spec in project.params.publish.stores if is_folder(spec)]
    for spec in dict.fromkeys((*asked, *stores)):
        store = open_store(spec, project.root)
        try:
            tags = [tag for tag in store.tags() if (spec, tag) not in told]
            yield from (held for tag in tags if (held := _held(store, tag)) is not None)
        except RegistryError as error:
            if spec in stores:
                raise
            draft.node("store", spec, spec, {}, error.message, [spec])


def _held(store: Store, tag: str) -> Carried | None:
    tagged = store.find(tag)
    if tagged is None:
        return None
    files = {path: (layer.digest, layer.size) for path, layer in store.release(tagged).files().items()}
    return Carried(
        tag=tag,
        digest=tagged.digest,
        reference=join_reference(store.spec, tag),
        files=files,
        facts={"at": tagged.at},
        beside=store.attachments(tagged),
    )


def _asked(store: Store, tag: str, digest: str) -> tuple[str | None, Mapping[str, bytes]]:
    """What a store in a folder says other than its receipt, if anything, and what it keeps beside the release."""
    try:
        tagged = store.find(tag)
        if tagged is None:
            return f"the receipt names {digest}, and the store has no tag {tag}", {}
        if tagged.digest != digest:
            return f"the receipt names {digest}, and the tag names {tagged.digest}", {}
        return None, store.attachments(tagged)
    except RegistryError as error:
        return error.message, {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
