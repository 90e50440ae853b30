"""What a release holds so that it can be made again from itself, beside the files of its run: catalogue, stages and ledgers.

    project/params.yaml    the entries of the run, without stores and without what only the publisher's machine has
    project/dvc.yaml       the stages that make the run
    project/CITATION.cff   as it is in the project, if it is
    claims/NAME.yaml       the ledgers of manifests/claims, as they are

Releases of earlier versions have none of these. And the way back: a release that was fetched, laid out as a project with
nothing believed that it says of itself, and what its files print about what it holds, with what its bytes give for the same.

Pure, but for `project_texts`, which reads files of the project, and `open_release`.
"""

import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import msgspec

from aqea_registry.base.files import Limit, UnsafePath, read_small, safe_path, write_bytes
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, Refused
from aqea_registry.base.sha256_list import LEFT_OUT, MANIFEST, Parsed, parse_list, render
from aqea_registry.base.strict import load_json, load_yaml, render_yaml
from aqea_registry.claims.ledger import FOLDER
from aqea_registry.comparison.trees import PINS, Tree
from aqea_registry.documents.markup_tables import html_tables, markdown_tables
from aqea_registry.documents.tables import Table
from aqea_registry.project.artefact import (
    CLAIMS,
    DATA,
    METRICS,
    PROJECT,
    PUBLISHED,
    AnyArtefact,
    CatalogueEntry,
    PairSetArtefact,
    VectorSetArtefact,
)
from aqea_registry.project.citation import CITATION
from aqea_registry.project.lock import LOCK, OWN_STAGES, Lock, parse_lock
from aqea_registry.project.params import WRITTEN, Params, Versions, group_of, parse_params
from aqea_registry.project.project import PARAMS, STAGES, Project, open_project
from aqea_registry.releases.card import CARD, CROISSANT, REPORT
from aqea_registry.remote.answers import quotable
from aqea_registry.stores.release import LIST, Release
from aqea_registry.verification.verify_project import CheckedProject

PLACES = {folder: place for place, folder in PUBLISHED.items()} | {"claims": FOLDER}  # folder of a release to one of a project
# What params.yaml keeps plain.
_FILLED = re.compile(r"\$\{(item\.(dataset|model|file|format)|key|run\.(pairs|exports|vectors))\}")
_COMMAND = re.compile(r"aqea-registry (generate|export|manifest)(?!\S)(?!.*[ C]/)")  # no path begins at the root of the disk


def project_texts(root: Path, params: Params, entries: Iterable[CatalogueEntry], ledgers: Iterable[str]) -> dict[str, bytes]:
    """The files, by their paths in a release, of a project whose run uses these entries. Raises CannotCheck, OSError."""
    stages = load_yaml(read_small(root / STAGES, Limit.PROJECT), STAGES)
    named = OWN_STAGES if params.run.vectors else OWN_STAGES - {"evaluate"}  # which earlier versions do not know
    own = {name: stage for name, stage in (stages or {}).get("stages", {}).items() if name in named}
    if not own:
        message = f"{STAGES} has no stage of aqea-registry, so nobody could make this run again"
        raise CannotCheck(message, f"git checkout {STAGES}")
    texts = {
        f"{PROJECT}{PARAMS}": render_params(params, entries),
        f"{PROJECT}{STAGES}": render_yaml({"stages": own}).encode(),
        **{f"{CLAIMS}{name}.yaml": read_small(root / FOLDER / f"{name}.yaml", Limit.DOCUMENT) for name in ledgers},
    }
    if (root / CITATION).exists():
        texts[f"{PROJECT}{CITATION}"] = read_small(root / CITATION, Limit.SETTINGS)
    return texts


def render_params(params: Params, entries: Iterable[CatalogueEntry]) -> bytes:
    """params.yaml with the run and what it uses alone, in one spelling: the same values give the same bytes."""
    catalogue: dict[str, dict[str, Any]] = {"datasets": {}, "models": {}}
    for name, entry, *_ in sorted(entries, key=lambda wanted: wanted.name):
        sources, group = [spec for spec in entry.sources if _portable(spec)], group_of(entry)
        if entry.kind == "directory" and not sources:
            sources = [f"directory:{'data' if group == 'datasets' else 'models'}/{name}"]
        catalogue[group][name] = _stated(msgspec.structs.replace(entry, sources=tuple(sources)))
    values = {
        **({} if params.requires is None else {"requires": params.requires}),
        "sources": [spec for spec in params.sources if _portable(spec)] or ["cache", "hub"],
        **catalogue,
        "runs": {},
        "run": {name: made for name, made in msgspec.to_builtins(params.run).items() if made or name != "vectors"},
        "precision": params.precision,
        **({} if params.versions is None else {"versions": msgspec.to_builtins(params.versions)}),
        "publish": {**_stated(params.publish), "stores": []},
    }
    return render_yaml(values).encode()


def _stated(value: Any) -> Any:
    """A value as plain ones, without fields that have their defaults."""
    if not isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    fields = ((field, getattr(value, field.name)) for field in msgspec.structs.fields(value))
    return {field.encode_name: _stated(part) for field, part in fields if part not in (field.default, {})}


