"""The work of `init`: a project for one's own paper; and the repositories of a project, which `pull` and `confirm` make too."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from aqea_registry.base.files import Limit, locked, read_small, write_bytes
from aqea_registry.base.findings import BadConfiguration, CannotCheck, RegistryError
from aqea_registry.base.recognise import document_text
from aqea_registry.base.strict import load_yaml
from aqea_registry.claims.import_claims import accounting, import_claims
from aqea_registry.cli.shell import Outcome, Shell
from aqea_registry.project import scaffold
from aqea_registry.project.params import NAME, to_params
from aqea_registry.project.project import MANY, OWN, PARAMS, is_project, open_project, small_text
from aqea_registry.project.scaffold import Entries
from aqea_registry.remote.hub_client import HubClient
from aqea_registry.sources import describe
from aqea_registry.sources.describe import ProjectPlace
from aqea_registry.sources.pin import pin

OTHERS = (PARAMS, "dvc.yaml", "training/data", "metrics", "plots", "views")  # that no project is put over
Cards = Mapping[Path, str | None]  # with the model of the Hub that one is of


def begin(
    shell: Shell,
    folder: str | None,
    datasets: Sequence[str],
    models: Sequence[str],
    documents: Sequence[Path],
    cards: Sequence[str],
    one_stage: bool,
) -> Outcome:
    """Write the files of a project that are not there, make its repositories, pin its entries and import its documents."""
    if absent := [path for path in documents if not path.is_file()]:
        raise CannotCheck(f"--document: {absent[0]} not found", "name a file of text: Markdown, HTML, LaTeX, CSV or TSV")
    place, notes = _place(shell, folder), list[str]()
    read = dict(_card(place, given) for given in cards)
    files = _files(place, *_catalogue(shell, place, datasets, models, read, notes), notes, one_stage)
    new = (path for path in files if path.name in scaffold.LISTS or not path.exists())
    written = [os.path.relpath(path) for path in new if write_bytes(path, files[path])]
    with locked(place.root):
        notes += git_and_dvc(place)
    project = open_project(place.root)
    unpinned = [name for name, known in project.run.pins().items() if known is None]
    failed = pin(project, unpinned, shell.report).error if unpinned else None
    unread = _import(place.root, {**read, **dict.fromkeys(documents)}, notes)
    steps = "aqea-registry pin" if failed else "dvc repro && aqea-registry verify"
    following = steps if place.root.resolve() == Path.cwd() else f"cd {shlex.quote(os.path.relpath(place.root))} && {steps}"
    lines = [*(f"wrote {path}" for path in written), *(f"note: {note}" for note in notes), f"next: {following}"]
    data = {"root": str(place.root), "written": written, "notes": notes, "next": following}
    return Outcome((), data, lambda: lines, failed or unread)


def _place(shell: Shell, folder: str | None) -> ProjectPlace:
    """Where the project is or will be: in the folder, or in its folder aqea/ where it has other things of these names."""
    target = shell.directory / (folder or ".")
    if target.is_file():
        raise BadConfiguration(f"{folder} is not a folder", f"to take its rows: aqea-registry init --dataset {folder}")
    root = next(filter(is_project, (target, target / OWN)), None)
    root = root or (target / OWN if any((target / name).exists() for name in OTHERS) else target)
    if (root / PARAMS).exists() and not is_project(root):
        message = f"{root / PARAMS} is not of aqea-registry: it has no run with pair sets"
        raise BadConfiguration(message, "name another folder: aqea-registry init DIR")
    here = next(filter(Path.is_dir, (target, *target.absolute().parents)))  # the folder may not exist yet
    top = output(here, "git", "rev-parse", "--show-toplevel")
    return ProjectPlace(root, shell.directory, Path(top) if top else target)


def _card(place: ProjectPlace, given: str) -> tuple[Path, str | None]:
    """A card that lies here, or the Hub's, kept in the project's folder cards/; and its model's id there."""
    if (found := place.find("--card", given)) is not None:
        return found, None
    repo, _, revision = given.partition("@")
    path = place.root / "cards" / f"{_slug(repo)}.md"
    if not path.is_file():
        client = HubClient(repo, "model")
        write_bytes(path, client.read(client.info(revision or None).commit, "README.md", Limit.DOCUMENT))
    return path, given


