"""Resolve catalogue entries into the lock, and see whether the sources still have the pinned bytes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from aqea_registry.base.files import Limit, locked, read_small, write_bytes
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, NotAllowed, Refused, RegistryError, most_severe
from aqea_registry.base.progress import Reporter, hash_shown
from aqea_registry.project.artefact import DECIDED, CatalogueEntry
from aqea_registry.project.lock import LOCK, Lock, Pin, PinnedFile, parse_lock, pin_findings, render_lock
from aqea_registry.project.params import Dataset, Group, group_of, known_commit
from aqea_registry.project.project import Project
from aqea_registry.remote.hub_client import NotFound, RemoteFile, Repository, offline
from aqea_registry.sources.fetch import local_file_findings, local_files
from aqea_registry.sources.kinds import HubSource, sources_of
from aqea_registry.sources.mteb_tasks import completed
from aqea_registry.sources.resolve import make_pin, remote_files, renamed, resolve
from aqea_registry.sources.rows import other_splits

State = Literal["new", "same", "changed", "confirmed", "unresolved"]


class Pinned(NamedTuple):
    """What `pin` did with one entry, and the files whose digests changed."""

    group: Group
    name: str
    state: State
    pin: Pin
    changed_files: tuple[str, ...] = ()


class Pinnings(msgspec.Struct, frozen=True, kw_only=True):
    """The entries that were pinned, even if their rows are bad; those that could not be; the worst of all reasons; notes."""

    done: tuple[Pinned, ...]
    failed: tuple[str, ...] = ()
    error: RegistryError | None = None
    notes: tuple[str, ...] = ()


def pin(project: Project, names: Sequence[str], report: Reporter, *, commits_only: bool = False) -> Pinnings:
    """Pin these entries (none: all of the catalogue) and write the lock. Other entries stay as they are.

    `commits_only` contacts no source: entries without a pin get one with their commit and no digests. An entry that is
    refused does not keep the others from being pinned. Raises BadConfiguration.
    """
    done, notes = list[Pinned](), list[str]()
    failures, unfit = dict[str, RegistryError](), list[RegistryError]()
    for wanted in project.entries(names):
        name = wanted.name
        if wanted.entry.kind == "given":  # its files are imported, and never looked for
            notes += [f"{name}: {finding.message}" for finding in pin_findings(name, wanted.entry, wanted.pin)]
            continue
        if commits_only:
            done.append(_unresolved(completed(wanted)))
            continue
        try:
            resolved = resolve(wanted, report)
        except (Refused, NotAllowed, CannotCheck) as error:
            failures[name] = error
            if isinstance(error, CannotCheck):
                break
            continue
        done.append(_compare(wanted, resolved.pin))
        unfit += resolved.errors
        notes += [f"{name}: {renamed(resolved.pin.id, resolved.name_now)}"] if resolved.name_now else []
        notes += resolved.notes
    if done:
        left = project.lock.decided.keys() - project.params.keys  # the run
        _write(project.root / LOCK, done, left)
        for key in left:
            (project.root / DECIDED / f"{key}.json").unlink(missing_ok=True)
    reason = most_severe([*failures.values(), *unfit])
    return Pinnings(done=tuple(done), failed=tuple(failures), error=reason, notes=tuple(notes))


def pin_given(wanted: CatalogueEntry, files: dict[str, PinnedFile]) -> None:
    """Pin these imported files, and no others, as an entry's given vectors."""
    made = make_pin(wanted.entry, None, wanted.entry.licence, "import", files)
    _write(wanted.root / LOCK, [_compare(wanted, made)])


def _write(path: Path, done: Sequence[Pinned], left: Iterable[str] = ()) -> None:
    def change(lock: Lock) -> Lock:
        for pinned in done:
            lock = lock.with_pin(pinned.group, pinned.name, pinned.pin)
        for key in left:
            lock = lock.with_decided(key, None)
        return lock

    update_lock(path, change)


def update_lock(path: Path, change: Callable[[Lock], Lock]) -> None:
    """Write the lock as it is now, changed; two programs at once both keep what they found."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent):
        lock = parse_lock(read_small(path, Limit.PROJECT)) if path.exists() else Lock()
        write_bytes(path, render_lock(change(lock)))


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _compare(wanted: CatalogueEntry, now: Pin) -> Pinned:
    """The entry's pin as it is written: the old one if it names the same things and the Hub's word is not new."""
    group, name, before = group_of(wanted.entry), wanted.name, wanted.pin
    now = msgspec.structs.replace(now, resolved_at=_today())
    if before is None or not before.files:
        return Pinned(group, name, "new", now)
    new, old = ({path: (file.sha256, file.size) for path, file in pin.files.items()} for pin in (now, before))
    changed = tuple(path for path in sorted({*new, *old}) if new.get(path) != old.get(path))
    same = not changed and all(getattr(now, at) == getattr(before, at) for at in ("kind", "id", "requested", "commit", "mteb"))
    if same and now.state != before.state:
        state: State = "confirmed" if now.state == "resolved" else "same"
    else:
        state = "same" if same and now.licence == before.licence else "changed"
    return Pinned(group, name, state, before if state == "same" else now, changed)


def _unresolved(wanted: CatalogueEntry) -> Pinned:
    name, entry, before, _, _ = wanted
    group, commit = group_of(entry), known_commit(entry)
    same = (entry.repo, entry.revision, commit, entry.mteb if isinstance(entry, Dataset) else None)
    known = before is not None and (before.id, before.requested, before.commit, before.mteb or None) == same
    if before is not None and (known or entry.kind == "directory"):
        return Pinned(group, name, "same", before)
    if commit is None:
        raise BadConfiguration(f"{name}: params.yaml has no 40-hex commit of it", f"run: aqea-registry pin {name}")
    return Pinned(group, name, "unresolved", make_pin(entry, commit, entry.licence, None, {}))


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What `pin --check` found: a state for each entry, findings, and the entries about which no source could be asked.

    A commit that was claimed is `confirmed` if the Hub has these bytes under it, and stays `claimed` if it did not answer.
    """

    states: dict[str, str]
    findings: list[Finding]
    unasked: dict[str, str]
    hint: str | None = None  # what makes the Hub answer


