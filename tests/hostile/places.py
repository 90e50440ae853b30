"""Where each kind of document from outside lies, and who is asked to read it: a small project, a layout, a list, a page.

`Place.read` puts bytes, or something that is not a file, in the place of a document and returns what the program said, as an
exit status and the codes of its findings without those that the sound document has.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import resource
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aqea_registry.base.files import Limit, ignore, open_regular
from aqea_registry.base.findings import Refused, RegistryError
from aqea_registry.base.progress import Silent
from aqea_registry.cli.shell import STATUS
from aqea_registry.embedding.encoder import CodeRefusedError, refuse_code
from aqea_registry.generation.inputs import pinned_rows
from aqea_registry.generation.vector_sets import TopList, read_lists
from aqea_registry.project.citation import parse_citation
from aqea_registry.project.params import Dataset
from aqea_registry.project.project import open_project, small_text
from aqea_registry.project.scaffold import with_lines
from aqea_registry.releases.layout import parse_project
from aqea_registry.sources import resolve
from aqea_registry.sources.kinds import HubSource
from aqea_registry.sources.mteb_tasks import README
from aqea_registry.sources.rows import column_names, read_rows
from aqea_registry.stores.oci_layout import Layout
from aqea_registry.stores.registry_client import stored_login
from aqea_registry.stores.release import ARTIFACT_TYPE, MANIFEST_TYPE, build, digest_of
from aqea_registry.vectors.containers.open_pairs import canonical, open_given
from aqea_registry.vectors.margin import DecidedValue, read_decided, render_decided
from aqea_registry.vectors.pair_set import Malformed
from aqea_registry.vectors.vector_set import examine_vector_set, keys_of, write_vector_set
from tests.memory import MemorySource
from tests.tools import ROOT, in_process

FILES, TABLE = Path(__file__).parent / "files", Path(__file__).parent / "table.tsv"
PARAMS = b"""\
datasets:
  mine: {kind: directory, repo: mine, files: [test.jsonl], sources: ["directory:in"]}
models:
  tiny: {kind: directory, repo: tiny, dimension: 4, files: [config.json], sources: ["directory:model"]}
runs: {}
run: {pairs: {mine-tiny: {dataset: mine, model: tiny, file: mine_tiny_4d}}, exports: {}}
publish: {stores: ["oci:releases"], title: Mine}
"""
CARD = b"""\
---
configs:
- {config_name: default, data_files: [{split: test, path: a.jsonl}]}
---
# A page

