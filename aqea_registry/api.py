"""The Python interface: what `import aqea_registry` offers, see docs/python.md. The command line takes names from here, too.

Nothing is printed. What is wrong comes back as findings; a RegistryError says that something could not be done.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from aqea_registry.base.progress import Reporter, Silent

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np
    import numpy.typing as npt

    from aqea_registry.base.findings import Finding
    from aqea_registry.project.project import Project
    from aqea_registry.verification.verify_list import Verified

SILENT = Silent()
PARAMS = "params.yaml"


class Meant(NamedTuple):
    """What a name means, a path or a STORE-REF, and a note for a person where it could have meant something else."""

    name: str
    note: str = ""


def meaning(name: str, folder: Path, *, path: bool = True, start: Path | None = None) -> Meant:
    """A path that exists (if a `path` can be meant) or a STORE-REF as it is; a bare tag in the default store.

    That is the first of the publish.stores of the project at `folder`, or `oci:releases`; its DIR is given from `start`
    (default: `folder`). Raises CannotCheck for a name that is neither a path nor a tag that the store has.
    """
    from aqea_registry.base.findings import CannotCheck, suggestion
    from aqea_registry.base.references import is_bare_tag, join_reference, split_reference

    there = path and (folder / name).exists()
    catalogues = (above / own for above in (folder, *folder.absolute().parents) for own in (PARAMS, f"aqea/{PARAMS}"))
    if not is_bare_tag(name) or (there and not any(own.exists() for own in catalogues)):
        return Meant(name)  # where no project can be, a list of digests loads nothing of them
    from aqea_registry.project.project import find_project

    root = find_project(folder)
    if there and not (root / PARAMS).exists():
        return Meant(name)
    from aqea_registry.stores.open_store import open_tagged
    from aqea_registry.stores.receipts import receipt_path

    store = _default_store(root)
    release = join_reference(store, name)
    if there:
        other = receipt_path(root, store, split_reference(release).tag).is_file()
        return Meant(name, f"{name} is read as the path; the release is {release}" if other else "")
    if path:
        try:
            open_tagged(release, root)
        except CannotCheck as error:
            hint = f"name a path, or a release such as oci:DIR:TAG; {error.hint}"
            hint = suggestion(name, [entry.name for entry in folder.iterdir() if entry.exists()], hint) or hint
            raise CannotCheck(f"{name} not found: there is no such path, and {error.message}", hint) from error
    seen = join_reference(spec_at(store, root, start or folder), name)
    return Meant(seen, f"{name} is read as {seen}")


def _default_store(root: Path) -> str:
    from aqea_registry.base.files import Limit, read_small
    from aqea_registry.base.findings import BadConfiguration
    from aqea_registry.project.params import parse_params

    try:
        stores = parse_params(read_small(root / PARAMS, Limit.PROJECT)).publish.stores
    except (OSError, BadConfiguration):  # whoever needs the project says what is wrong with it
        stores = ()
    return next(iter(stores), "oci:releases")


def spec_at(spec: str, root: Path, start: Path) -> str:
    """The spec of a store in a folder of `root`, as it is written at `start`."""
    from aqea_registry.base.references import is_folder
    from aqea_registry.stores.open_store import layout_folder

    if not is_folder(spec) or root.absolute() == start.absolute():
        return spec
    return f"oci:{os.path.relpath(layout_folder(root, spec), start)}"


def known_names(folder: Path, kinds: Collection[str]) -> list[str]:
    """Names of a folder's project, by kind: datasets, models, artefacts, files, ledgers, and tags that have receipts."""
    from aqea_registry.claims.ledger import FOLDER
    from aqea_registry.stores.receipts import all_receipts

    project = open_project(folder)
    names: dict[str, Collection[str]] = {
        "datasets": project.params.datasets,
        "models": project.params.models,
        "artefacts": project.run.made,
        "files": [artefact.file for artefact in project.artefacts.values()],
        "ledgers": [path.stem for path in (project.root / FOLDER).glob("*.yaml")],
        "tags": [receipt.tag for _, receipt in all_receipts(project.root, project.params.publish.stores)[0]],
    }
    return sorted({name for kind, known in names.items() if kind in kinds for name in known})


def open_project(path: str | Path = ".") -> Project:
    """The project that a folder lies in, read once. Raises BadConfiguration if there is none."""
    from aqea_registry.project import project

    return project.open_project(project.find_project(Path(path)))


