"""From a catalogue entry to a pin: ask the Hub, or take the bytes of a local source as they are."""

import glob
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from aqea_registry.base.files import read_stream, wrong_content
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused
from aqea_registry.base.progress import Reporter, hash_shown
from aqea_registry.base.recognise import content_finding
from aqea_registry.project.artefact import CatalogueEntry
from aqea_registry.project.lock import Pin, PinnedFile
from aqea_registry.project.params import PICKLED_FILES, PICKLES, Dataset, Model, known_commit
from aqea_registry.remote.hub_client import RemoteFile, Repository, git_blob
from aqea_registry.sources.fetch import opened, refuse_contents
from aqea_registry.sources.kinds import HubSource, Source, sources_of
from aqea_registry.sources.mteb_tasks import README, completed, read_card, reads_rows, task_files
from aqea_registry.sources.open_task import open_task
from aqea_registry.sources.rows import other_splits, read_rows

SMALL = 1 << 15  # bytes; so much is fetched to be looked at, though the Hub states its sha256


class ResolvedEntry(NamedTuple):
    """A pin without a day; why a dataset's files are not what they should be; notes; and the name that the Hub uses."""

    pin: Pin
    errors: Sequence[Refused] = ()
    notes: Sequence[str] = ()
    name_now: str = ""  # of the repository, where it is another one


def resolve(wanted: CatalogueEntry, report: Reporter) -> ResolvedEntry:
    """The pin of an entry as things are now.

    The Hub is asked if it is among the sources; if it cannot be reached, the first local source that is present is taken at
    its word, and the revision must be a commit then. Raises Refused, BadConfiguration, NotFound, NotAllowed, CannotCheck.
    """
    wanted = completed(wanted)
    name, entry = wanted.name, wanted.entry
    sources = sources_of(wanted, known_commit(entry))
    here = [source for source in sources if source.present()]
    hub = next((source for source in here if isinstance(source, HubSource)), None)
    local = next((source for source in here if source.spec.startswith(("directory:", "package:"))), None)
    if hub is not None:
        try:
            return _from_hub(wanted, report)
        except CannotCheck as error:
            if local is None:
                raise
            report.warn(f"{error.message}; taking {name} from {local.spec}, unconfirmed by the Hub")
    if local is None:
        advice = "; ".join(f"{source.spec}: {source.hint}" for source in sources)
        raise CannotCheck(f"{name}: no source that can be pinned from is here ({advice or 'params.yaml names none'})")
    return _from_folder(wanted, local, report)


def _from_hub(wanted: CatalogueEntry, report: Reporter) -> ResolvedEntry:
    name, entry = wanted.name, wanted.entry
    repository = Repository(name, entry.kind, entry.repo, None)
    info = repository.client().info(entry.commit if entry.revision is None else entry.revision)
    if entry.commit is not None and info.commit != entry.commit:
        message = f"{entry.revision} of {entry.repo} is not the commit that params.yaml expects"
        hint = "look at what changed before you change it"
        raise Refused.of("pin-moved", name, message, entry.commit, info.commit, hint=hint)
    source = HubSource(repository._replace(commit=info.commit), wanted.root)
    card = _card(name, source, report) if isinstance(entry, Dataset) and not entry.files and README in info.files else {}
    chosen = _choose(name, entry, sorted(info.files), card)
    files, contents = remote_files(name, {path: info.files[path] for path in chosen}, source, report)
    pin = make_pin(entry, info.commit, info.licence or entry.licence, "hub", files)
    here = [(path, BytesIO(contents[path])) for path in sorted(files)] if len(contents) == len(files) else None
    return _looked_at(wanted, pin, here)._replace(name_now=info.id if info.id != entry.repo else "")


def renamed(before: str, now: str) -> str:
    """What is said of a repository that the Hub calls otherwise."""
    return f"{before} is {now} now: write that in params.yaml"


def remote_files(
    name: str, remote: Mapping[str, RemoteFile], source: HubSource, report: Reporter
) -> tuple[dict[str, PinnedFile], dict[str, bytes]]:
    """What the Hub has under these paths: as it states, of small files from their bytes; and those bytes. Raises Refused."""
    files, contents = dict[str, PinnedFile](), dict[str, bytes]()
    with report.task(f"pin {name}", len(remote), "files") as advance:
        for path, file in remote.items():
            if file.sha256 is not None and file.size > SMALL:
                files[path] = PinnedFile(sha256=file.sha256, size=file.size)
            else:
                files[path], contents[path] = _fetched(f"{name}: {path}", path, file, source)
            advance(1)
    refuse_contents(name, (content_finding(content, path, f"{name}: {path}") for path, content in contents.items()))
    return files, contents


