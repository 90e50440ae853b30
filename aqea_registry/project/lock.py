"""What is recorded of a run: pins, each a commit with digest and size of every file that we read; dvc.lock; the manifest."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from aqea_registry.base.files import FileDigest, UnsafePath, safe_path
from aqea_registry.base.findings import BadConfiguration, Finding, Refused, unread
from aqea_registry.base.recognise import HEAD, canonical_findings, conflict, one_side, what_it_is
from aqea_registry.base.sha256_list import MANIFEST, SIZES, Sha256, parse_list, render
from aqea_registry.base.strict import convert, convert_each, load_json, load_yaml
from aqea_registry.project.params import PICKLES, Commit, Dataset, Group, Model, Name, group_of

SCHEMA = "aqea-registry/pins/1"
LOCK = "manifests/pins.json"


class PinnedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The only bytes that may stand under a path. `blob` is git's id of a small file, by which the Hub knows it."""

    sha256: Sha256
    size: Annotated[int, msgspec.Meta(ge=0)]
    blob: Commit | None = None


class Pin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One repository, fixed. A directory and given vectors have no commit: their digests are their identity.

    `resolved_from` names the source whose bytes were hashed, `resolved_at` the day. Bytes of any other source than the Hub are
    only claimed to be the commit's, until the Hub confirms them. A pin without files is unresolved: its commit is known, its
    digests are not, and nothing can be made from it. `mteb` is the task of MTEB that it was pinned for.
    """

    kind: Literal["model", "dataset", "directory", "given"]
    id: str
    requested: str | None
    commit: Commit | None
    licence: str | None
    resolved_from: str | None
    resolved_at: str | None = None
    files: dict[str, PinnedFile]
    mteb: str | msgspec.UnsetType | None = msgspec.UNSET

    def __post_init__(self) -> None:
        if self.kind in ("model", "dataset") and self.commit is None:
            raise ValueError("a pin of a Hub repository needs its 40-hex commit")
        for path in self.files:
            safe_path(path)

    @property
    def state(self) -> Literal["unresolved", "directory", "given", "claimed", "resolved"]:
        """`unresolved` without digests, the kind without a commit, `claimed` without the Hub's word for the commit."""
        if not self.files:
            return "unresolved"
        if self.kind == "directory" or self.kind == "given":
            return self.kind
        return "resolved" if self.resolved_from == "hub" else "claimed"

    @property
    def address(self) -> str | None:
        """Where the Hub shows the pinned commit; None for what the Hub may not have."""
        kind = "datasets/" if self.kind == "dataset" else ""
        return f"https://huggingface.co/{kind}{self.id}/tree/{self.commit}" if self.state == "resolved" else None

    def commit_text(self) -> str:
        """The commit in words."""
        return f"{self.commit or 'no commit'}{' (claimed)' if self.state == 'claimed' else ''}"

    def digest(self) -> str:
        """Hex sha256 over paths and contents: the same for the same bytes, wherever they were pinned."""
        lines = "".join(f"{file.sha256}  {path}\n" for path, file in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


class Decided(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The list of values of an artefact that were decided once, because they lie at a rounding boundary (docs/margins.md)."""

    sha256: Sha256
    values: Annotated[int, msgspec.Meta(ge=1)]


class Lock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All pins, and the lists of decided values by the artefact's key. Never edited by hand."""

    schema: Literal["aqea-registry/pins/1"] = "aqea-registry/pins/1"
    datasets: dict[Name, Pin] = {}
    models: dict[Name, Pin] = {}
    decided: dict[Name, Decided] = {}

    def get(self, name: str) -> Pin | None:
        """The pin of this name; no dataset has the name of a model."""
        return self.datasets.get(name) or self.models.get(name)

    def with_pin(self, group: Group, name: str, pin: Pin) -> Lock:
        """The lock with one entry put in or replaced."""
        return msgspec.structs.replace(self, **{group: {**getattr(self, group), name: pin}})

    def with_decided(self, key: str, entry: Decided | None) -> Lock:
        """The lock with the entry of one artefact's decided values put in, replaced or, for None, taken out."""
        others = {name: decided for name, decided in self.decided.items() if name != key}
        return msgspec.structs.replace(self, decided=others if entry is None else {**others, key: entry})


def render_lock(lock: Lock) -> bytes:
    """The lock's one spelling: sorted keys, two spaces, one final newline; without decided values, no word of them."""
    plain = {key: value for key, value in msgspec.to_builtins(lock).items() if value or key != "decided"}
    return (json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def parse_lock(content: bytes, name: str = LOCK) -> Lock:
    """Read the lock. Raises BadConfiguration for anything that is not one: the field and the reason are named."""
    try:
        value = load_json(content, name)
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            raise BadConfiguration(f"{name}: schema: not {SCHEMA}")
        convert_each(value, "datasets", Pin, name)
        convert_each(value, "models", Pin, name)
        return convert(value, Lock, name)
    except UnsafePath as error:
        raise BadConfiguration(f"{name}: files: {error}") from error
    except BadConfiguration as error:
        way = error.hint or f"git checkout {name}, or remove it"
        raise BadConfiguration(error.message, f"{way}, then: aqea-registry pin") from error


def require_pin(name: str, entry: Dataset | Model, pin: Pin | None) -> Pin:
    """The pin of a catalogue entry. Raises Refused if there is none or it is of something else."""
    findings = pin_findings(name, entry, pin)
    if pin is None or findings:
        raise Refused(f"{findings[0].subject}: {findings[0].message}", findings)
    return pin


def pin_findings(name: str, entry: Dataset | Model, pin: Pin | None) -> list[Finding]:
    """What is wrong between a catalogue entry and its pin."""
    subject = f"{group_of(entry)}.{name}"
    command = f"import-vectors FILE --model {name} --dataset NAME" if entry.kind == "given" else f"pin {name}"
    if pin is None or not pin.files:
        state = "it is not pinned" if pin is None else f"only its commit {pin.commit} is known, no digests"
        return [Finding("unpinned", subject, f"{state}; run: aqea-registry {command}")]
    if isinstance(entry, Model) and entry.kind != "given":  # whose arrays are read without pickles
        unsafe = [path for path in pin.files if path.endswith(PICKLES) and not entry.allow_pickle]
        unsafe += [path for path in pin.files if path.endswith(".py") and not entry.trust_remote_code]
        if unsafe:
            named = ", ".join(unsafe[:3])
            message = f"{named} can run any code, and params.yaml does not allow it; run: aqea-registry pin {name}"
            return [Finding("unsafe-model", subject, message)]
    wanted: dict[str, Any] = {"kind": entry.kind, "id": entry.repo, "requested": entry.revision}
    if isinstance(entry, Dataset) and entry.mteb is not None:  # the pin alone has what its metadata say
        wanted = {field: value for field, value in wanted.items() if value} | {"mteb": entry.mteb}
    wanted |= {"commit": entry.commit} if entry.commit else {}
    message = f"params.yaml and the lock name different things; run: aqea-registry {command}"
    return [
        Finding("lock-stale", f"{subject}.{field}", message, str(value), str(getattr(pin, field)))
        for field, value in wanted.items()
        if getattr(pin, field) != value
    ]


DVC_LOCK = "dvc.lock"
AGAIN = "run: dvc repro"
OWN_STAGES = frozenset({"generate", "evaluate", "export", "parquet", "manifest"})
EVERY = "generate"  # the stage that makes every artefact of a run of many (project/one_stage.yaml); others make one each


class Output(msgspec.Struct, frozen=True):
    """A file that a stage made or read, with the digest that DVC took of it. A folder's md5 ends in `.dir`."""

    path: str
    md5: str | None = None
    size: int | None = None


class Stage(msgspec.Struct, frozen=True):
    """A stage as it last ran. `params` maps a file to its keys (dotted) and their values at that time."""

    cmd: str | list[str]
    deps: tuple[Output, ...] = ()
    outs: tuple[Output, ...] = ()
    params: dict[str, dict[str, Any]] = {}


class DvcLock(msgspec.Struct, frozen=True):
    """dvc.lock, as far as it is read here. `folders` are the md5 of those that one stage makes all in."""

    stages: dict[str, Stage] = {}
    folders: dict[str, str] = {}

    def only(self, stages: Collection[str]) -> DvcLock:
        """Without stages of other names: DVC leaves in the file what dvc.yaml has no longer, and what authors made beside."""
        return DvcLock(stages={name: stage for name, stage in self.stages.items() if name in stages}, folders=self.folders)

    def one_each(self, made: Mapping[str, tuple[Sequence[str], Mapping[str, Sequence[str]]]]) -> DvcLock:
        """As if stages of these names had run in the place of the one that makes every artefact.

        `made` has of each its files, and which parameters of that one are its own, by file.
        """
        every = self.stages.get(EVERY)
        stages = {name: stage for name, stage in self.stages.items() if name.partition("@")[0] not in OWN_STAGES - {"manifest"}}
        if every is None:
            return DvcLock(stages=stages)
        for name, (paths, keys) in made.items():
            params = {file: {key: _lookup(every.params.get(file), key) for key in own} for file, own in keys.items()}
            stages[name] = Stage(cmd=every.cmd, outs=tuple(map(Output, paths)), params=params)
        return DvcLock(stages=stages, folders={out.path: out.md5 for out in every.outs if out.md5 is not None})

    def foreign(self) -> frozenset[str]:
        """What stages made that are not this program's: files and folders."""
        made = {name: stage for name, stage in self.stages.items() if name.partition("@")[0] not in OWN_STAGES}
        return frozenset(DvcLock(stages=made).outputs())

    def outputs(self) -> dict[str, tuple[str, Output]]:
        """Every file that a stage made: path to stage name and output."""
        return {out.path: (name, out) for name, stage in self.stages.items() for out in stage.outs}


def output_findings(lock: DvcLock, digests: Mapping[str, FileDigest], why: Callable[[str, str], str]) -> Iterator[Finding]:
    """Where the bytes are not those that the stage made (sha256 is not asked here: the manifest has it), with the cause."""
    for path, (stage, out) in sorted(lock.outputs().items()):
        digest = digests.get(path)
        if digest is not None and out.md5 is not None and (digest.md5, digest.size) != (out.md5, out.size):
            expected, actual = f"md5 {out.md5} ({out.size} bytes)", f"md5 {digest.md5} ({digest.size} bytes)"
            message = f"dvc.lock records other bytes for stage {stage}{why(path, out.md5)}; {AGAIN}"
            yield Finding("lock-stale", path, message, expected, actual)
    for folder, md5 in lock.folders.items():
        inside = {path: digest.md5 for path, digest in digests.items() if path.startswith(f"{folder}/") and digest.md5}
        if (actual := folder_md5(folder, inside)) != md5:
            message = f"dvc.lock records other files in it for stage {EVERY}; {AGAIN}"
            yield Finding("lock-stale", folder, message, f"md5 {md5}", f"md5 {actual}")


def folder_md5(folder: str, files: Mapping[str, str]) -> str:
    """What DVC records of a folder with these files: path, with the folder, to md5."""
    listed = [{"md5": files[path], "relpath": path.removeprefix(f"{folder}/")} for path in sorted(files)]
    return hashlib.md5(json.dumps(listed).encode(), usedforsecurity=False).hexdigest() + ".dir"


def parameter_findings(lock: DvcLock, files: Mapping[str, Any], stages: frozenset[str]) -> list[Finding]:
    """Where one of these stages ran with other parameters than the files (path to content) hold now, or did not run."""
    unmade = sorted(stages - lock.stages.keys())
    return [Finding("lock-stale", stage, f"the stage is not in dvc.lock; {AGAIN}") for stage in unmade] + [
        Finding("lock-stale", f"{name}: {file}: {key}", f"the stage ran with another value than {file} holds now; {AGAIN}")
        for name in sorted(stages & lock.stages.keys())
        for file, keys in lock.stages[name].params.items()
        for key, then in keys.items()
        if file in files and _lookup(files[file], key) != then
    ]


def _lookup(value: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def read_dvc_lock(content: bytes | OSError) -> tuple[DvcLock, list[Finding]]:
    """dvc.lock, empty if it could not be read, and the reason."""
    if isinstance(content, OSError):
        return DvcLock(), [unread(DVC_LOCK, content, f"; {AGAIN}")]
    try:
        return convert(load_yaml(content, DVC_LOCK), DvcLock, DVC_LOCK), []
    except BadConfiguration as error:
        way = error.hint or f"git checkout {DVC_LOCK}, or remove it"  # DVC refuses to read it as it is
        return DvcLock(), [Finding("malformed", DVC_LOCK, f"{error.message}; run: {way}, then: dvc repro")]


class Manifest(NamedTuple):
    """The manifest and its sizes as read: lines that cannot be used are `faults`, another form than ours is `spelling`."""

    digests: dict[str, str]
    sizes: dict[str, int]
    faults: Sequence[Finding]
    spelling: Sequence[Finding]
    size_findings: Sequence[Finding]
    content: bytes | None


def read_manifest(content: bytes | OSError, sizes: bytes | OSError) -> Manifest:
    """The two files as they were read, or the reasons why they were not."""
    digests, by_path, spelling = dict[str, str](), dict[str, int](), list[Finding]()
    faults = unusable = why_unusable(content, MANIFEST)
    wrong = why_unusable(sizes, SIZES)
    if isinstance(content, bytes) and not unusable:
        digests, faults, _ = parse_list(content, MANIFEST)
        spelling = [] if faults else canonical_findings(content, render(digests), MANIFEST)
    if isinstance(sizes, bytes) and not wrong:
        by_path, wrong = parse_sizes(sizes, SIZES)
        wrong = wrong or canonical_findings(sizes, render_sizes(by_path), SIZES)
    used = content if isinstance(content, bytes) and not unusable else None
    return Manifest(digests, by_path, faults, spelling, wrong, used)


def why_unusable(content: bytes | OSError, name: str) -> list[Finding]:
    """Why a file that DVC reads or writes cannot be used as what its name says, if that shows at once."""
    if isinstance(content, OSError):
        return [unread(name, content, f"; {AGAIN}")]
    if where := conflict(content):
        return [Finding("malformed", name, f"{where}; run: {one_side(name)}, then: dvc repro")]
    what = what_it_is(content[:HEAD])
    return [Finding("malformed", name, f"it is {what}; {AGAIN}")] if what else []


def parse_sizes(content: bytes, name: str) -> tuple[dict[str, int], list[Finding]]:
    """Read `bytes  path` lines, as `render_sizes` writes them."""
    sizes: dict[str, int] = {}
    text = content.decode("utf-8", "replace").replace("\r\n", "\n")
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        match = re.fullmatch(r"([0-9]{1,18})  (.+)", line)
        if match is None or match[2] in sizes:
            return {}, [Finding("malformed", f"{name}:{number}", "not a line 'bytes  path' of its own path")]
        sizes[match[2]] = int(match[1])
    return sizes, []


def render_sizes(sizes: Mapping[str, int]) -> bytes:
    """`bytes  path` lines, sorted by path: what the digests cost to fetch, and a first check that needs no hashing."""
    return "".join(f"{sizes[path]}  {path}\n" for path in sorted(sizes)).encode()