def _portable(spec: str) -> bool:
    """Whether a source means the same on another machine, and holds no secret."""
    kind, _, path = spec.partition(":")
    if "://" in spec:
        return kind not in {"file", "local"} and quotable(spec) == spec
    if kind != "directory":
        return kind in {"hub", "cache", "package"}
    try:
        return not safe_path(posixpath.normpath(path)).startswith(("~", "{"))
    except UnsafePath:
        return False


def restored_path(path: str) -> str | None:
    """Where a file of a release lies in the project that it was made from; None for card, page and what else describes it."""
    if path in (PINS, *(f"{PROJECT}{name}" for name in (PARAMS, STAGES, CITATION))):
        return LOCK if path == PINS else path.removeprefix(PROJECT)
    folder, _, name = path.rpartition("/")
    return f"{PLACES[folder]}/{name}" if folder in PLACES else None


def parse_project(params: bytes, stages: bytes) -> Params:
    """The catalogue of a release, which anybody may have made: its stages run this program alone, and no path leads out.

    Raises Refused for others, BadConfiguration.
    """
    parsed, read = parse_params(params, f"{PROJECT}{PARAMS}"), load_yaml(stages, f"{PROJECT}{STAGES}")
    specs = {*parsed.sources, *(spec for entry in parsed.catalogue.values() for spec in entry.sources)}
    odd = [(PARAMS, spec) for spec in specs if not _portable(spec)]
    odd += [(STAGES, text) for text in _not_ours(read, "")]
    if odd:
        message = f"{quotable(odd[0][1])!r} is not in a project that this program releases; nothing was written"
        raise Refused.of("malformed", f"{PROJECT}{odd[0][0]}", message, hint="to look at its files: pull it without --project")
    return parsed


def _not_ours(value: Any, key: str) -> Iterator[str]:
    """Texts of dvc.yaml by which a stage would run another program, or use other files than those of the project."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name not in ("desc", "title"):  # for people
                yield from (*_not_ours(name, ""), *_not_ours(part, name))
    elif isinstance(value, list):
        for part in value:
            yield from _not_ours(part, key)
    elif isinstance(value, str):
        plain = _FILLED.sub("_", value)
        ours = re.fullmatch(r"\w[\w./ @-]*", plain) and ".." not in plain
        if not ours or (key == "cmd" and not _COMMAND.match(plain)):
            yield value


OTHERS = ".aqea/release"  # where files lie that no project has; no path of a release begins so
ROWS = frozenset({"artefact", "pair set", "file", "name"})  # what rows of the tables are about that card and page print
Print = tuple[str, str, str]  # what something is about, what of it, and the text


class NotChecked(msgspec.Struct, frozen=True):
    """Something that was not looked at, and why."""

    what: str
    why: str


CheckNote = Finding | NotChecked


class Opened(NamedTuple):
    """A release laid out as a project: where, and the hex sha256 of its files by their paths there; its pins.

    `left_out` are the paths of what it names and does not hold, `pairs` those of the pair files by key. `artefacts`,
    `vector_sets` and `catalogue` are empty where the release has no catalogue.
    """

    root: Path
    digests: Mapping[str, str]
    left_out: Collection[str]
    lock: Lock
    pairs: Mapping[str, str]
    artefacts: Mapping[str, PairSetArtefact] = {}
    vector_sets: Mapping[str, VectorSetArtefact] = {}
    catalogue: Mapping[str, CatalogueEntry] = {}
    versions: Versions = WRITTEN

    @property
    def made(self) -> dict[str, AnyArtefact]:
        """Pair sets and vector sets by key."""
        return {**self.artefacts, **self.vector_sets}


def place(path: str) -> str:
    """Where a file of a release lies in a project; what no project has lies apart."""
    return restored_path(path) or f"{OTHERS}/{path}"


def open_release(tree: Tree, root: Path, notes: list[CheckNote]) -> tuple[Opened, Project | None]:
    """Fetch a release and lay it out in `root`, with the project in it, if it has a catalogue.

    What is wrong with its files and catalogue, and what was not checked, is `notes`.
    """
    digests, left_out = dict[str, str](), {place(path): sha256 for path, sha256 in tree.left_out.items()}
    for path, sha256 in tree.files.items():
        try:
            fetched, target = tree.fetch(path), root / place(path)
        except Refused as error:
            notes += error.findings
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        fetched.rename(target)
        digests[place(path)] = sha256
    write_bytes(root / MANIFEST, render({**left_out, **digests}))
    write_bytes(root / LEFT_OUT, "".join(f"{path}\n" for path in left_out).encode())
    lock = Lock()
    try:
        lock = parse_lock(read_small(root / LOCK, Limit.PROJECT)) if LOCK in digests else lock
        if {PARAMS, STAGES} <= digests.keys():
            return _with_project(Opened(root, digests, left_out, lock, {}), notes)
        why = "the release has no catalogue: an earlier version made it, or it was left out"
        notes.append(NotChecked("claims, and the settings of datasets and models", why))
    except (BadConfiguration, Refused) as error:
        notes += error.findings or [Finding("malformed", error.message.partition(":")[0], error.message)]
    keys = [PurePath(path).stem for path in digests if path.startswith(f"{METRICS}/")]
    paths = _pair_files(digests)
    pairs = {next((key for key in keys if _plain(path).startswith(_plain(key))), path): path for path in paths}
    return Opened(root, digests, left_out, lock, pairs), None


def _with_project(opened: Opened, notes: list[CheckNote]) -> tuple[Opened, Project]:
    project = open_project(opened.root)
    parse_project(*(read_small(opened.root / path, Limit.PROJECT) for path in (PARAMS, STAGES)))
    pairs = {key: artefact.file for key, artefact in project.artefacts.items()}
    for path in sorted({*_pair_files(opened.digests)} - {*pairs.values()}):
        notes.append(of_release(Finding("unexpected", path, "the release's own catalogue has no such pair set")))
    # No address is asked that the release names: nobody knows whose it is.
    catalogue = {
        name: entry._replace(sources=[spec for spec in entry.sources if "://" not in spec])
        for name, entry in project.catalogue.items()
    }
    made, versions = (project.artefacts, project.vector_sets), project.params.versions or Versions()
    return Opened(*opened[:4], pairs, *made, catalogue, versions), project


def _pair_files(paths: Iterable[str]) -> list[str]:
    return [path for path in paths if path.startswith(f"{DATA}/") and path.endswith("_pairs.json")]


def _plain(path: str) -> str:
    return PurePath(path).name.replace("_", "-")


def of_release(finding: Finding) -> Finding:
    """A finding on a project as one on a release: by the file's path there, without advice for those who made it."""
    path, colon, rest = finding.subject.partition(":")
    folder = PUBLISHED.get(path.rpartition("/")[0])
    subject = f"{folder}/{PurePath(path).name}" if folder else path
    return msgspec.structs.replace(finding, subject=f"{subject}{colon}{rest}", message=finding.message.partition("; run: ")[0])