def _catalogue(
    shell: Shell, place: ProjectPlace, datasets: Sequence[str], models: Sequence[str], cards: Cards, notes: list[str]
) -> tuple[Entries, Entries]:
    """The entries for what was named, read from its bytes. Raises BadConfiguration for new ones where a project is."""
    known = open_project(place.root).params.catalogue if (place.root / PARAMS).exists() else None
    models = models or [given for given in cards.values() if given]
    models = models or ([] if (cards and not datasets) or known is not None else [f"minilm={describe.MINILM}"])
    if cards and not models and known is None:
        notes.append("the run is empty: the card does not say which model it is of; name it with --model NAME=ID")
    made: tuple[Entries, Entries] = ({}, {})
    for card in cards:
        text = document_text(read_small(card, Limit.DOCUMENT), str(card), "replace")
        entries, results = describe.datasets_of(text, str(card))
        made[0].update({name: entry for name, entry in entries.items() if known is None or name not in known})
        notes.append(f"{card}: {results} results, {len(entries)} datasets of STS with a revision")
    for group, words, entry_of in ((0, datasets, describe.dataset_entry), (1, models, describe.model_entry)):
        named = dict(map(_named, words))
        if len(named) < len(words):
            raise BadConfiguration("two of what is named have one name", "name each in its own way: --dataset NAME=PATH")
        for name, given in named.items():
            if known is None or name not in known:
                made[group][name], note = entry_of(name, given, place, shell.report)
                notes.append(note)
    if known is not None and any(made):
        lines = ", ".join(f"{group} {json.dumps(new)}" for group, new in zip(("datasets", "models"), made, strict=True) if new)
        message = f"{place.root / PARAMS} is there and is not changed by init"
        raise BadConfiguration(message, f"add to it {lines}, and lines like the others under run:")
    return made


def _files(place: ProjectPlace, datasets: Entries, models: Entries, notes: list[str], one_stage: bool) -> dict[Path, bytes]:
    """What a project has, by path."""
    root, top, files = place.root, place.repository, dict[Path, bytes]()
    if not (root / PARAMS).exists():
        title, licence = (root.parent if root.name == OWN else root).resolve().name, "other"
        if not datasets:
            datasets, licence = {"example": scaffold.EXAMPLE}, "cc0-1.0"
            files[root / "data/example/test.jsonl"] = _own("example.jsonl", "data/small/test.jsonl")
        files[root / PARAMS] = scaffold.params_text(datasets, models, title, licence).encode()
    content = files.get(root / PARAMS) or read_small(root / PARAMS, Limit.PROJECT)
    plain = load_yaml(content, PARAMS)
    run = to_params(plain, content).run
    if lacking := {key: value for key, value in scaffold.READ_BY_STAGES.items() if key not in plain}:
        absent = ", ".join(f"{key}: {json.dumps(value)}" for key, value in lacking.items())
        notes.append(f"{root / PARAMS} was left as it is; the stages of dvc.yaml read what it lacks, add to it {absent}")
    one_stage = one_stage or len(run.pairs) + len(run.vectors) > MANY
    files[root / "dvc.yaml"] = _own("one_stage.yaml") if one_stage else _own("dvc.yaml", "dvc.yaml")
    for name, lines in scaffold.LISTS.items():
        path = (top if name == ".gitattributes" else root) / name  # data and documents may lie beside the project
        files[path] = scaffold.with_lines(small_text(path, Limit.DOCUMENT), lines).encode()
    workflow = _own("workflow.yaml").replace(b"FOLDER", os.fsencode(os.path.relpath(root, top)))
    files[top / ".github/workflows/aqea.yml"] = workflow
    if (hooks := top / ".pre-commit-config.yaml").exists() and b"aqea-registry" not in read_small(hooks, Limit.DOCUMENT):
        notes.append(f"{hooks} was left as it is; to check numbers at each commit, add a hook to it: {scaffold.HOOK}")
    return {**files, hooks: scaffold.HOOKS.encode()}


