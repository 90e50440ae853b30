"""dvc.lock as values: what each stage made, from which parameters, and whether that is still so."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from aqea_registry.base.files import FileDigest
from aqea_registry.base.findings import BadConfiguration, Finding, unread
from aqea_registry.base.strict import convert, load_yaml

NAME = "dvc.lock"
AGAIN = "run: dvc repro"
OWN_STAGES = frozenset({"generate", "export", "parquet", "manifest"})


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
    """dvc.lock, as far as it is read here."""

    stages: dict[str, Stage] = {}

    def only(self, stages: Collection[str]) -> DvcLock:
        """Without stages of other names: DVC leaves in the file what dvc.yaml has no longer, and what authors made beside."""
        return DvcLock(stages={name: stage for name, stage in self.stages.items() if name in stages})

    def foreign(self) -> frozenset[str]:
        """What stages made that are not this program's: files and folders."""
        made = {name: stage for name, stage in self.stages.items() if name.partition("@")[0] not in OWN_STAGES}
        return frozenset(DvcLock(stages=made).outputs())

    def outputs(self) -> dict[str, tuple[str, Output]]:
        """Every file that a stage made: path to stage name and output."""
        return {out.path: (name, out) for name, stage in self.stages.items() for out in stage.outs}


def output_findings(lock: DvcLock, digests: Mapping[str, FileDigest]) -> list[Finding]:
    """Where the bytes are not those that the stage made (sha256 is not asked here: the manifest has it)."""
    findings = []
    for path, (stage, out) in sorted(lock.outputs().items()):
        found = digests.get(path)
        if found is not None and out.md5 is not None and (found.md5, found.size) != (out.md5, out.size):
            expected, actual = f"md5 {out.md5} ({out.size} bytes)", f"md5 {found.md5} ({found.size} bytes)"
            message = f"dvc.lock records other bytes for stage {stage}; {AGAIN}"
            findings.append(Finding("lock-stale", path, message, expected, actual))
    return findings


def unmade_findings(lock: DvcLock, listed: Mapping[str, str], inputs: frozenset[str]) -> list[Finding]:
    """Files of the manifest that no stage in dvc.lock makes."""
    return [
        Finding("lock-stale", path, f"the manifest lists it, and no stage in dvc.lock makes it; {AGAIN}")
        for path in sorted(set(listed) - set(lock.outputs()) - inputs)
    ]


def parameter_findings(lock: DvcLock, files: Mapping[str, Any], stages: frozenset[str]) -> list[Finding]:
    """Where one of these stages ran with other parameters than the files (path to content) hold now, or did not run."""
    findings = [
        Finding("lock-stale", stage, f"the stage is not in dvc.lock; {AGAIN}") for stage in sorted(stages - set(lock.stages))
    ]
    for name in sorted(stages & set(lock.stages)):
        for file, keys in lock.stages[name].params.items():
            for key, then in keys.items():
                if file in files and _lookup(files[file], key) != then:
                    message = f"the stage ran with another value than {file} holds now; {AGAIN}"
                    findings.append(Finding("lock-stale", f"{name}: {file}: {key}", message))
    return findings


def _lookup(value: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def read_dvc_lock(content: bytes | OSError) -> tuple[DvcLock, list[Finding]]:
    """dvc.lock, empty if it could not be read, and the reason."""
    if isinstance(content, OSError):
        return DvcLock(), [unread(NAME, content, f"; {AGAIN}")]
    try:
        return convert(load_yaml(content, NAME), DvcLock, NAME), []
    except BadConfiguration as error:
        way = error.hint or f"git checkout {NAME}, or remove it"  # DVC refuses to read it as it is
        return DvcLock(), [Finding("malformed", NAME, f"{error.message}; run: {way}, then: dvc repro")]
