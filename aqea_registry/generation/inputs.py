"""What artefacts are made of, out of pinned files: the rows of a dataset, the files of a model, vectors that were given.

The verb import-vectors brings the last in: they are copied to `given/MODEL/` and pinned, and `generate` makes a pair set of
them as of any others. Its bytes are a pure function of the imported file, which need not be there afterwards.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aqea_registry.base.files import atomic_write, hash_file, hash_stream, open_regular, size_of
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused
from aqea_registry.base.progress import Reporter
from aqea_registry.project.artefact import CatalogueEntry, RunArtefact
from aqea_registry.project.lock import Pin, PinnedFile, require_pin
from aqea_registry.project.params import GIVEN, Dataset, Params
from aqea_registry.project.project import CACHE, Project
from aqea_registry.sources.fetch import fetch, opened
from aqea_registry.sources.kinds import sources_of
from aqea_registry.sources.mteb_tasks import completed, reads_rows
from aqea_registry.sources.pin import pin_given
from aqea_registry.sources.rows import Rows, other_splits, read_rows
from aqea_registry.vectors.containers import pair_json
from aqea_registry.vectors.containers.given import ACCEPTED, canonical, open_given
from aqea_registry.vectors.pair_set import Malformed, Micro

Matrices = Callable[[int], Iterator[Micro]]  # the rows of one of the two matrices in blocks, as often as they are asked for


def pinned_rows(dataset: CatalogueEntry, report: Reporter, *, local_only: bool = False) -> Rows:
    """A dataset's rows out of its pinned files; with `local_only`, from this machine alone. Raises RegistryError."""
    entry, (pin, folder) = completed(dataset).entry, pinned_files(dataset, report, local_only)
    assert isinstance(entry, Dataset)
    if not reads_rows(dataset.name, entry):
        message = f"params.yaml: {dataset.name}: a pair set is of one subset of an STS task, and {entry.mteb} is not that"
        raise BadConfiguration(message, "name one under 'subsets', or move the pair set from 'pairs' to 'vectors' of its run")
    rows = read_rows(opened({path: folder / path for path in pin.files}), entry, dataset.name)
    splits = (f"{finding.subject}: {finding.message}" for finding in other_splits(dataset.name, entry, pin.files))
    for remark in (*splits, *rows.notes(dataset.name)):
        report.warn(remark)
    return rows


def pinned_files(wanted: CatalogueEntry, report: Reporter, local_only: bool) -> tuple[Pin, Path]:
    """The pin of a catalogue entry, and a folder with exactly the files that it names."""
    pin = require_pin(wanted.name, wanted.entry, wanted.pin)
    sources = sources_of(wanted, pin.commit)
    if local_only:
        sources = [source for source in sources if source.present() and source.local(min(pin.files)) is not None]
    return pin, fetch(wanted.name, pin, sources, wanted.root / CACHE / "pinned", report)


@contextmanager
def given_vectors(
    artefact: RunArtefact, model: CatalogueEntry, listed: str | None, graded: Sequence[float], report: Reporter
) -> Iterator[Matrices]:
    """Given vectors on the grid: out of the imported file or, where no source has that, the pair file that was made of it.

    `listed` is the sha256 of the pair file in the manifest. Raises Refused, also while they are read, for what is not such
    vectors; CannotCheck if neither file is here.
    """
    pin, kept, folder = artefact.given_pin(), model.root / artefact.pairs, None
    try:
        folder = fetch(model.name, pin, sources_of(model, None), model.root / CACHE / "pinned", report)
    except CannotCheck as error:
        if not kept.is_file() or hash_file(kept).sha256 != listed:
            message = f"{error.message}; nor is {artefact.pairs} here as the manifest lists it"
            raise CannotCheck(message, "dvc pull, or pull a release that has it") from error
    try:
        if folder is None:
            with open_regular(kept) as file:
                yield pair_json.read(file).blocks
        else:
            given = open_given([folder / path for path in sorted(pin.files)], graded)
            yield lambda which: canonical(given, which, len(graded), artefact.model_entry.dimension)
    except Malformed as error:
        raise Refused.of(error.code, f"{model.name}: {', '.join(pin.files)}", str(error)) from error


def import_vectors(project: Project, files: Sequence[Path], dataset: str, model: str, report: Reporter) -> None:
    """Copy and pin given vectors of a pinned dataset; `generate` makes the pair set.

    Raises Refused for vectors that are not as they must be, and BadConfiguration, with the lines to add, if params.yaml has no
    such model or pair set; then nothing is written.
    """
    if dataset not in project.params.datasets:
        known = ", ".join(sorted(project.params.datasets)) or "none"
        raise BadConfiguration(f"params.yaml has no dataset {dataset!r}; it has {known}", "add it, then: aqea-registry pin")
    rows = pinned_rows(project.catalogue[dataset], report)
    try:
        given = open_given(files, rows.scores)
        dimension = next((block.shape[1] for block in given.blocks(0)), 1)
        artefact = _artefact(project.params, project.artefacts.values(), dataset, model, dimension)
        for which in (0, 1):
            for _ in canonical(given, which, len(rows.scores), artefact.model_entry.dimension):
                pass
    except Malformed as error:
        raise Refused.of(error.code, ", ".join(map(str, files)), str(error), hint=f"give {ACCEPTED}") from error
    stem, before = f"{artefact.given_stem}.", artefact.model_pin.files if artefact.model_pin else {}
    pinned = {path: file for path, file in before.items() if not path.startswith(stem)}
    for number, path in enumerate(files, 1):
        name = f"{stem}{f'{number}.' * (len(files) > 1)}{path.suffix[1:]}"
        with open_regular(path) as file, atomic_write(project.root / GIVEN / model / name) as copy:
            found = hash_stream(file, size_of(path), outgoing=copy)
        pinned[name] = PinnedFile(sha256=found.sha256, size=found.size)
    pin_given(project.catalogue[model], pinned)
    for name in before.keys() - pinned.keys():  # of another kind, or of two files where there is one now
        (project.root / GIVEN / model / name).unlink(missing_ok=True)


def _artefact(params: Params, run: Iterable[RunArtefact], dataset: str, model: str, dimension: int) -> RunArtefact:
    """What the run makes of given vectors. Raises BadConfiguration, with the lines to add, where params.yaml lacks it."""
    entry = params.models.get(model)
    if entry is not None and entry.kind != GIVEN:
        raise BadConfiguration(f"params.yaml: models.{model} is encoded here", "give the vectors the name of another model")
    if found := next((artefact for artefact in run if (artefact.dataset, artefact.model) == (dataset, model)), None):
        return found
    made = f"kind: given, repo: {model}, dimension: {dimension}, note: 'who made them, and when'"
    first = "" if entry else f"below models: `{model}: {{{made}}}` and "
    file = f"{dataset}_{model}_{entry.dimension if entry else dimension}d"
    second = f"below pairs: of its run `{dataset}-{model}: {{dataset: {dataset}, model: {model}, file: {file}}}`"
    what = "its run has no pair set" if entry else f"there is no model {model!r}, and no pair set"
    raise BadConfiguration(f"params.yaml: {what} of {dataset} under it", f"add {first}{second}, then the same command again")
