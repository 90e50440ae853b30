"""Commands that begin a project and make things (pins, pair sets, exports, the manifest), and `cache` for kept vectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from aqea_registry.base.progress import plural, size_text
from aqea_registry.cli.output import echo, paint, print_table
from aqea_registry.cli.shell import Outcome, Shell, command, complete, epilog, main

if TYPE_CHECKING:
    from aqea_registry.generation.generate import Generated, Made
    from aqea_registry.generation.vector_sets import Evaluated
    from aqea_registry.sources.pin import Checked


@command("init", "init paper --dataset forum=forum.jsonl --model mini=ORG/MODEL", "init --document paper.tex --card ORG/MODEL")
@click.argument("folder", required=False, metavar="[DIR]")
@click.option("--dataset", "datasets", multiple=True, metavar="NAME=PATH|ID", help="Rows: a file, a folder, an id of the Hub.")
@click.option("--model", "models", multiple=True, metavar="NAME=ID|package:...|PATH", help="A sentence-transformers model.")
@click.option("--document", "documents", multiple=True, metavar="FILE", help="A paper: its tables become a ledger.")
@click.option("--card", "cards", multiple=True, metavar="FILE|ID", help="A model card: datasets and claims of its model-index.")
@click.option("--one-stage", is_flag=True, help="A dvc.yaml of one stage for all artefacts, as for a run of many.")
def init(shell: Shell, documents: tuple[str, ...], **named: Any) -> Outcome:
    """Begin a project in a folder: params.yaml, dvc.yaml, .gitignore, a workflow for CI, git and DVC, and pins.

    Every dataset is taken under every model; without a dataset a small example, without a model MiniLM, from
    'aqea-registry[demo]'. Options may be repeated; an id may have a config and a revision, ORG/NAME:CONFIG@REV. Nothing that
    is there is overwritten: beside a params.yaml, dvc.yaml or metrics/ of another kind the project goes into a folder aqea/.
    """
    from aqea_registry.cli.beginning import begin

    return begin(shell, documents=shell.paths(documents), **named)


@command("pin", "pin forum minilm", "pin --check")
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

    def show() -> Iterator[str]:
        for pinned in made.done:
            pin = pinned.pin
            source = pin.resolved_from or "unresolved"
            files = f"{plural(len(pin.files), 'file')}, {pin.commit_text()}, from {source}"
            echo(f"{paint(f'{pinned.state:10}')} {pinned.name}: {files}")
            yield from (f"           {path} is another file now" for path in pinned.changed_files)
        for name in made.failed:
            echo(f"{paint('FAILED    ')} {name}")
        yield from (f"note: {note}" for note in made.notes)

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

    def show() -> Iterator[str]:
        for name, state in checked.states.items():
            echo(f"{paint(f'{state:10}')} {name}")
        if "confirmed" in checked.states.values():
            yield "recorded; run: dvc repro" if record else "to record it: aqea-registry pin --check --record"

    return Outcome(checked.findings, {"states": checked.states, "unasked": checked.unasked}, show)


@command("generate forum minilm", "generate forum minilm --device cuda --fresh", "generate", needs="generation")
@click.argument("dataset", required=False, shell_complete=complete("datasets"))
@click.argument("model", required=False, shell_complete=complete("models"))
@click.option("--batch", type=click.IntRange(1), help="Sentences at a time (default: as many as make 512 tokens).")
@click.option("--threads", type=click.IntRange(1), help="Processor threads (default: torch's own choice).")
@click.option("--attention", type=click.Choice(["sdpa", "eager"]), help="Attention (default: the model's own choice).")
@click.option("--device", metavar="DEVICE", default="cpu", help="Where the model runs, such as cuda (default: cpu).")
@click.option("--fresh", is_flag=True, help="Encode every sentence again, also those encoded before.")
def generate(shell: Shell, dataset: str | None, model: str | None, fresh: bool, **options: Any) -> Outcome:
    """Make one pair set of the run, or one vector set and the result of its task: what a DVC stage calls.

    Without DATASET and MODEL, everything whose inputs or files are not as dvc.lock and the manifest record them. Batch,
    threads, attention and device change the speed; in canonical precision they change no byte.
    """
    from aqea_registry.embedding.encoder import Settings
    from aqea_registry.generation import generate as operation

    if dataset and not model:
        raise click.UsageError("Missing argument 'MODEL'.")
    settings, project = Settings(**options), shell.project(whole=True)
    if dataset and model:
        return _made(operation.generate(project, dataset, model, settings, shell.report, fresh=fresh))
    made = []
    for done in operation.generate_changed(project, settings, shell.report, fresh=fresh):
        shell.report.note(f"{done.path}: encoded now {done.encoded}, before {done.reused}")
        made.append(done)
    as_they_are = len(project.run.made) - len(made)
    text = f"made {plural(len(made), 'artefact')}; {as_they_are} others are as they are recorded"
    return Outcome((), {"made": made, "unchanged": as_they_are}, lambda: [text])


@command("encode", "encode minilm --engine ray --address 10.0.0.1:6379 --gpus-per-worker 1", needs="generation")
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

    from aqea_registry.base.findings import BadConfiguration
    from aqea_registry.embedding.encoder import Settings
    from aqea_registry.generation import encode as operation
    from aqea_registry.generation.workers import ThisMachine, open_cluster

    address, workers, gpus, threads = (options[name] for name in ("address", "workers", "gpus_per_worker", "threads"))
    if engine == "local" and (address or workers or gpus):
        raise BadConfiguration("--address, --workers and --gpus-per-worker go with a cluster", "add --engine ray")
    settings, project = Settings(threads=threads, device=options["device"] or ("cuda" if gpus else "cpu")), shell.project()
    seed = randbelow(10**6) if seed is None else seed
    with nullcontext(ThisMachine()) if engine == "local" else open_cluster(address, workers, gpus, threads) as opened:
        if engine == "ray":
            shell.report.note(f"what a second worker computes again is chosen by --seed {seed}")
        done = operation.encode(project, models, opened, settings, shell.report, seed)

    def show() -> Iterator[str]:
        for model in done:
            checked = f", {len(model.checked)} checked" if model.checked else ""
            by = f" by {plural(len(model.workers), 'worker')}{checked}" if model.workers else ""
            yield f"{model.name}: {plural(model.texts, 'text')}, encoded now {model.encoded}{by}"

    return Outcome((), {"models": done, "seed": seed}, show)


@command("import-vectors vectors.npy --model ada --dataset forum", needs="Parquet")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--model", required=True, metavar="NAME", help="The model of kind given in params.yaml.")
@click.option("--dataset", required=True, metavar="NAME", help="The pinned dataset whose rows they are of.")
def import_vectors(shell: Shell, files: tuple[str, ...], model: str, dataset: str) -> Outcome:
    """Make a pair set of vectors that were made elsewhere: by an API, or on last year's machine.

    FILE is .npy (an array (2, n, d) or (n, 2, d), or two files of (n, d)), or .parquet or .jsonl with a row for each pair and
    lists of numbers embedding1 and embedding2. It is copied to given/MODEL and pinned. The vectors are normalised and rounded
    as those that are made here; all that shows them says that they were given.
    """
    from aqea_registry.embedding.encoder import Settings
    from aqea_registry.generation.generate import generate as made_of
    from aqea_registry.generation.inputs import import_vectors as operation

    operation(shell.project(), shell.paths(files), dataset, model, shell.report)
    return _made(made_of(shell.project(), dataset, model, Settings(), shell.report))


def _made(made: Made) -> Outcome:
    """What generate and import-vectors show of what was made."""
    from aqea_registry.generation.generate import Generated

    return Outcome((), made, lambda: _pair_set_lines(made) if isinstance(made, Generated) else _result_lines(made))


def _pair_set_lines(made: Generated) -> Iterator[str]:
    from aqea_registry.vectors.margin import margin_text
    from aqea_registry.vectors.scores import Metrics

    yield f"{made.path}: {plural(made.n_pairs, 'pair')} x {made.dimension}, {made.precision}"
    if made.precision != "given":
        yield f"sentences encoded now {made.encoded}, before {made.reused}"
    if made.margin is not None:
        yield margin_text(made.margin)
    yield from (f"{field:20} {getattr(made.metrics, field)!r}" for field in Metrics.__struct_fields__)


def _result_lines(made: Evaluated) -> Iterator[str]:
    yield f"{made.path}: {plural(made.texts, 'text')} x {made.dimension}, {made.precision}, content {made.content}"
    yield f"texts encoded now {made.encoded}, before {made.reused}"
    if made.near_ties:
        yield f"{plural(made.near_ties, 'neighbour')} in lists of results that differ, but not in float32"
    for split, subsets in made.scores.items():
        for subset, scores in subsets.items():
            yield f"{made.task}, {split}, {subset}: {made.main_score} {scores[made.main_score]!r}"


@command("export training/data/forum_minilm_384d_pairs.json --format parquet", "export metrics/forum-minilm.json --format mteb")
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

    if part := {"parquet": "Parquet", "mteb": "a task of MTEB"}.get(kind):
        require(part)
    if kind == "mteb":
        from aqea_registry.generation.mteb_scores import export_results

        path = export_results(shell.project(), file)
    else:
        path = operation(shell.project(), file, kind)
    return Outcome((), {"path": path}, lambda: [path])


@command("manifest")
def manifest(shell: Shell) -> Outcome:
    """Write manifests/MANIFEST.sha256 and the sizes beside it, for the files of the run."""
    from aqea_registry.base.sha256_list import MANIFEST
    from aqea_registry.project.project import write_manifest

    project = shell.project()
    files, changed = write_manifest(project.root, project.run.paths(), shell.report)
    data = {path: {"sha256": sha256, "size": size} for path, (sha256, size) in files.items()}
    text = f"{MANIFEST}: {plural(len(files), 'file')}{'' if changed else ', unchanged'}"
    return Outcome((), {"files": data, "changed": changed}, lambda: [text])


@main.group(epilog=epilog("cache size", "cache prune --write", "cache verify"))
def cache() -> None:
    """Vectors that are kept in .aqea/vectors. How many, what no run uses, whether they are as they were written."""


@command("cache size", group=cache)
def size(shell: Shell) -> Outcome:
    """Show texts, bytes and segments of each model and method."""
    from aqea_registry.generation.encoding import kept_vectors

    kept = kept_vectors(shell.project().root)
    rows = [(found.folder, f"{found.texts:,}", size_text(found.bytes), found.segments) for found in kept]
    data = {"kept": kept, "bytes": sum(found.bytes for found in kept)}
    return Outcome((), data, lambda: print_table(("folder", "texts", "size", "segments"), rows))


@command("cache prune", "cache prune --write", group=cache, needs="generation")
@click.option("--write", is_flag=True, help="Remove it.")
def prune(shell: Shell, write: bool) -> Outcome:
    """Remove vectors that no run of the project uses, and those of earlier versions; show them without --write."""
    from aqea_registry.generation import encoding as operation

    unused = operation.prune(shell.project(), write=write)
    lines = [f"{'removed' if write else 'unused'}: {path} ({size_text(count)})" for path, count in unused.items()]
    state = "" if write or not unused else "; --write removes it"
    lines += [f"{size_text(sum(unused.values()))} {'removed' if write else 'that no run uses'}{state}"]
    return Outcome((), {"unused": unused, "removed": write}, lambda: lines)


@command("cache verify", group=cache)
def verify(shell: Shell) -> Outcome:
    """Check all kept vectors against their digests. What is damaged is never used, whether it is found here or not."""
    from aqea_registry.generation.encoding import check_kept, kept_vectors

    root = shell.project().root
    findings, kept = check_kept(root, shell.report), kept_vectors(root)
    whole = f"{plural(sum(found.texts for found in kept), 'vector', form=',')}: as they were written"
    return Outcome(findings, {"kept": kept}, lambda: [] if findings else [whole])
