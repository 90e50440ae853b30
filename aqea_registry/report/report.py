"""The verb report: one HTML page with every printed number, each claim's status and what it rests on."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import msgspec

from aqea_registry.attestations.made import confirmed
from aqea_registry.base.files import write_bytes
from aqea_registry.base.progress import Reporter
from aqea_registry.base.references import address
from aqea_registry.claims.check_claims import CheckedClaims, check_claims
from aqea_registry.claims.ledger import Ledger, own_paths
from aqea_registry.claims.lint_claims import lint_claims
from aqea_registry.comparison.trees import natural
from aqea_registry.project.artefact import published_path
from aqea_registry.project.citation import links, read_citation
from aqea_registry.project.project import Project, RunRecord
from aqea_registry.report.page import Content, Page, PairSetFacts, PinFacts, TaskFacts, build, visible
from aqea_registry.report.plots import FIGURE_STYLE
from aqea_registry.stores.receipts import Receipt, all_receipts
from aqea_registry.tracing.graph import Graph
from aqea_registry.tracing.nodes import draw_releases
from aqea_registry.tracing.trace import check_bytes, outline
from aqea_registry.vectors.scores import Metrics
from aqea_registry.verification.verify_project import CheckedProject, verify_project


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """The page as written: its path, claims by state, the number of findings, and the figures beside it."""

    path: str
    bytes: int
    changed: bool
    headline: str
    counts: dict[str, int]
    found: int
    figures: tuple[str, ...]


def report(
    project: Project, target: Path, documents: Sequence[Path], reporter: Reporter, figures_folder: Path | None = None
) -> Reported:
    """Verify the project, judge its claims, and write the page; with a folder, the figure of scores as an SVG file there."""
    verification = verify_project(project, reporter)
    checked = check_claims(project, documents, reporter, verified=verification)
    paths = set(project.run.paths())
    listed = {path: (digest.sha256, digest.size) for path, digest in verification.digests.items() if path in paths}
    known, wrong = all_receipts(project.root, project.params.publish.stores)
    for finding in wrong:
        reporter.warn(f"{finding.subject}: {finding.message}")
    receipts = sorted((receipt for _, receipt in known), key=lambda receipt: natural(receipt.tag), reverse=True)
    publish, addresses = project.params.publish, links(project.params.publish.url, read_citation(project.root))
    drawn = outline(project.run, project.catalogue.values(), checked)
    draw_releases(drawn, publish.stores)
    graph = check_bytes(drawn, drawn.nodes.keys(), reporter, verification)
    page = page_of(publish.title, project.run, verification, checked, listed, graph, receipts, documents, addresses)
    text = render_page(page)
    changed = write_bytes(target, text)
    figures, size, found = tuple[str, ...](), len(text), len(page.content.findings)
    if figures_folder and page.figure:
        figures = (str(figures_folder / "scores.svg"),)
        write_bytes(Path(figures[0]), page.figure.alone)
    return Reported(
        path=str(target), bytes=size, changed=changed, headline=page.headline, counts=page.counts, found=found, figures=figures
    )


def page_of(
    title: str,
    run: RunRecord,
    verification: CheckedProject,
    checked: CheckedClaims,
    listed: Mapping[str, tuple[str, int]],
    graph: Graph,
    receipts: Sequence[Receipt] | None = None,
    documents: Sequence[Path] = (),
    links: Sequence[tuple[str, str]] = (),
) -> Page:
    """The page of a run, of sha256 and size of its `listed` files; without receipts that of a release (`Scope.RELEASE`)."""
    manifest, used = run.manifest.content, run.pins()
    pins = (*sorted(run.lock.datasets.items()), *sorted(run.lock.models.items()))
    alone = receipts is None
    paths = (published_path(made.file) for made in run.vector_sets.values() if alone)
    away = [f"{path} is left out of this release" for path in paths if path not in listed]
    content = Content(
        title=title,
        links=links,
        manifest=None if manifest is None else hashlib.sha256(manifest).hexdigest(),
        files=listed,
        verified=len(listed) if alone else verification.files,
        findings=(*verification.findings, *checked.findings),
        notes=[*run.remarks(), *away] if alone else (*verification.notes, *checked.notes),
        pair_sets=pair_sets_of(run, verification),
        tasks=tasks_of(run, verification),
        pins=[PinFacts(name, pin, name in used) for name, pin in pins],
        ledgers=checked.ledgers,
        verdicts=checked.verdicts,
        unclaimed=_unclaimed(run.root, checked.ledgers, documents),
        graph=graph,
        receipts=receipts,
        confirmations=() if alone else confirmed(run.root),
    )
    return build(content)


def pair_sets_of(run: RunRecord, checked: CheckedProject) -> list[PairSetFacts]:
    """The good pair sets of a run."""
    return [PairSetFacts(made, checked.pair_sets[key]) for key, made in run.artefacts.items() if key in checked.pair_sets]


def tasks_of(run: RunRecord, checked: CheckedProject) -> list[TaskFacts]:
    """The sound vector sets of a run."""
    return [TaskFacts(made, checked.vector_sets[key]) for key, made in run.vector_sets.items() if key in checked.vector_sets]


def _unclaimed(root: Path, ledgers: Mapping[str, Ledger], folders: Sequence[Path]) -> int:
    """How many numbers of the ledgers' documents look like results and are in no ledger."""
    documents = set()
    for ledger in ledgers.values():
        elsewhere = (folder / Path(ledger.document.file).name for folder in folders)
        locations = [*own_paths(root, ledger.document.file), *elsewhere]
        documents |= {*[location for location in locations if location.is_file()][:1]}
    linted = lint_claims(root, sorted(documents))[0] if documents else ()  # without names it looks for documents itself
    return sum(fault.code == "claim-unbound" for document in linted for fault in document.faults)


def render_page(page: Page) -> bytes:
    """The page as HTML, with style and script inside; its Content-Security-Policy allows these two and no others."""
    from jinja2 import Environment, StrictUndefined
    from jinja2.filters import do_urlencode
    from markupsafe import Markup

    style, script, layout = ((files(__package__) / f"page.{kind}").read_text("utf-8") for kind in ("css", "js", "html"))
    style = FIGURE_STYLE + style
    environment = Environment(autoescape=True, finalize=visible, undefined=StrictUndefined, extensions=["jinja2.ext.do"])
    environment.filters["address"] = address
    environment.filters["anchor"] = lambda name: do_urlencode(visible(name))  # type: ignore[arg-type]
    text = environment.from_string(layout).render(
        page=page,
        verdicts={verdict.name: verdict for verdict in page.content.verdicts},
        pair_sets={facts.made.key: facts.made for facts in page.content.pair_sets},
        metrics=Metrics.__struct_fields__,
        astuple=msgspec.structs.astuple,
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704
        style_hash=_source(style),
        script_hash=_source(script),
    )
    return f"{text}\n".encode()


def _source(text: str) -> str:
    """How a Content-Security-Policy names an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