| m | s |
|---|---|
| a | 1.5 |
"""
LEDGER = f"""\
schema: aqea-registry/claims/1
document: {{title: T, sha256: "{"0" * 64}", file: a.md}}
"""
ROW = b'{"sentence1": "a", "sentence2": "b", "score": 1}\n'
COMMIT = "c" * 40
MEMORY = 200 << 20  # bytes that reading may take
SECONDS = 10.0  # of the processor, after which something hangs


class Said(NamedTuple):
    """What the program said of a document."""

    status: int
    codes: frozenset[str]
    text: str


def make_project(root: Path) -> None:
    """A project of a few small files, none of which was computed; with a layout that has a release, a status and a receipt."""
    for path, content in {
        "params.yaml": PARAMS,
        "in/test.jsonl": ROW,
        "model/config.json": b"{}",
        "CITATION.cff": b"title: Mine\n",
        "dvc.yaml": b"stages: {}\n",
        ".gitignore": b"/releases/\n",
        "dvc.lock": b"schema: '2.0'\nstages: {}\n",
        "manifests/claims/page.yaml": b'schema: aqea-registry/claims/1\ndocument: {title: T, sha256: "'
        + b"0" * 64
        + b'", file: a.md}\n',
        "page.md": CARD,
        "docker/config.json": b"{}",
        "attestations/.gitignore": b"",
        "manifests/confirmations/.gitignore": b"",
        "down/a.txt": b"a\n",
        "local/a.txt": b"a\n",
        f"local/.cache/huggingface/trees/{COMMIT}.json": b'{"format_version": 1, "files": {}}',
        "local/.cache/huggingface/download/a.txt.metadata": f"{COMMIT}\n{_hex(b'a' + bytes([10]))}\n1.0\n".encode(),
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    for path, content in _binary().items():
        (root / path).write_bytes(content)
    in_process("pin", cwd=root)
    pins = root / "manifests/pins.json"  # with the day of today, which the lists among the files know nothing of
    pins.write_text(re.sub(r'(?<="resolved_at": ")[^"]*', "2026-11-28", pins.read_text()))
    files = {path: (root / path).read_bytes() for path in ("manifests/pins.json",)}
    (root / "manifests/MANIFEST.sha256").write_text("".join(f"{_hex(text)}  {path}\n" for path, text in files.items()))
    (root / "manifests/MANIFEST.sizes").write_text("".join(f"{len(text)}  {path}\n" for path, text in files.items()))
    release = build([("a.txt", _hex(b"a\n"), 2)])
    layout = Layout("oci:releases", root / "releases")
    layout.push("v1", release, lambda _: b"a\n", "", ignore)
    tagged = layout.find("v1")
    assert tagged is not None
    status = {"schema": "aqea-registry/status/1", "digest": tagged.digest, "state": "withdrawn", "reason": "wrong"}
    layout.attach(tagged, "status-1.json", json.dumps(status).encode())
    store = {"reference": "oci:releases:v1", "at": tagged.digest}
    receipt: dict[str, object] = {"schema": "aqea-registry/receipt/1", "tag": "v1", "digest": tagged.digest}
    receipt |= {"stores": {"oci:releases": store}, "files": [{"path": "a.txt", "digest": digest_of(b"a\n"), "size": 2}]}
    (root / "manifests/releases").mkdir()
    (root / "manifests/releases/v1.json").write_text(json.dumps(receipt))


def _binary() -> dict[str, bytes]:
    """Files of rows and vectors, as they should be."""
    files = {name: io.BytesIO() for name in ("rows.parquet", "set.parquet", "given.npy")}
    pq.write_table(pa.table({"sentence1": ["a"], "sentence2": ["b"], "score": [1.0]}), files["rows.parquet"])
    write_vector_set(files["set.parquet"], 4, [(np.sort(keys_of("ab")), np.array([[0, 0, 0, 10**6]] * 2, np.int32))])
    np.save(files["given.npy"], np.eye(4).reshape(2, 2, 4))
    line = b'{"embedding1": [1, 0, 0, 0], "embedding2": [0, 1.5, 0, 0]}\n'
    return {name: file.getvalue() for name, file in files.items()} | {
        "given.jsonl": line * 2,
        "decided.json": render_decided("0" * 64, [DecidedValue("1" * 64, 2, 3)]),
        "lists.jsonl": TopList(subset="default", split="test", query="q", documents=["d"], scores=[0.5]).render(),
        "released.yaml": (ROOT / "dvc.yaml").read_bytes(),
        "ignore": b"a\n",
    }


def _hex(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


Ask = Callable[[Path], Said]


def codes_of(said: Said, sound: Said | None) -> str:
    """The codes of the findings that the sound document has not."""
    return ",".join(sorted({code.partition(":")[0] for code in said.codes - (sound.codes if sound else set())})) or "-"


class Place(NamedTuple):
    """A document of the project by its path, and how the program is made to read it.

    `fixed`: the sound project can be asked the same. `on_disk`: the program itself opens the path.
    """

    path: str
    ask: Ask
    fixed: bool = True
    on_disk: bool = True

    def content(self, root: Path) -> bytes:
        """The sound document; nothing if the project has none."""
        return (root / self.path).read_bytes() if (root / self.path).exists() else b""

    def read(self, root: Path, put: bytes | Callable[[Path], None], limits: AbstractContextManager[None] | None = None) -> Said:
        """What the program says with this in the document's place, within limits; the project is as before afterwards."""
        path, known = root / self.path, {*root.rglob("*")}
        aside = path.with_name(path.name + ".aside")
        if there := os.path.lexists(path):
            path.rename(aside)
        try:
            if isinstance(put, bytes):
                path.write_bytes(put)
            else:
                put(path)
            with limits or bounded():
                return self.ask(root)
        finally:
            for extra in [*sorted({*root.rglob("*")} - known - {aside}, reverse=True), path]:
                if extra.is_dir() and not extra.is_symlink():
                    shutil.rmtree(extra)
                else:
                    extra.unlink(missing_ok=True)
            if there:
                aside.rename(path)


@contextmanager
def bounded() -> Iterator[None]:
    """No more memory and processor time than a document may take."""
    status = Path("/proc/self/status").read_text()
    now = int(status.split("VmData:")[1].split()[0]) << 10
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (now + MEMORY, hard))
    start = time.process_time()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    assert time.process_time() - start < SECONDS


