"""A release that was fetched, laid out as a project in a temporary folder, with nothing believed that it says of itself."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePath
from typing import NamedTuple

import msgspec

from aqea_registry.base.files import Limit, read_small, write_bytes
from aqea_registry.base.findings import BadConfiguration, Finding, Refused
from aqea_registry.base.sha256_list import LEFT_OUT, MANIFEST, render
from aqea_registry.comparison.trees import Tree
from aqea_registry.project.artefact import DATA, METRICS, PUBLISHED, CatalogueEntry, RunArtefact, VectorSetArtefact
from aqea_registry.project.lock import LOCK, Lock, parse_lock
from aqea_registry.project.params import WRITTEN, Versions
from aqea_registry.project.project import PARAMS, Project, open_project
from aqea_registry.releases.layout import STAGES, parse_project, restored_path

OTHERS = ".aqea/release"  # where files lie that no project has; no path of a release begins so


class NotChecked(msgspec.Struct, frozen=True):
    """Something that was not looked at, and why."""

    what: str
    why: str


Said = Finding | NotChecked


class Opened(NamedTuple):
    """A release laid out as a project: where, and the hex sha256 of its files by their paths there; its pins.

    `pairs` has the paths of the pair files by key. `artefacts` and `catalogue` are empty where the release has no catalogue.
    """

    root: Path
    digests: Mapping[str, str]
    lock: Lock
    pairs: Mapping[str, str]
    artefacts: Mapping[str, RunArtefact] = {}
    vector_sets: Mapping[str, VectorSetArtefact] = {}
    catalogue: Mapping[str, CatalogueEntry] = {}
    versions: Versions = WRITTEN
    left_out: Collection[str] = ()


def bring(tree: Tree, root: Path, said: list[Said]) -> dict[str, str]:
    """Bring each file to its place in `root`; the hex sha256, by their places, of those that are as the release names them."""
    digests = dict[str, str]()
    for path, sha256 in tree.files.items():
        try:
            fetched, target = tree.fetch(path), root / place(path)
        except Refused as error:
            said += error.findings
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        fetched.rename(target)
        digests[place(path)] = sha256
    return digests


def place(path: str) -> str:
    """Where a file of a release lies in a project; what no project has lies apart."""
    return restored_path(path) or f"{OTHERS}/{path}"


def open_release(
    root: Path, digests: Mapping[str, str], left_out: Mapping[str, str], said: list[Said]
) -> tuple[Opened, Project | None]:
    """The release in `root` and its project, None where it holds none; what is wrong with that, and not checked, is `said`."""
    write_bytes(root / MANIFEST, render({**left_out, **digests}))
    write_bytes(root / LEFT_OUT, "".join(f"{path}\n" for path in left_out).encode())
    lock = Lock()
    try:
        lock = parse_lock(read_small(root / LOCK, Limit.PROJECT)) if LOCK in digests else lock
        if {PARAMS, STAGES} <= digests.keys():
            project = open_project(root)
            parse_project(*(read_small(root / path, Limit.PROJECT) for path in (PARAMS, STAGES)))
            pairs = {key: artefact.pairs for key, artefact in project.artefacts.items()}
            for path in sorted(set(_pair_files(digests)) - set(pairs.values())):
                said.append(of_release(Finding("unexpected", path, "the release's own catalogue has no such pair set")))
            versions = project.params.versions or Versions()
            # No address is asked that the release names: nobody knows whose it is.
            catalogue = {
                name: entry._replace(sources=[spec for spec in entry.sources if "://" not in spec])
                for name, entry in project.catalogue.items()
            }
            made = project.artefacts, project.vector_sets
            return Opened(root, digests, lock, pairs, *made, catalogue, versions, project.run.left_out), project
        why = "the release has no catalogue: an earlier version made it, or it was left out"
        said.append(NotChecked("claims, and the settings of datasets and models", why))
    except (BadConfiguration, Refused) as error:
        said += error.findings or [Finding("malformed", error.message.partition(":")[0], error.message)]
    paths = _pair_files(digests)
    keys = [PurePath(path).stem for path in digests if path.startswith(f"{METRICS}/")]
    pairs = {next((key for key in keys if _plain(path).startswith(_plain(key))), path): path for path in paths}
    return Opened(root, digests, lock, pairs), None


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