def _own(name: str, path: str = "") -> bytes:
    """A file of the package, or one that the wheel takes from this path of the repository."""
    package = Path(__file__).parents[1]
    installed = package / "project" / name
    return (installed if installed.exists() else package.parent / path).read_bytes()


def git_and_dvc(place: ProjectPlace) -> list[str]:
    """Make the repositories that are missing; what was done. Raises CannotCheck."""
    root, top = place.root.resolve(), place.repository.resolve()
    dvc, notes = find_dvc(), list[str]()
    if shutil.which("git") is None or dvc is None:
        what, way = ("DVC", "pip install 'aqea-registry[generate]'") if shutil.which("git") else ("git", "install git")
        return [f"{what} is not installed, and nothing is made without it: {way}, then run: aqea-registry init"]
    if output(top, "git", "rev-parse", "--git-dir") is None and output(top, "git", "init", "-q") is not None:
        notes.append(f"made a git repository in {top}")
    if not any((folder / ".dvc").is_dir() for folder in (root, *root.parents) if folder.is_relative_to(top)):
        if output(root, dvc, "init", "-q", *(["--subdir"] if root != top else [])) is None:
            raise CannotCheck(f"{root}: DVC cannot be set up there", "run there: dvc init, and see what it says")
        notes.append(f"set up DVC in {root}")
    return notes


def set_up(root: Path) -> tuple[str, ...]:
    """Make the repositories of a restored project, and have DVC take its files as made; what was done, and what was not."""
    run, dvc = open_project(root).run, find_dvc()
    # DVC takes no stage without its files; one stage for all has folders.
    stages = [] if run.one_stage else sorted(run.stages.keys() - {made.stage for made in run.left_out.values()})
    with locked(root):  # DVC refuses to do two things at once in one project
        top = output(root, "git", "rev-parse", "--show-toplevel")
        notes = git_and_dvc(ProjectPlace(root, root, root if top is None else Path(top)))
        if not (root / "dvc.lock").exists() and (dvc is None or output(root, dvc, "commit", "--force", "-q", *stages) is None):
            why = "DVC has no record of the files, and would make them again"
            notes.append(f"{why}; to give it one, run there: dvc commit --force")
    return tuple(notes)


def find_dvc() -> str | None:
    """The program dvc: of the environment, or beside this interpreter."""
    return shutil.which("dvc") or shutil.which("dvc", path=str(Path(sys.executable).parent))


def output(folder: Path, *words: str) -> str | None:
    """What a program prints; None if it fails or is not here."""
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _import(root: Path, documents: Cards, notes: list[str]) -> RegistryError | None:
    """Turn the tables of documents and the results of cards into ledgers; the first reason why one could not be."""
    first = None
    for path, model in documents.items():
        try:
            done = import_claims(open_project(root), path, model=model.partition("@")[0] if model else None)
            notes.append(f"{done.ledger}: {accounting(done)}")
        except RegistryError as error:
            first = first or error
    return first


def _named(word: str) -> tuple[str, str]:
    """NAME=WHAT; without a name it is called as the file or repository is. Raises BadConfiguration."""
    name, sign, given = word.partition("=")
    name, given = (name, given) if sign else (_slug(word), word)
    if not (re.fullmatch("[a-z0-9][a-z0-9_-]*", name) and given):
        wrong, like = f"{name!r} is not {NAME}" if given else f"it does not say what {name!r} is", _slug(name) or "forum"
        raise BadConfiguration(f"{word!r}: {wrong}", f"write it as NAME=WHAT, as in {like}={given or 'forum.jsonl'}")
    return name, given


def _slug(given: str) -> str:
    """The name of a file, or of a repository with or without a revision, as a name of the catalogue."""
    return re.sub("[^a-z0-9]+", "-", Path(given.partition("@")[0]).stem.lower()).strip("-")