def _fetched(subject: str, path: str, remote: RemoteFile, source: HubSource) -> tuple[PinnedFile, bytes]:
    """A small file, fetched, hashed, and compared with the digest or git blob id that the Hub states; and its bytes."""
    for _ in range(2):  # what a broken run left behind may have spoiled the first
        try:
            file = source.open(path, remote.size)
        except FileNotFoundError as error:
            raise Refused.of("missing", subject, "the Hub lists it and does not give it", hint="try again") from error
        with file:
            content = read_stream(file, remote.size)
        sha256, blob = hashlib.sha256(content).hexdigest(), git_blob(content) if remote.sha256 is None else None
        stated = (remote.sha256 or f"blob {remote.blob}", remote.size)
        received = (f"blob {blob}" if blob else sha256, len(content))
        if stated == received:
            return PinnedFile(sha256=sha256, size=len(content), blob=blob), content
    expected, actual = (f"{digest} ({size} bytes)" for digest, size in (stated, received))
    message = "the Hub sent other bytes than it describes"
    raise Refused.of("mismatch", subject, message, expected, actual, hint="try again")


def _from_folder(wanted: CatalogueEntry, source: Source, report: Reporter) -> ResolvedEntry:
    name, entry, commit = wanted.name, wanted.entry, known_commit(wanted.entry)
    if entry.kind != "directory" and commit is None:
        named = "has no revision" if entry.revision is None else f"has the revision {entry.revision!r}"
        message = f"{name} {named} in params.yaml, and {source.spec} cannot say which commit that is"
        hint = f"write its 40 hex digits there, revision: COMMIT, as the Hub shows them in the history of {entry.repo}"
        raise BadConfiguration(message, hint)
    present = source.paths()
    card = _card(name, source, report) if isinstance(entry, Dataset) and entry.mteb and README in present else {}
    chosen = _choose(name, entry, present, card)
    local: dict[str, Path] = {}
    for path in sorted(chosen):
        if (file := source.local(path)) is None:
            raise Refused.of("missing", f"{name}: {path}", f"in {source.spec} it is a link that leads nowhere")
        local[path] = file
    digests = hash_shown(local.values(), report, task=f"pin {name}")
    files = {}
    for path, file in local.items():
        digest = digests[file]
        if isinstance(digest, OSError):
            raise digest
        files[path] = PinnedFile(sha256=digest.sha256, size=digest.size)
    refuse_contents(name, (wrong_content(file, path, f"{name}: {path}") for path, file in local.items()))
    pin = make_pin(entry, commit, entry.licence, source.spec, files)
    if isinstance(entry, Dataset) and entry.mteb is not None and not reads_rows(name, entry):
        return _opened_as_task(wanted._replace(pin=pin), local, report)
    return _looked_at(wanted, pin, opened(local))


def _opened_as_task(wanted: CatalogueEntry, local: Mapping[str, Path], report: Reporter) -> ResolvedEntry:
    """The pin, and what generation would say of the files as a task of MTEB."""
    assert wanted.pin is not None
    path, file = next(iter(local.items()))
    try:
        with open_task(wanted, file.parents[path.count("/")], report):
            return ResolvedEntry(wanted.pin)
    except Refused as error:
        return ResolvedEntry(wanted.pin, [error])


def _looked_at(wanted: CatalogueEntry, pin: Pin, files: Iterable[tuple[str, BinaryIO]] | None) -> ResolvedEntry:
    """The pin, and what generation would say of the files' names and, where the files are here, of their rows."""
    name, entry = wanted.name, wanted.entry
    if isinstance(entry, Model) or not reads_rows(name, entry):
        return ResolvedEntry(pin)
    errors: list[Refused] = []
    if findings := other_splits(name, entry, pin.files):
        hint = f"correct 'files' of {name} in params.yaml, or say there which split it is: 'split:'"
        errors.append(Refused(f"{findings[0].subject}: {findings[0].message}", findings, hint))
    try:
        return ResolvedEntry(pin, errors, read_rows(files, entry, name).notes(name) if files is not None else ())
    except Refused as error:
        return ResolvedEntry(pin, [*errors, error])
    except CannotCheck as error:
        return ResolvedEntry(pin, errors, [f"{name}: its rows were not read: {error.message}"])


def make_pin(
    entry: Dataset | Model, commit: str | None, licence: str | None, origin: str | None, files: dict[str, PinnedFile]
) -> Pin:
    """A pin without a day; without files it is unresolved."""
    return Pin(
        kind=entry.kind,
        id=entry.repo,
        requested=entry.revision,
        commit=commit,
        licence=licence,
        resolved_from=origin,
        files=files,
        mteb=entry.mteb or msgspec.UNSET if isinstance(entry, Dataset) else msgspec.UNSET,
    )


