"""What a release holds so that it can be made again from itself, beside the files of its run: catalogue, stages and ledgers.

    project/params.yaml    the entries of the run, without stores and without what only the publisher's machine has
    project/dvc.yaml       the stages that make the run
    project/CITATION.cff   as it is in the project, if it is
    claims/NAME.yaml       the ledgers of manifests/claims, as they are

Pure, but for `project_texts`, which reads files of the project. Releases of earlier versions have none of these.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from aqea_registry.base.files import Limit, UnsafePath, read_small, safe_path
from aqea_registry.base.findings import CannotCheck, Refused
from aqea_registry.base.strict import load_yaml, render_yaml
from aqea_registry.claims.ledger import FOLDER
from aqea_registry.comparison.trees import PINS
from aqea_registry.project.artefact import CLAIMS, PROJECT, PUBLISHED, CatalogueEntry
from aqea_registry.project.citation import CITATION
from aqea_registry.project.lock import LOCK, OWN_STAGES
from aqea_registry.project.params import Params, group_of, parse_params
from aqea_registry.project.project import PARAMS, STAGES
from aqea_registry.remote.answers import quotable

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
        raise CannotCheck(
            f"{STAGES} has no stage of aqea-registry, so nobody could make this run again", f"git checkout {STAGES}"
        )
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