def command(*words: str) -> Ask:
    """Ask a command of the program. It says one line of what is wrong and one of what to do, or findings, and no traceback."""

    def ask(root: Path) -> Said:
        result = in_process(*words, "--json", cwd=root, timeout=20)
        assert len(result.err.splitlines()) <= 2, result.err
        codes = frozenset(finding["code"] + ": " + finding["subject"] for finding in result.json()["findings"])
        return Said(result.status, codes, result.err + result.out)

    return ask


def function(read: Callable[[Path], object]) -> Ask:
    """Ask a function; what it raises counts as the command line would count it."""

    def ask(root: Path) -> Said:
        try:
            value = read(root)
        except RegistryError as error:
            kinds = [STATUS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in STATUS]
            codes = frozenset(f"{finding.code}: {finding.subject}" for finding in error.findings)
            return Said(kinds[0], codes, error.message)
        except (Malformed, CodeRefusedError) as error:
            return Said(1, frozenset({"malformed"}), str(error))
        except OSError as error:
            return Said(3, frozenset(), str(error))
        return Said(0, frozenset(), str(value))

    return ask


def _hub_card(root: Path) -> object:
    """What a dataset's card on the Hub says of its files; `pin` asks it."""
    source: HubSource = MemorySource({README: (root / "hub.md").read_bytes()})  # type: ignore[assignment]
    return resolve.split_patterns(open_project(root).params.datasets["mine"], resolve._card("mine", source, Silent()))


def _rows(root: Path) -> Said:
    """Rows that are pinned, then read, in a copy: the pins of the project stay."""
    copy = root / "copy"
    (copy / "in").mkdir(parents=True)
    for name in ("params.yaml", "dvc.yaml", ".gitignore"):
        shutil.copy(root / name, copy)
    (root / "in/test.jsonl").rename(copy / "in/test.jsonl")
    said = command("pin", "mine")(copy)
    return said if said.status else function(lambda root: pinned_rows(open_project(root).catalogue["mine"], Silent()))(copy)


def _citation(root: Path) -> object:
    return parse_citation((root / "CITATION.cff").read_bytes())


def _parquet_rows(root: Path) -> object:
    with open_regular(root / "rows.parquet") as file:
        column_names("rows.parquet", file)
        file.seek(0)
        return read_rows([("rows.parquet", file)], Dataset(repo="mine", files=("rows.parquet",), sources=()), "mine")


def _vector_set(root: Path) -> object:
    _, findings = examine_vector_set(root / "set.parquet", "set.parquet")
    if findings:
        raise Refused("wrong", findings)
    return None


def _given(name: str) -> Callable[[Path], object]:
    """Vectors that somebody else made, of two pairs."""
    return lambda root: [[*canonical(open_given([root / name], [1.0, 2.0]), which, 2, 4)] for which in (0, 1)]


def _decided(root: Path) -> object:
    path = root / "decided.json"
    small = path.is_file() and path.stat().st_size < MEMORY
    return read_decided(root, path.name, _hex(path.read_bytes() if small else b""), 1)


def _stages(root: Path) -> object:
    return parse_project(PARAMS.replace(b"directory:in", b"directory:data/in"), (root / "released.yaml").read_bytes())


def _model(root: Path) -> object:
    refuse_code(root / "model")
    return None


def _ignored(root: Path) -> object:
    return with_lines(small_text(root / "ignore", Limit.DOCUMENT), ["a", "b"])


def _login(root: Path) -> object:
    before = os.environ.get("DOCKER_CONFIG")
    os.environ["DOCKER_CONFIG"] = str(root / "docker")
    try:
        return stored_login("localhost:5000")
    finally:
        os.environ.pop("DOCKER_CONFIG")
        if before is not None:
            os.environ["DOCKER_CONFIG"] = before