def _choose(name: str, entry: Dataset | Model, present: Sequence[str], card: dict[str, Any]) -> list[str]:
    """The files to pin, out of those that are there. Raises Refused for weights that must not be read, CannotCheck for none."""
    groups = [entry.patterns()] if isinstance(entry, Model) else [entry.files] if entry.files else split_patterns(entry, card)
    if isinstance(entry, Dataset) and entry.mteb and not entry.files and (read := task_files(name, entry, present, card)):
        groups = [tuple(map(glob.escape, read))]
    for patterns in groups:
        chosen = sorted(path for path in present if matches(path, patterns))
        lacking = [pattern for pattern in entry.files if not set("*?[") & set(pattern) and pattern not in chosen]
        if lacking:
            raise CannotCheck(f"{name}: {entry.repo} has no file {lacking[0]}", "correct 'files' in params.yaml")
        if chosen:
            break
    else:
        wanted = f"config {entry.config!r}, split {entry.split_name!r}" if isinstance(entry, Dataset) else "a model"
        configs = [str(config.get("config_name")) for config in _listed(card.get("configs")) if isinstance(config, dict)]
        hint = "name them under 'files' in params.yaml"
        if configs and not (isinstance(entry, Dataset) and entry.config in configs):
            hint = f"its card has the configs {', '.join(configs[:9])}: say which, {entry.repo}:CONFIG to init; or {hint}"
        raise CannotCheck(f"{name}: {entry.repo} has no file of {wanted}", hint)
    if isinstance(entry, Model):
        _refuse_pickles(name, entry, present, chosen)
    return chosen


def _refuse_pickles(name: str, entry: Model, present: Iterable[str], chosen: Sequence[str]) -> None:
    pickled = [path for path in chosen if path.endswith(PICKLES)]
    safe = {path.rpartition("/")[0] for path in chosen if path.endswith(".safetensors")}
    unsafe = {path.rpartition("/")[0] for path in present if matches(path, PICKLED_FILES)}
    if entry.allow_pickle or (safe and not pickled and (entry.files or unsafe <= safe)):
        return
    found = pickled or [path for path in present if path.endswith(PICKLES)]
    what = f"its weights are pickled ({', '.join(found[:3])})" if found else "it has no weights as safetensors"
    hint = "use a revision with safetensors, or say allow_pickle: true for this pin"
    raise Refused.of("unsafe-model", name, f"{what}; a pickle can run any code when it is read", hint=hint)


def split_patterns(entry: Dataset, card: dict[str, Any]) -> list[tuple[str, ...]]:
    """Where a Hub dataset keeps a config's split: as its card's `configs` say, else where the Hub's own conventions put it."""
    if declared := _declared(entry, card):
        return [declared]
    split, name = entry.split_name, entry.config
    folders = ("", "data/", "default/") if name == "default" else (f"{name}/", f"data/{name}/")
    stems = [f"{folder}{split}{part}" for folder in folders for part in ("", "-*-of-*")]
    if name != "default":
        stems += [f"{split}/{name}", f"data/{split}/{name}", f"{name}-{split}", f"{name}_{split}"]
    return [(f"{stem}{ending}",) for stem in stems for ending in (".parquet", ".jsonl.gz", ".jsonl")]


def _declared(entry: Dataset, card: dict[str, Any]) -> tuple[str, ...]:
    for config in _listed(card.get("configs")):
        if not isinstance(config, dict) or config.get("config_name") != entry.config:
            continue
        for files in _listed(config.get("data_files")):
            if isinstance(files, dict) and files.get("split") == entry.split_name:
                return tuple(path for path in _listed(files.get("path")) if isinstance(path, str))
            if isinstance(files, str) and entry.split_name == "test":
                return (files,)
    return ()


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _card(name: str, source: Source, report: Reporter) -> dict[str, Any]:
    """The front matter of the repository's card, empty if it cannot be read. It only says where files are."""
    with source.open(README, 1 << 20) as file:
        content = file.read(1 << 20) or b""
    try:
        return read_card(content, name)
    except BadConfiguration as error:
        report.warn(f"{error.message}; its files are looked for without the card")
        return {}


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether one of these globs matches, whose stars stay within one folder; `**` is any number of folders."""
    return any(_matches(path.split("/"), pattern.split("/")) for pattern in patterns)


def _matches(parts: Sequence[str], globs: Sequence[str]) -> bool:
    reached = {0}  # how many parts the globs before may have taken
    for pattern in [*globs, "*"] if globs[-1] == "**" else globs:
        taken = {at + 1 for at in reached if at < len(parts) and fnmatchcase(parts[at], pattern)}
        reached = {*range(min(reached), len(parts))} if pattern == "**" and reached else taken
    return len(parts) in reached
