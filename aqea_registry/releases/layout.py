"""What a release holds so that it can be made again from itself, beside the files of its run: catalogue, stages and ledgers.

    project/params.yaml    the entries of the run, without stores and without what only the publisher's machine has
    project/dvc.yaml       the stages that make the run
    project/CITATION.cff   as it is in the project, if it is
    claims/NAME.yaml       the ledgers of manifests/claims, as they are

Pure, but for `project_texts`, which reads files of the project. Releases of earlier versions have none of these.
"""

import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from aqea_registry.base.files import Limit, UnsafePath, read_small, safe_path
from aqea_registry.base.findings import CannotCheck
from aqea_registry.base.strict import load_yaml, render_yaml
from aqea_registry.claims.ledger import FOLDER
from aqea_registry.project.artefact import CLAIMS, PROJECT, CatalogueEntry
from aqea_registry.project.lock import OWN_STAGES
from aqea_registry.project.params import Params, group_of
from aqea_registry.project.project import PARAMS
from aqea_registry.releases.card import NAME as CITATION
from aqea_registry.remote.answers import quotable

STAGES = "dvc.yaml"


def project_texts(root: Path, params: Params, entries: Iterable[CatalogueEntry], ledgers: Iterable[str]) -> dict[str, bytes]:
    """The files, by their paths in a release, of a project whose run uses these entries. Raises CannotCheck, OSError."""
    stages = load_yaml(read_small(root / STAGES, Limit.PROJECT), STAGES)
    own = {name: stage for name, stage in (stages or {}).get("stages", {}).items() if name in OWN_STAGES}
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
        "sources": [spec for spec in params.sources if _portable(spec)] or ["cache", "hub"],
        **catalogue,
        "runs": {},
        "run": msgspec.to_builtins(params.run),
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
    try:
        return kind != "directory" or not safe_path(posixpath.normpath(path)).startswith("~")
    except UnsafePath:
        return False


def restored_path(path: str, of_run: Sequence[tuple[str, str]]) -> str | None:
    """Where a file of a release lies in a project, whose run has these published and own paths; None for card and page."""
    if path.startswith(PROJECT):
        return path.removeprefix(PROJECT)
    if path.startswith(CLAIMS):
        return f"{FOLDER}/{path.removeprefix(CLAIMS)}"
    return dict(of_run).get(path)