def check_pins(project: Project, names: Sequence[str], report: Reporter, *, record: bool = False) -> Checked:
    """Compare these pins (none: all) with what the Hub and local sources hold now. `record` notes what the Hub confirms."""
    findings, confirmed = list[Finding](), list[Pinned]()
    states, unasked = dict[str, str](), dict[str, str]()
    silence: CannotCheck | None = None
    for wanted in project.entries(names):
        name, pin = wanted.name, wanted.pin
        if pin is not None and not pin.files and not names:
            states[name] = "unresolved"
            continue
        if pin is None or not pin.files:
            mine = pin_findings(name, wanted.entry, pin)
        else:
            sources = sources_of(wanted, pin.commit)
            local, mine = local_files(name, pin, sources)
            digests = hash_shown([item.path for item in local], report, task=f"check {name}")
            mine += (finding for item in local for finding in local_file_findings(item, digests[item.path]))
            if isinstance(wanted.entry, Dataset) and wanted.entry.mteb is None:
                mine += other_splits(name, wanted.entry, pin.files)
            asked = any(source.present() and source.spec not in {"hub", "cache"} for source in sources)
            claimed = pin.state == "claimed"
            if claimed or any(source.spec == "hub" for source in sources):
                try:
                    if silence is not None:  # it is waited for once, not once an entry
                        raise silence
                    wrong, files = _check_hub(wanted, pin, report)
                    mine, asked = [*mine, *wrong], True
                    if claimed and not mine:
                        known = msgspec.structs.replace(pin, files=files, resolved_from="hub", resolved_at=_today())
                        confirmed.append(Pinned(group_of(wanted.entry), name, "confirmed", known))
                except CannotCheck as error:
                    silence = error
                    if not asked:
                        unasked[name] = error.message.removeprefix(f"{name}: ")
            elif not asked and pin.kind != "given":
                unasked[name] = "; ".join(f"{source.spec}: {source.hint}" for source in sources)
        findings += mine
        silent = "not asked" if name in unasked else "given" if wanted.entry.kind == "given" else "same"
        states[name] = mine[0].code if mine else "claimed" if pin and pin.state == "claimed" else silent
    states |= {pinned.name: pinned.state for pinned in confirmed}
    if record and confirmed:
        _write(project.root / LOCK, confirmed)
    return Checked(states=states, findings=findings, unasked=unasked, hint=silence.hint if silence else None)


def _check_hub(wanted: CatalogueEntry, pin: Pin, report: Reporter) -> tuple[list[Finding], dict[str, PinnedFile]]:
    """What the Hub says now about the revision, the pinned commit, and the files of a claimed commit; the small are fetched."""
    if offline():
        raise CannotCheck("HF_HUB_OFFLINE is set", "unset it")
    name = wanted.name
    repository = Repository(name, pin.kind, pin.id, pin.commit)
    client = repository.client()
    findings: list[Finding] = []
    held: dict[str, PinnedFile] = {}
    try:
        client.check_read()
        try:
            now = client.info(pin.requested)
            if now.commit != pin.commit:
                message = f"{pin.requested or 'the main branch'} of {pin.id} names another commit now"
                findings.append(Finding("pin-moved", name, message, pin.commit, now.commit))
        except NotFound as error:  # a branch or tag that is gone leaves the commit to be looked at
            if error.part == "repository":
                raise
        info = client.info(pin.commit)
        remote = {path: info.files[path] for path in sorted(pin.files) if path in info.files}
        if pin.state == "claimed":
            held, _ = remote_files(name, remote, HubSource(repository, wanted.root), report)
    except NotFound as error:
        code, expected = ("repository-gone", pin.id) if error.part == "repository" else ("commit-gone", pin.commit)
        return [*findings, Finding(code, name, error.message.removeprefix(f"{name}: "), expected)], held
    except NotAllowed as error:
        return [*findings, Finding("gated", name, f"{error.message.removeprefix(f'{name}: ')}: {error.hint}", pin.id)], held
    except Refused as error:
        return [*findings, *error.findings], held
    if info.id != pin.id:
        findings.append(Finding("repository-renamed", name, renamed(pin.id, info.id), pin.id, info.id))
    return [*findings, *_differences(name, pin, held or remote)], held


def _differences(name: str, pin: Pin, remote: Mapping[str, RemoteFile | PinnedFile]) -> Iterator[Finding]:
    """Where the Hub has other files under the commit than the pin."""
    for path, file in sorted(pin.files.items()):
        there = remote.get(path)
        if there is None:
            yield Finding("missing", f"{name}: {path}", "the commit has no such file now")
            continue
        known = [(file.sha256, there.sha256), (file.blob, there.blob), (str(file.size), str(there.size))]
        for expected, actual in known:
            if expected is not None and actual is not None and expected != actual:
                message = "the Hub has another file under the pinned commit"
                yield Finding("mismatch", f"{name}: {path}", message, expected, actual)
                break