def _with_blob(root: Path) -> None:
    """A layout `told` whose tag v1 names the bytes of `blob`, whatever they are."""
    content = (root / "blob").read_bytes()
    (root / "told/blobs/sha256").mkdir(parents=True)
    for blob in (content, b"{}", b"x\n"):
        (root / "told/blobs/sha256" / _hex(blob)).write_bytes(blob)
    entry: dict[str, object] = {"mediaType": MANIFEST_TYPE, "artifactType": ARTIFACT_TYPE, "size": len(content)}
    entry |= {"digest": digest_of(content), "annotations": {"org.opencontainers.image.ref.name": "v1"}}
    (root / "told/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (root / "told/oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def _release(root: Path) -> Said:
    _with_blob(root)
    pulled = command("pull", "oci:told:v1", "--to", "out")(root)
    said = command("verify", "oci:told:v1")(root)
    assert (pulled.status == 0) == (said.status == 0), (pulled, said)
    assert pulled.status == 0 or not [path for path in root.glob("out/*") if path.name != ".aqea-incoming"]
    return said


def _attachment(root: Path) -> Said:
    """The document or manifest in `attached` beside the release v1: whatever the bytes are, the index lists them."""
    content = (root / "attached").read_bytes()
    digest = digest_of(content)
    (root / "releases/blobs/sha256" / digest[7:]).write_bytes(content)
    index = root / "releases/index.json"
    before = index.read_bytes()
    entry = {"mediaType": MANIFEST_TYPE, "digest": digest, "size": len(content)}
    entry["artifactType"] = "application/vnd.aqea-registry.attachment.v1"
    value = json.loads(before)
    try:
        index.write_text(json.dumps({**value, "manifests": [*value["manifests"], entry]}))
        return command("verify", "oci:releases:v1")(root)
    finally:
        index.write_bytes(before)


def _status(root: Path) -> Said:
    """The document in `mark` as the second mark of the release v1."""
    layout = Layout("oci:releases", root / "releases")
    tagged, index = layout.find("v1"), root / "releases/index.json"
    before = index.read_bytes()
    assert tagged is not None
    try:
        layout.attach(tagged, "status-2.json", (root / "mark").read_bytes())
        return command("verify", "oci:releases:v1")(root)
    finally:
        index.write_bytes(before)


def absent(_: Path) -> None:
    """Put nothing in a document's place."""


PLACES: Mapping[str, Place] = {
    "list": Place("LIST", command("verify", "LIST"), fixed=False),
    "params": Place("params.yaml", command("verify")),
    "pins": Place("manifests/pins.json", command("verify")),
    "dvc_lock": Place("dvc.lock", command("verify")),
    "manifest": Place("manifests/MANIFEST.sha256", command("verify")),
    "sizes": Place("manifests/MANIFEST.sizes", command("verify")),
    "statement": Place("attestations/mine-tiny.intoto.json", command("verify")),
    "ledger": Place("manifests/claims/page.yaml", command("claims", "check")),
    "receipt": Place("manifests/releases/v1.json", command("verify", "--remote")),
    "index": Place("releases/index.json", command("verify", "oci:releases:v1")),
    "release": Place("blob", _release, fixed=False, on_disk=False),
    "attachment": Place("attached", _attachment, fixed=False, on_disk=False),
    "mark": Place("mark", _status, fixed=False, on_disk=False),
    "confirmation": Place("manifests/confirmations/x.intoto.json", command("verify")),
    "record": Place("down/release.json", command("verify", "down"), fixed=False),
    "hub_record": Place("local/.cache/huggingface/download/a.txt.metadata", command("verify", "local")),
    "hub_tree": Place(f"local/.cache/huggingface/trees/{COMMIT}.json", command("verify", "local")),
    "page": Place("page.md", command("claims", "import", "page.md", "--into", "new")),
    "linted": Place("page.md", command("claims", "lint", "page.md")),
    "hub_card": Place("hub.md", function(_hub_card), fixed=False, on_disk=False),
    "citation": Place("CITATION.cff", function(_citation), on_disk=False),
    "rows": Place("in/test.jsonl", _rows, on_disk=False),
    "docker": Place("docker/config.json", function(_login)),
    "parquet_rows": Place("rows.parquet", function(_parquet_rows)),
    "vector_set": Place("set.parquet", function(_vector_set)),
    "given_npy": Place("given.npy", function(_given("given.npy"))),
    "given_lines": Place("given.jsonl", function(_given("given.jsonl"))),
    "decided": Place("decided.json", function(_decided)),
    "lists": Place("lists.jsonl", function(lambda root: read_lists(root / "lists.jsonl"))),
    "stages": Place("released.yaml", function(_stages), on_disk=False),
    "model": Place("model/modules.json", function(_model), fixed=False, on_disk=False),
    "ignored": Place("ignore", function(_ignored)),
}
