"""Commands that make things (pins, pair sets, exports, the manifest), and those that show where numbers come from."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from aqea_registry.base.progress import plural, printable, size_text
from aqea_registry.cli.claiming import DOCUMENTS
from aqea_registry.cli.shell import Outcome, Shell, command, complete, echo, examples
from aqea_registry.cli.tables import paint

if TYPE_CHECKING:
    from aqea_registry.generation.generate import Generated
    from aqea_registry.generation.vector_sets import Evaluated
    from aqea_registry.sources.pin import Checked
    from aqea_registry.tracing.graph import Branch
    from aqea_registry.tracing.trace import Traced


@command
@examples("pin", "pin forum minilm", "pin --check")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete("datasets", "models"))
@click.option("--check", is_flag=True, help="Change nothing; report what has moved, changed or gone since.")
@click.option("--record", is_flag=True, help="With --check, record which claimed commits the Hub has confirmed.")
@click.option("--commits-only", is_flag=True, help="Do not contact any source; record only the commit from params.yaml.")
def pin(shell: Shell, names: tuple[str, ...], check: bool, record: bool, commits_only: bool) -> Outcome:
    """Resolve catalogue entries into manifests/pins.json: a commit, and sha256 and size of every file that is read.

    Without NAME, all entries of params.yaml.
    """
    from aqea_registry.base.findings import BadConfiguration
    from aqea_registry.sources import pin as operation

    project = shell.project(whole=True)
    if record and not check:
        raise BadConfiguration("--record goes with --check", "aqea-registry pin --check --record")
    if check:
        return _check_pins(operation.check_pins(project, names, shell.report, record=record), record)
    made = operation.pin(project, names, shell.report, commits_only=commits_only)

    def show() -> None:
        for pinned in made.done:
            commit, source = pinned.pin.commit_text(), pinned.pin.resolved_from or "unresolved"
            echo(
                f"{paint(f'{pinned.state:10}')} {pinned.name}: {plural(len(pinned.pin.files), 'file')}, {commit}, from {source}"
            )
            for path in pinned.changed_files:
                click.echo(f"           {path} is another file now")
        for name in made.failed:
            echo(f"{paint('FAILED    ')} {name}")
        for note in made.notes:
            click.echo(printable(f"note: {note}"))

    names = ("group", "name", "state", "changed_files")
    data = [{"commit": done.pin.commit, **{name: getattr(done, name) for name in names}} for done in made.done]
    return Outcome((), {"pins": data, "failed": made.failed, "notes": made.notes}, show, made.error)


def _check_pins(checked: Checked, record: bool) -> Outcome:
    """What `pin --check` found. If no source could be asked about an entry and nothing is wrong, nothing was checked."""
    from aqea_registry.base.findings import CannotCheck

    if checked.unasked and not checked.findings:
        name, reason = next(iter(checked.unasked.items()))
        others = f" (and {len(checked.unasked) - 1} others)" if len(checked.unasked) > 1 else ""
        raise CannotCheck(f"{name}{others}: {reason}", checked.hint or "make a source reachable, see params.yaml")

    def show() -> None:
        for name, state in checked.states.items():
            echo(f"{paint(f'{state:10}')} {name}")
        if "confirmed" in checked.states.values():
            click.echo("recorded; run: dvc repro" if record else "to record it: aqea-registry pin --check --record")

    return Outcome(checked.findings, {"states": checked.states, "unasked": checked.unasked}, show)


@command
@examples("generate forum minilm", "generate forum minilm --device cuda --fresh", "generate")
@click.argument("dataset", required=False, shell_complete=complete("datasets"))
@click.argument("model", required=False, shell_complete=complete("models"))
@click.option("--batch", type=click.IntRange(1), help="Sentences at a time (default: as many as make 512 tokens).")
@click.option("--threads", type=click.IntRange(1), help="Processor threads (default: torch's own choice).")
@click.option("--attention", type=click.Choice(["sdpa", "eager"]), help="Attention (default: the model's own choice).")
@click.option("--device", metavar="DEVICE", default="cpu", help="Where the model runs, such as cuda (default: cpu).")
@click.option("--fresh", is_flag=True, help="Encode every sentence again, also those encoded before.")
def generate(
    shell: Shell,
    dataset: str | None,
    model: str | None,
    batch: int | None,
    threads: int | None,
    attention: Any,
    device: str,
    fresh: bool,
) -> Outcome:
    """Make one pair set of the run, or one vector set and the result of its task: what a DVC stage calls.

    Without DATASET and MODEL, everything whose inputs or files are not as dvc.lock and the manifest record them. Batch,
    threads, attention and device change the speed; in canonical precision they change no byte.
    """
    from aqea_registry.base.extras import require
    from aqea_registry.embedding.encoder import Settings
    from aqea_registry.generation import generate as operation

    if dataset and not model:
        raise click.UsageError("Missing argument 'MODEL'.")
    require("generation")
    settings = Settings(batch=batch, threads=threads, attention=attention, device=device)
    project = shell.project(whole=True)
    if dataset and model:
        return _made(operation.generate(project, dataset, model, settings, shell.report, fresh=fresh))
    made = []
    for done in operation.generate_changed(project, settings, shell.report, fresh=fresh):
        shell.report.note(f"{done.path}: encoded now {done.encoded}, before {done.reused}")
        made.append(done)
    as_they_are = len(project.run.made) - len(made)
    text = f"made {plural(len(made), 'artefact')}; {as_they_are} others are as they are recorded"
    return Outcome((), {"made": made, "unchanged": as_they_are}, lambda: click.echo(text))


@command
@examples("encode", "encode minilm --engine ray --address 10.0.0.1:6379 --gpus-per-worker 1")
@click.argument("models", nargs=-1, metavar="[MODEL]...", shell_complete=complete("models"))
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", help="What computes (default: local).")
@click.option("--address", metavar="HOST:PORT", help="A cluster of Ray (default: RAY_ADDRESS, or one on this machine).")
@click.option("--workers", type=click.IntRange(1), help="Workers of the cluster (default: as many as it has room for).")
@click.option("--gpus-per-worker", type=click.FloatRange(0), default=0.0, help="Graphics cards of each, or a part of one.")
@click.option("--threads", type=click.IntRange(1), help="Processor threads of each worker (default: 1; local: torch's own).")
@click.option("--device", metavar="DEVICE", help="Where the model runs (default: cuda with --gpus-per-worker, else cpu).")
@click.option("--seed", type=int, help="Chooses what a second worker computes again (default: by chance; it is printed).")
def encode(shell: Shell, models: tuple[str, ...], engine: str, seed: int | None, **options: Any) -> Outcome:
    """Encode all texts of the run under its models, or these; `generate` then finds every vector.

    Only what is missing is encoded, also after a kill. Each worker of a cluster fetches the pinned model itself, and a sample
    of what it gave is computed again by another. In canonical precision no choice here changes a byte.
    """
    from contextlib import nullcontext
    from secrets import randbelow

    from aqea_registry.base.extras import require
    from aqea_registry.base.findings import BadConfiguration
    from aqea_registry.embedding.encoder import Settings
    from aqea_registry.generation import encode as operation
    from aqea_registry.generation.workers import ThisMachine, open_cluster

    require("generation")
    address, workers, gpus, threads = (options[name] for name in ("address", "workers", "gpus_per_worker", "threads"))
    if engine == "local" and (address or workers or gpus):
        raise BadConfiguration("--address, --workers and --gpus-per-worker go with a cluster", "add --engine ray")
    settings, project = Settings(threads=threads, device=options["device"] or ("cuda" if gpus else "cpu")), shell.project()
    seed = randbelow(10**6) if seed is None else seed
    with nullcontext(ThisMachine()) if engine == "local" else open_cluster(address, workers, gpus, threads) as opened:
        if engine == "ray":
            shell.report.note(f"what a second worker computes again is chosen by --seed {seed}")
        done = operation.encode(project, models, opened, settings, shell.report, seed)

    def show() -> None:
        for model in done:
            checked = f", {len(model.checked)} checked" if model.checked else ""
            by = f" by {plural(len(model.workers), 'worker')}{checked}" if model.workers else ""
            click.echo(f"{model.name}: {plural(model.texts, 'text')}, encoded now {model.encoded}{by}")

    return Outcome((), {"models": done, "seed": seed}, show)


@command
@examples("import-vectors vectors.npy --model ada --dataset forum")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--model", required=True, metavar="NAME", help="The model of kind given in params.yaml.")
@click.option("--dataset", required=True, metavar="NAME", help="The pinned dataset whose rows they are of.")
def import_vectors(shell: Shell, files: tuple[str, ...], model: str, dataset: str) -> Outcome:
    """Make a pair set of vectors that were made elsewhere: by an API, or on last year's machine.

    FILE is .npy (an array (2, n, d) or (n, 2, d), or two files of (n, d)), or .parquet or .jsonl with a row for each pair and
    lists of numbers embedding1 and embedding2. It is copied to given/MODEL and pinned. The vectors are normalised and rounded
    as those that are made here; all that shows them says that they were given.
    """
    from aqea_registry.base.extras import require
    from aqea_registry.embedding.encoder import Settings
    from aqea_registry.generation.generate import generate as made_of
    from aqea_registry.generation.inputs import import_vectors as operation

    require("Parquet")
    operation(shell.project(), shell.paths(files), dataset, model, shell.report)
    return _made(made_of(shell.project(), dataset, model, Settings(), shell.report))


def _made(made: Generated | Evaluated) -> Outcome:
    """What generate and import-vectors show of what was made."""
    from aqea_registry.generation.generate import Generated
    from aqea_registry.vectors.margin import margin_text
    from aqea_registry.vectors.scores import Metrics

    if not isinstance(made, Generated):
        return Outcome((), made, lambda: _show_result(made))

    def show() -> None:
        click.echo(f"{made.path}: {plural(made.n_pairs, 'pair')} x {made.dimension}, {made.precision}")
        if made.precision != "given":
            click.echo(f"sentences encoded now {made.encoded}, before {made.reused}")
        if made.margin is not None:
            click.echo(margin_text(made.margin))
        for field in Metrics.__struct_fields__:
            click.echo(f"{field:20} {getattr(made.metrics, field)!r}")

    return Outcome((), made, show)


def _show_result(made: Evaluated) -> None:
    click.echo(f"{made.path}: {plural(made.texts, 'text')} x {made.dimension}, {made.precision}, content {made.content}")
    click.echo(f"texts encoded now {made.encoded}, before {made.reused}")
    if made.near_ties:
        click.echo(f"{plural(made.near_ties, 'neighbour')} in lists of results that differ, but not in float32")
    for split, subsets in made.scores.items():
        for subset, scores in subsets.items():
            click.echo(f"{made.task}, {split}, {subset}: {made.main_score} {scores[made.main_score]!r}")


@command
@examples(
    "export training/data/forum_minilm_384d_pairs.json --format parquet", "export metrics/forum-minilm.json --format mteb"
)
@click.argument("file", metavar="FILE", shell_complete=complete("files"))
@click.option("--format", "kind", type=click.Choice(["benchmark", "embeddings", "parquet", "aqed", "mteb"]), required=True)
def export(shell: Shell, file: str, kind: str) -> Outcome:
    """Make another file from a pair file of the run: beside it, or in views/ under the pair set's name.

    benchmark: all metrics with sizes, pins and digests. embeddings: the rows as the AQEA trainer reads them, in JSON;
    aqed: the same as AQED v1, in views/. parquet: the pair set as a table of integers, in views/. mteb: the scores of a pair
    file, or of a result in metrics/, as MTEB keeps results: in results/, which its ResultCache reads.
    """
    from aqea_registry.base.extras import require
    from aqea_registry.generation.generate import export as operation

    if kind == "parquet":
        require("Parquet")
    if kind == "mteb":
        require("a task of MTEB")
        from aqea_registry.generation.mteb_scores import export_results

        path = export_results(shell.project(), file)
    else:
        path = operation(shell.project(), file, kind)
    return Outcome((), {"path": path}, lambda: click.echo(path))


@command
@examples("manifest")
def manifest(shell: Shell) -> Outcome:
    """Write manifests/MANIFEST.sha256 and the sizes beside it, for the files of the run."""
    from aqea_registry.base.sha256_list import MANIFEST
    from aqea_registry.project.manifest import write_manifest

    project = shell.project()
    files, changed = write_manifest(project.root, project.run.paths(), shell.report)
    data = {path: {"sha256": sha256, "size": size} for path, (sha256, size) in files.items()}
    text = f"{MANIFEST}: {plural(len(files), 'file')}{'' if changed else ', unchanged'}"
    return Outcome((), {"files": data, "changed": changed}, lambda: click.echo(text))


BRANCHES = 10  # of one kind that are shown below one node without --all


@command
@examples("trace forum-minilm#cos_sim_spearman", "trace paper:forum.spearman --all")
@click.argument("what", shell_complete=complete("artefacts", "datasets", "models", "tags", "paths"))
@click.option(
    "--format", "form", type=click.Choice(["tree", "mermaid"]), default="tree", show_default=True, help="How to draw it."
)
@click.option("--all", "everything", is_flag=True, help=f"Show all branches, not the first {BRANCHES} of each kind.")
@click.option("--store", "stores", multiple=True, metavar="STORE", help="Ask this store for releases as well (repeatable).")
@DOCUMENTS
def trace(shell: Shell, what: str, form: str, everything: bool, stores: tuple[str, ...], documents: tuple[str, ...]) -> Outcome:
    """Show what something rests on, down to bytes and commits, and what rests on it, up to releases and stores.

    WHAT is a claim (ID or LEDGER:ID), a path of the project or of a release, a number (FILE#METRIC or PAIRSET#METRIC), a
    sha256 or the beginning of one, a release's digest or tag, a name of the catalogue, a stage, or a commit. A link that does
    not fit is shown as broken, and the exit status is 1. Only files of the answer are read.
    """
    from aqea_registry.tracing.graph import mermaid
    from aqea_registry.tracing.trace import trace as operation

    shell.look_for_clients(stores)
    folders, what = shell.paths(documents), shell.in_project(what, shell.root())
    traced = operation(shell.project(), what, shell.report, documents=folders, stores=shell.stores(stores))
    down, up = _trees(traced, None if everything else BRANCHES)
    if form == "tree" or shell.json:
        directions = {"rests_on": traced.rests_on, "carried_by": traced.carried_by}
        ids = {name: [node.id for node in graph.nodes] for name, graph in directions.items()}
        graph = traced.graph
        data: dict[str, Any] = {"what": what, "found": traced.found, **ids, "nodes": graph.nodes, "edges": graph.edges}
        return Outcome(traced.findings, data, lambda: _show(traced, down, up))

    def show() -> None:
        from aqea_registry.tracing.graph import counted, kept_in, left_out

        drawn = traced.graph.part(set().union(*(kept_in(branch) for branch in (*down, *up))))
        click.echo(mermaid(drawn, traced.found), nl=False)
        if more := counted(sum((left_out(branch) for branch in (*down, *up)), Counter[str]())):
            shell.report.warn(f"left out: {more}; --all draws them")
        for finding in traced.findings:
            shell.report.warn(f"{finding.code}: {finding.subject}: {finding.message}")

    return Outcome((), {}, show, status=int(bool(traced.findings)))


def _trees(traced: Traced, limit: int | None) -> tuple[list[Branch], list[Branch]]:
    """What the things found rest on; and what rests on them, or else the releases of the files that a number rests on."""
    from aqea_registry.tracing.graph import tree

    down = [tree(traced.rests_on, start, "down", limit) for start in traced.found]
    graph = traced.carried_by
    tops = [node.id for node in graph.nodes if not graph.below.get(node.id) and node.id not in traced.found]
    return down, [tree(graph, start, "up", limit) for start in (*traced.found, *tops)]


def _show(traced: Traced, down: list[Branch], up: list[Branch]) -> None:
    import msgspec

    from aqea_registry.cli.shell import print_tree
    from aqea_registry.tracing.graph import counted

    for branch in down:
        print_tree("rests on", branch)
    for branch in up:
        if branch.branches or branch.omitted:
            node = branch.node
            bare = msgspec.structs.replace(node, facts={}) if node.id in traced.found else node
            print_tree("carried by", branch._replace(node=bare), upwards=True)
    numbers = Counter[str](node.kind for node in traced.carried_by.nodes if node.id not in traced.found)
    links = plural(len(traced.findings), "broken link") if traced.findings else "no broken links"
    click.echo(f"what rests on it: {counted(numbers) or 'nothing'}; {links}")


@command
@examples("report", "report --to page.html --figures figures")
@click.option("--to", "target", default="report.html", metavar="FILE", help="The page (default: report.html).")
@click.option("--figures", metavar="DIR", help="Write the figure of scores into this folder as well, as an SVG file.")
@DOCUMENTS
def report(shell: Shell, target: str, figures: str | None, documents: tuple[str, ...]) -> Outcome:
    """Write one HTML page: every printed number, its status, and what it rests on.

    The page needs no network and holds no time: the same checkout gives the same bytes. What is wrong is shown in it and does
    not change the exit status; `verify` and `claims check` do that.
    """
    from aqea_registry.report.report import report as operation

    folders = shell.paths(documents)
    drawn = shell.directory / figures if figures else None
    done = operation(shell.project(), shell.directory / target, folders, shell.report, figures_folder=drawn)

    def show() -> None:
        click.echo(done.headline)
        click.echo(printable(f"{done.path}: {size_text(done.bytes)}, {'written' if done.changed else 'unchanged'}"))
        for path in done.figures:
            click.echo(printable(path))

    return Outcome((), done, show)