def facts_of(release: Release, lock: Lock, checked: CheckedProject) -> Mapping[str, Mapping[str, str]]:
    """By the name of what is printed about, and the column: what the bytes give."""
    facts = defaultdict[str, dict[str, str]](dict)
    for key, examined in checked.pair_sets.items():
        header, scores = examined.header, msgspec.structs.asdict(examined.metrics)
        facts[key] |= {"dataset": header.dataset, "model": header.model, "content digest": examined.content}
        facts[key] |= {"pairs": str(header.n_pairs), "dimension": str(header.dimension)}
        facts[key] |= {name: repr(score) for name, score in scores.items()}
        facts[key] |= {name: f"{scores[f'cos_sim_{name}']:.4f}" for name in ("spearman", "pearson")}
    for key, each in checked.vector_sets.items():
        facts[key] |= {"task": each.task, "texts": str(each.texts), "dimension": str(each.dimension)}
        facts[key] |= {"main score": each.main_score, "score": each.text(), "content digest": each.content}
    for path, layer in release.files().items():
        facts[path] |= {"bytes": str(layer.size), "sha256": layer.digest.removeprefix("sha256:")}
    for name, pin in {**lock.datasets, **lock.models}.items():
        facts[name] |= {"commit": pin.commit} if pin.commit else {}
        facts[name] |= {"digest of the files": pin.digest()} if pin.files else {}
    return facts


def _in_tables(tables: Iterable[Table]) -> Iterator[Print]:
    for table in tables:
        columns = [label.lower() for label in table.columns]
        if columns[table.key] in ROWS:
            for row in table.rows:
                for label, cell in zip(columns, row.cells, strict=True):
                    yield row.cells[table.key].text, label, cell.text


def _scores_in(key: str, content: bytes) -> Iterable[Print]:
    value = load_json(content, key)
    return [(key, name, repr(score)) for name, score in value.get("metrics", value).items()]


def readers(pairs: Mapping[str, str]) -> dict[str, Callable[[bytes], Iterable[Print]]]:
    """How to read what each file of a release prints: its descriptions, and files of scores of pair sets (key to pair file)."""
    benchmarks = {key: PurePath(path).name.replace("_pairs.", "_benchmark.") for key, path in pairs.items()}
    paths = {f"metrics/{key}.json": key for key in benchmarks} | {f"data/{name}": key for key, name in benchmarks.items()}
    return {**_READERS, **{path: partial(_scores_in, key) for path, key in paths.items()}}


def _listed(parsed: Parsed) -> Iterable[Print]:
    if parsed.findings:
        raise Refused(f"{LIST} is damaged", parsed.findings)
    return [(path, "sha256", sha256) for path, sha256 in parsed.entries.items()]


_READERS: dict[str, Callable[[bytes], Iterable[Print]]] = {
    CARD: lambda content: _in_tables(markdown_tables(content.decode(), CARD)),
    REPORT: lambda content: _in_tables(html_tables(content.decode(), REPORT)),
    CROISSANT: lambda content: [
        (str(file["contentUrl"]), "sha256", str(file["sha256"])) for file in load_json(content, CROISSANT)["distribution"]
    ],
    LIST: lambda content: _listed(parse_list(content, LIST)),
}
