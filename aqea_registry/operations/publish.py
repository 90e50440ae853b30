"""Put a verified run into stores under a tag that never moves."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from aqea_registry.core import card
from aqea_registry.core.files import hash_file
from aqea_registry.core.findings import BadConfiguration, Refused
from aqea_registry.core.manifest import MANIFEST, SIZES
from aqea_registry.core.release import Release, build
from aqea_registry.core.reporting import Reporter
from aqea_registry.operations.check_files import Verification
from aqea_registry.operations.project import Project, pairs_path
from aqea_registry.operations.verify import verify_project
from aqea_registry.stores.layout import Layout

CARD = "README.md"
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class Put(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, or would happen, at one store. `bytes` is what is sent, `blobs` the number of pieces."""

    store: str
    reference: str
    state: Literal["published", "unchanged", "repaired", "planned"]
    blobs: int
    bytes: int
    receipt: str | None = None
    receipt_written: bool = False


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """One release and where it is now."""

    tag: str
    digest: str
    files: int
    bytes: int
    puts: tuple[Put, ...]


def open_store(spec: str, root: Path) -> Layout:
    """The store that `oci:DIR` names; a relative DIR starts at the project's folder. Raises BadConfiguration."""
    kind, _, place = spec.partition(":")
    if kind != "oci" or not place or place.startswith("//"):
        raise BadConfiguration(f"{spec!r} is not a store that this version knows; it knows oci:DIR")
    return Layout(spec, root / Path(place).expanduser())


def publish(project: Project, tag: str, stores: Sequence[str], report: Reporter, *, dry_run: bool = False) -> Published:
    """Verify, build the release, put it into each store, read it back, and write the receipt last.

    Raises Refused if verification has findings, TagConflict if a store's tag names another release; then nothing is
    written anywhere. With `dry_run` nothing is written either way.
    """
    if not TAG.fullmatch(tag):
        raise BadConfiguration(
            f"{tag!r} is no tag: letters, digits, '.', '_' and '-', at most 128, not starting with '.' or '-'"
        )
    opened = [open_store(spec, project.root) for spec in stores]
    if not opened:
        raise BadConfiguration("no store is named: add one under publish.stores in params.yaml, or use --to oci:DIR")
    verification = verify_project(project, report)
    if verification.findings:
        raise Refused(
            f"verification has {len(verification.findings)} findings; nothing was published",
            verification.findings,
            "run: dvc repro, then aqea-registry verify",
        )
    release, text = build_release(project, verification)
    held = {store.spec: store.refuse_conflict(tag, release) for store in opened}

    def read(path: str) -> BinaryIO:
        return io.BytesIO(text) if path == CARD else (project.root / path).open("rb")

    puts = []
    for store in opened:
        missing = store.missing(release)
        planned = Put(
            store=store.spec,
            reference=f"{store.spec}:{tag}",
            state="planned" if missing or not held[store.spec] or not store.marked() else "unchanged",
            blobs=len(missing),
            bytes=sum(layer.size for layer in missing),
        )
        if dry_run:
            puts.append(planned)
            continue
        if planned.state == "planned":
            with report.task(f"publish to {store.spec}", planned.bytes + release_size(release), "bytes") as advance:
                store.push(release, tag, read, advance)
        path, written = store.write_receipt(tag, release)
        state: Literal["published", "unchanged", "repaired"]
        state = "unchanged" if planned.state == "unchanged" else "repaired" if held[store.spec] else "published"
        puts.append(msgspec.structs.replace(planned, state=state, receipt=str(path), receipt_written=written))
    return Published(tag=tag, digest=release.digest(), files=len(release.layers), bytes=release_size(release), puts=tuple(puts))


def release_size(release: Release) -> int:
    """The bytes of all files of a release."""
    return sum(layer.size for layer in release.layers)


def build_release(project: Project, verification: Verification) -> tuple[Release, bytes]:
    """The release of a verified run, and its card."""
    listed = {path: verification.digests[path] for path in project.manifest_paths()}
    for path in (MANIFEST, SIZES):
        listed[path] = hash_file(project.root / path)
    pairs = project.params.run.pairs
    results = [
        card.Result(
            name=key,
            dataset=pairs[key].dataset,
            model=project.params.models[pairs[key].model].repo,
            path=pairs_path(pairs[key]),
            n_pairs=examined.header.n_pairs,
            dimension=examined.header.dimension,
            metrics=examined.metrics,
            content=examined.content,
        )
        for key, examined in verification.pair_sets.items()
    ]
    text = card.render(
        card.Card(
            publish=project.params.publish,
            results=results,
            files={path: (found.sha256, found.size) for path, found in listed.items()},
            pins={name: pin for _, name, _, pin in project.used() if pin is not None},
        )
    )
    files = [(path, found.sha256, found.size) for path, found in listed.items()]
    return build([*files, (CARD, hashlib.sha256(text).hexdigest(), len(text))]), text
