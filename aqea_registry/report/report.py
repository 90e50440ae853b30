"""The report: a page of its own with every printed number, what became of it and what it rests on; figures as files.

The report's page as HTML: its values set by the template in aqea_registry/report, with style and script within.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import msgspec

from aqea_registry.attestations.statement import confirmed
from aqea_registry.base.files import write_bytes
from aqea_registry.base.progress import Reporter, Silent, visible
from aqea_registry.base.sha256_list import MANIFEST
from aqea_registry.claims.check_claims import CheckedClaims, check_claims
from aqea_registry.project.project import Project
from aqea_registry.report import figures
from aqea_registry.report.page import Confirmation, Content, Page, PairSetFacts, PinFacts, build
from aqea_registry.stores.receipts import Receipt, all_receipts
from aqea_registry.tracing.graph import Graph
from aqea_registry.tracing.trace import build_graph
from aqea_registry.verification.verify_list import Verification
from aqea_registry.verification.verify_project import verify_project


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """The page as written: its path, the claims by state, all findings, and the figures beside it."""

    path: str
    bytes: int
    changed: bool
    headline: str
    counts: dict[str, int]
    found: int  # findings
    figures: tuple[str, ...]


def report(
    project: Project, target: Path, documents: Sequence[Path], reporter: Reporter, figures_folder: Path | None = None
) -> Reported:
    """Verify the project, judge its claims, and write the page; with a folder, the figures as SVG files as well."""
    verification = verify_project(project, reporter)
    checked = check_claims(project, documents, reporter, verified=verification)
    listed = {
        path: (found.sha256, found.size) for path, found in verification.digests.items() if path in project.manifest_paths()
    }
    receipts = [receipt for _, receipt in all_receipts(project.root, project.params.publish.stores)]
    graph = build_graph(project, checked, verification, report=reporter)
    page = build(content_of(project, verification, checked, listed, graph, receipts))
    text = render(page)
    changed = write_bytes(target, text)
    drawn = []
    for figure in page.figures if figures_folder else ():
        place = Path(figures_folder or "", f"{figure.name}.svg")
        write_bytes(place, figure.alone)
        drawn.append(str(place))
    return Reported(
        path=str(target),
        bytes=len(text),
        changed=changed,
        headline=page.headline,
        counts=page.counts,
        found=len(page.content.findings),
        figures=tuple(drawn),
    )


def release_page(project: Project, verification: Verification, listed: Mapping[str, tuple[str, int]]) -> bytes:
    """The page within a release of a verified run: of what every checkout has, so that all make the same.

    It tells nothing of releases, for it would be another page after each; nor of documents, sources and confirmations that are
    on one machine and not on another.
    """
    checked = check_claims(project, (), Silent(), here=False, verified=verification)
    graph = build_graph(project, checked, verification, here=False, releases=False)
    return render(build(content_of(project, verification, checked, listed, graph, None)))


def content_of(
    project: Project,
    verification: Verification,
    checked: CheckedClaims,
    listed: Mapping[str, tuple[str, int]],
    graph: Graph,
    receipts: Sequence[Receipt] | None,
) -> Content:
    """What a page tells of a project. `listed` has sha256 and size of the files that it names."""
    manifest = project.root / MANIFEST
    used = {(group, name) for group, name, _, _ in project.used()}
    groups = (("datasets", project.lock.datasets), ("models", project.lock.models))
    alone = receipts is None
    return Content(
        title=project.params.publish.title,
        manifest=hashlib.sha256(manifest.read_bytes()).hexdigest() if manifest.is_file() else None,
        files=listed,
        verified=len(listed) if alone else verification.files,
        findings=(*verification.findings, *checked.findings),
        notes=() if alone else (*verification.notes, *checked.notes),
        pair_sets=[
            PairSetFacts(
                name=key,
                dataset=(pair := project.params.run.pairs[key]).dataset,
                model=project.params.models[pair.model].repo,
                n_pairs=found.header.n_pairs,
                dimension=found.header.dimension,
                content=found.content,
                metrics=found.metrics,
            )
            for key, found in verification.pair_sets.items()
        ],
        pins=[PinFacts(name, pin, (group, name) in used) for group, pins in groups for name, pin in sorted(pins.items())],
        ledgers=checked.ledgers,
        verdicts=checked.verdicts,
        graph=graph,
        receipts=receipts,
        confirmations=() if alone else [Confirmation(*one) for one in confirmed(project.root)],
    )


def render(page: Page) -> bytes:
    """The page as HTML, with style and script within; its policy lets the reader's program run these two and no others."""
    from jinja2 import Environment, StrictUndefined
    from jinja2.filters import do_urlencode
    from markupsafe import Markup

    room = files("aqea_registry") / "report"
    style = figures.STYLE + (room / "page.css").read_text("utf-8")
    script = (room / "page.js").read_text("utf-8")
    environment = Environment(autoescape=True, finalize=visible, undefined=StrictUndefined, extensions=["jinja2.ext.do"])
    environment.filters["anchor"] = lambda name: do_urlencode(visible(name))  # type: ignore[arg-type]
    template = environment.from_string((room / "page.html").read_text("utf-8"))
    text = template.render(
        page=page,
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704
        style_hash=_source(style),
        script_hash=_source(script),
    )
    return f"{text}\n".encode()


def _source(text: str) -> str:
    """What a Content-Security-Policy calls an inline style or script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