def verify(target: str | Path = ".", *, root: str | Path | None = None, deep: bool = False) -> tuple[Finding, ...]:
    """What is wrong with a project, a folder, a list of digests or a release, as `aqea-registry verify` finds it.

    `root` is the folder that a list's paths start at; `deep` downloads and hashes a release. Raises RegistryError.
    """
    meant = meaning(str(target), Path()).name
    start = None if root is None else Path(root)
    return verified(None if meant == "." else meant, Path(), SILENT, root=start, deep=deep).findings


def verified(target: str | None, folder: Path, report: Reporter, *, root: Path | None = None, deep: bool = False) -> Verified:
    """Find out what a path or STORE-REF is, and check it. What a list of digests does not need is not loaded for it."""
    from aqea_registry.base.findings import BadConfiguration, CannotCheck
    from aqea_registry.base.references import is_reference, without_login
    from aqea_registry.base.sha256_list import MANIFEST

    if target is not None and is_reference(target):
        from aqea_registry.stores.open_store import open_tagged
        from aqea_registry.verification.verify_release import verify_tagged

        return verify_tagged(*open_tagged(target, folder), report, deep)
    path = (folder / (target or ".")).absolute()
    if not path.exists():
        message = f"{without_login(target or '.')} not found"
        raise CannotCheck(message, "name a folder, a list of digests, or a release such as oci:DIR:TAG")
    if root is not None and path.is_dir():
        raise BadConfiguration("--root goes with a list of digests", "name the list: aqea-registry verify LIST --root DIR")
    if target is None or (path / PARAMS).is_file():
        from aqea_registry.project.project import is_project
        from aqea_registry.verification.verify_project import verify_project

        if target is None or is_project(path):
            return verify_project(open_project(folder / (target or ".")), report)
    from aqea_registry.verification.verify_folder import verify_folder
    from aqea_registry.verification.verify_list import verify_list

    if path.is_dir():
        return verify_folder(path, report)
    own = path.parent.parent if path.as_posix().endswith(f"/{MANIFEST}") else path.parent
    start = folder / root if root else own
    if not start.is_dir():
        raise BadConfiguration(f"--root: {root} is not a folder")
    return verify_list(path, start, report)


class Pairs(NamedTuple):
    """A pair set in memory: two matrices with a row per pair, and the human scores (float64), None where a file has none."""

    first: npt.NDArray[Any]
    second: npt.NDArray[Any]
    scores: npt.NDArray[np.float64] | None


def load_pairs(what: str | Path, name: str | None = None, *, unit: Literal["float64", "micro"] = "float64") -> Pairs:
    """The pair set of a file (JSON, Parquet, AQED), or of a release (STORE-REF or bare tag) the one whose file is `name`.

    `name` may be the beginning of the file's name, and left out where there is one. Vectors are float64, or int32 in
    millionths with `unit="micro"`. Raises Refused for other bytes than the release's, malformed files, and numbers that are
    not on the grid; CannotCheck; BadConfiguration.
    """
    import numpy as np

    from aqea_registry.base.findings import BadConfiguration, Refused
    from aqea_registry.base.references import is_reference
    from aqea_registry.comparison.trees import pick, tree_in_store
    from aqea_registry.stores.open_store import open_tagged
    from aqea_registry.vectors.containers.open_pairs import open_pairs
    from aqea_registry.vectors.pair_set import MICRO

    meant = meaning(str(what), Path()).name
    with tempfile.TemporaryDirectory(prefix="aqea-pairs-") as scratch:
        path = Path(meant)
        if is_reference(meant):
            tree = tree_in_store(*open_tagged(meant, Path()), Path(scratch), SILENT)
            start = f"/{(name or '').replace('-', '_')}"
            sets = [path for path in tree.files if path.endswith("_pairs.json") and start in path]
            if name is None and len(sets) > 1:
                raise BadConfiguration(f"{meant} has {len(sets)} pair sets", f"name one: {', '.join(sorted(sets))}")
            path = tree.fetch(pick(tree, sets[0] if len(sets) == 1 else name or "*_pairs.json"))
        with open_pairs(path, meant) as pairs:
            first, second = (np.concatenate([*pairs.matrix(which)]) for which in (0, 1))
            scores = pairs.scores()
    if unit == "float64":
        return Pairs(first, second, scores)
    micro = [np.rint(matrix * MICRO).astype(np.int32) for matrix in (first, second)]
    for whole, matrix in zip(micro, (first, second), strict=True):
        if not ((whole / MICRO == matrix) | ((whole / MICRO).astype(np.float32) == matrix)).all():
            raise Refused.of("not-canonical", meant, "its numbers are not millionths; load it with unit='float64'")
    return Pairs(micro[0], micro[1], scores)
