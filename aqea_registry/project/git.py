"""Which commit of this checkout recorded the run, as git says; git is asked as a command and changes nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from aqea_registry.project.dvc_lock import NAME as DVC_LOCK

SECONDS = 30
# No index is refreshed, and no program that the checkout's own configuration names is run.
QUIETLY = ("--no-optional-locks", "-c", "core.fsmonitor=false")


def recorded_commit(root: Path) -> tuple[str | None, dict[str, str]]:
    """The commit that last changed dvc.lock, 40 hex digits, and facts about it; None and the reason if there is none."""
    try:
        state = _git(root, "rev-parse", "HEAD", "--is-shallow-repository")
        if state is None:
            return None, {"reason": "this is not a git repository, or it has no commit"}
        commit = _git(root, "log", "-1", "--format=%H", "--", DVC_LOCK) or ""
        changed = _git(root, "status", "--porcelain", "-z", "--untracked-files=no", "--", ".") or ""
    except FileNotFoundError:
        return None, {"reason": "git is not installed"}
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, {"reason": f"git does not answer: {error}"}
    head, _, shallow = state.partition("\n")
    paths = [entry[3:] for entry in changed.split("\0") if entry[2:3] == " "]
    facts = {"head": head, "uncommitted": f"{len(paths)} files" if paths else "nothing"}
    if not commit:
        return None, {"reason": f"{DVC_LOCK} is in no commit", **facts}
    if any(PurePosixPath(path).name == DVC_LOCK for path in paths):
        return None, {"reason": f"{DVC_LOCK} is not as it was last committed", "last commit": commit, **facts}
    if shallow == "true":
        facts["note"] = "the clone is shallow: an older commit may have recorded it"
    return commit, {"commit": commit, **facts}


class Code(NamedTuple):
    """The commit that is checked out, and whether tracked files were changed since."""

    commit: str
    dirty: bool


def checked_out(root: Path) -> Code | None:
    """What is checked out; None without git, and in a folder that is not a checkout."""
    try:
        commit = _git(root, "rev-parse", "--verify", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if commit is None or changed is None else Code(commit, bool(changed))


def _git(root: Path, *words: str) -> str | None:
    """What git prints, without the last line end; None if it refuses."""
    command = ["git", "-C", str(root), *QUIETLY, *words]
    done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)  # noqa: S603 - fixed words, no shell
    return done.stdout.decode("utf-8", "replace").rstrip("\n") if done.returncode == 0 else None
