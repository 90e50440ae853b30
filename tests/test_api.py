"""The Python interface: its names, what they give, and its page and notebook."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import aqea_registry as ar
from tests.helpers import PAIRS, append
from tests.tools import ROOT, aqea, environment

pytestmark = pytest.mark.weights


def run_python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own: the answers must not rest on what was imported before."""
    words = [sys.executable, "-c", code]
    return subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


def test_the_import_loads_nothing_and_every_name_is_there() -> None:
    done = run_python(
        "import sys; before = {*sys.modules}; import aqea_registry as ar\n"
        "print({name.split('.')[0] for name in {*sys.modules} - before} - {*sys.stdlib_module_names})\n"
        "print(all(callable(getattr(ar, name)) for name in {*ar.__all__} & {*dir(ar)}), hasattr(ar, 'nothing'))\n"
        "import aqea_registry.claims.ledger; print(callable(ar.claims))",
        ROOT,
    )
    assert {*ar.__all__} < {*dir(ar)}
    assert done.stdout.splitlines() == ["{'aqea_registry'}", "True False", "True"], done.stderr


def test_verify_gives_findings_and_claims_verdicts(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert ar.verify() == ar.verify(project) == ()
    assert {verdict.state for verdict in ar.claims()} == {verdict.state for verdict in ar.claims(project)}
    assert [*ar.open_project().artefacts] == ["small-minilm"]
    append(PAIRS, b" ")(project)
    assert {finding.code for finding in ar.verify("manifests/MANIFEST.sha256")} == {"mismatch"}
    with pytest.raises(ar.RegistryError, match="nowhere not found"):
        ar.verify("nowhere")


def test_pairs_of_a_file_and_of_a_release_are_the_same(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert aqea("publish", "--tag", "v1", cwd=project).status == 0
    whole = ar.load_pairs(PAIRS, unit="micro")
    assert (whole.first.dtype, whole.first.shape) == (np.dtype(np.int32), (356, 384))
    for pairs in (ar.load_pairs(PAIRS), ar.load_pairs("v1"), ar.load_pairs("oci:releases:v1", "small-minilm")):
        assert np.array_equal(pairs.first, whole.first / 1_000_000)
        assert np.array_equal(pairs.second, whole.second / 1_000_000)
        assert pairs.scores is not None and np.array_equal(pairs.scores, np.asarray(whole.scores))
    with pytest.raises(ar.RegistryError, match="no file called other"):
        ar.load_pairs("v1", "other")


def test_numbers_off_the_grid_are_not_rounded(tmp_path: Path) -> None:
    value = {"dimension": 2, "n_pairs": 1, "embeddings1": [[0.1234567, 1]], "embeddings2": [[1, 0]], "scores": [1]}
    (tmp_path / "pairs.json").write_text(json.dumps(value))
    assert ar.load_pairs(tmp_path / "pairs.json").first.tolist() == [[0.1234567, 1.0]]
    with pytest.raises(ar.RegistryError, match="not millionths"):
        ar.load_pairs(tmp_path / "pairs.json", unit="micro")


def test_the_page_and_the_notebook_run_in_a_project(project: Path) -> None:
    page = "\n".join(re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/python.md").read_text(), re.MULTILINE | re.DOTALL))
    notebook = json.loads((ROOT / "docs/python.ipynb").read_text())
    assert (notebook["nbformat"], {cell["cell_type"] for cell in notebook["cells"]}) == (4, {"markdown", "code"})
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
    for code in (page, "\n".join("".join(cell["source"]) for cell in cells)):
        done = run_python(code, project)
        assert done.returncode == 0, done.stderr
    shutil.copy(project / "metrics/small-minilm.json", project / "metrics/other.json")
    assert run_python("".join(cells[0]["source"]), project).returncode == 1, "the control: its asserts are run"
