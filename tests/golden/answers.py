"""Run a command in this process and bring its answer into the form that is compared."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.golden.cases import BROKEN, COMMANDS, make_project

RECORDED = Path(__file__).with_name("recorded.json.gz")
FOR_PEOPLE = {"message", "hint", "reason", "reasons", "note", "notes", "headline", "advice", "machines", "broken"}
OF_THE_RELEASE = {"bytes", "digest", "content_digest", "at"}  # what follows from card and page, which are text for people
WRITTEN = ("README.md", "report.html", "croissant.json", "MANIFEST.sha256", "plots/metrics.svg")
RELEASED = ("publish", "package", "pull", "report", "confirm", "mark", "verify", "compare", "trace")

Answer = dict[str, Any]


def answers(folder: Path, name: str) -> dict[str, Answer]:
    """What every command answers over one broken project, made below `folder` and removed again."""
    project = folder / name
    make_project(project)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=project, capture_output=True, text=True, check=True
    ).stdout.strip()
    BROKEN[name](project)
    given: dict[str, Answer] = {}
    for number, words in enumerate(COMMANDS):
        if words[0] == "confirm":  # since it encodes, tests/releases/test_confirm.py does that once
            given[f"{number:02} {' '.join(words)}"] = {"status": "not run"}
            continue
        status, out, err = run(project, words)
        assert "Traceback" not in err, (name, words, err)
        given[f"{number:02} {' '.join(words)}"] = _plain(status, out, words, project, commit)
    shutil.rmtree(project)
    return given


def run(project: Path, words: Sequence[str]) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `aqea-registry WORDS --json` in this process."""
    from aqea_registry.cli.shell import main

    out, err = io.StringIO(), io.StringIO()
    before = Path.cwd()
    os.chdir(project)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main([*words, "--json"], prog_name="aqea-registry")
                status = 0
            except SystemExit as ended:
                status = ended.code if isinstance(ended.code, int) else 1
    finally:
        os.chdir(before)
    return status, out.getvalue(), err.getvalue()


def _plain(status: int, out: str, words: Sequence[str], project: Path, commit: str) -> Answer:
    """The answer without what may differ: texts for people, times, this machine's paths, what follows from a release's text."""
    try:
        value = json.loads(out)
    except ValueError:
        return {"status": status, "text": _text(re.sub(r" % .*", "", out), project, commit)}
    return {"status": status, "json": _value(value, "", words[0] in RELEASED, project, commit)}


def _value(value: Any, key: str, released: bool, project: Path, commit: str) -> Any:
    if key in FOR_PEOPLE and value:
        return "<text>"
    if released and key in OF_THE_RELEASE and isinstance(value, int | str):
        return "<released>"
    if key == "reference" and isinstance(value, str):
        value = value.partition("@sha256:")[0]  # since then it demands the release's digest, which may differ
    if isinstance(value, Mapping):
        skipped = {"size"} if released and value.get("path") in WRITTEN else set()
        return {
            _text(name, project, commit): _value(one, name, released, project, commit)
            for name, one in sorted(value.items())
            if name not in skipped
        }
    if isinstance(value, list):
        found = [_value(one, "", released, project, commit) for one in value]
        return (
            sorted(found, key=lambda one: json.dumps(one, sort_keys=True)) if key in ("findings", "nodes", "edges") else found
        )
    return _text(value, project, commit) if isinstance(value, str) else value


def _text(text: str, project: Path, commit: str) -> str:
    text = text.replace(str(project), "<project>").replace(commit, "<commit>").replace(commit[:12], "<commit>")
    text = re.sub(r"confirmation-v2-[0-9a-f]{16}", "confirmation-v2-<digest>", text)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", text)


def load() -> dict[str, dict[str, Answer]]:
    """The recorded answers: of a broken project those that differ from the sound one's were written down, all come back."""
    written = json.loads(gzip.decompress(RECORDED.read_bytes()))
    written = _without_sentences(written)
    return {name: {**written["sound"], **answers} for name, answers in written.items()}


def _without_sentences(value: Any) -> Any:
    """Recorded answers without what is wrong with a node in words, which was written down as 0.1.0 said it."""
    if isinstance(value, list):
        return [_without_sentences(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    plain = {key: "<text>" if key == "broken" and one else _without_sentences(one) for key, one in value.items()}
    if isinstance(nodes := plain.get("nodes"), list):
        plain["nodes"] = sorted(nodes, key=lambda node: json.dumps(node, sort_keys=True))
    return plain


def record(given: Mapping[str, Mapping[str, Answer]]) -> None:
    """Write the answers down, once and for all."""
    if RECORDED.exists():
        raise SystemExit(f"{RECORDED} is there: what 0.1.0 answered is never written anew")
    sound = given["sound"]
    differing = {
        name: {words: answer for words, answer in answers.items() if name == "sound" or sound[words] != answer}
        for name, answers in given.items()
    }
    RECORDED.write_bytes(gzip.compress((json.dumps(differing, sort_keys=True) + "\n").encode(), mtime=0))
