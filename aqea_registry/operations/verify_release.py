"""Check a release where it lies: its manifest against its digest, every file against its descriptor."""

from __future__ import annotations

from aqea_registry.core.findings import CannotCheck, Refused
from aqea_registry.core.reporting import Reporter
from aqea_registry.operations.check_files import Verification
from aqea_registry.stores.layout import Layout


def verify_release(store: Layout, tag: str, report: Reporter) -> Verification:
    """Check a release in a store: its manifest against its digest, every file against its descriptor."""
    digest = store.resolve(tag)
    if digest is None:
        raise CannotCheck(f"{store.spec} has no tag {tag}")
    try:
        release = store.release(digest)
    except Refused as error:
        return Verification(target=f"{store.spec}:{tag}", files=0, bytes=0, findings=error.findings)
    size = sum(layer.size for layer in release.layers)
    with report.task("verify", size, "bytes") as advance:
        findings = store.check(release, advance)
    note = f"{tag} is {digest}"
    return Verification(
        target=f"{store.spec}:{tag}", files=len(release.layers), bytes=size, findings=tuple(findings), notes=(note,)
    )
