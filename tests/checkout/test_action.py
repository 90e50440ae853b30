"""The action and the hooks of this repository, as far as they go without GitHub: their steps run as a shell runs them."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from sarif_kit.validate import validation_errors

from aqea_registry.cli.shell import main
from tests.tools import BIN, ROOT, Result, aqea, needed_package, run

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
CHECKS = ("Begin", "verify", "claims check", "claims lint")  # what needs no network


def step(name: str, cwd: Path, temp: Path, **inputs: str) -> Result:
    """Run a step of the action in bash, as GitHub does, with its inputs in the environment."""
    given = {key: str(one["default"]) for key, one in ACTION["inputs"].items()} | inputs
    script = temp / "step.sh"
    script.write_text(STEPS[name]["run"])
    env = {key: given[value.split("inputs.")[1].rstrip(" }")] for key, value in STEPS[name]["env"].items()}
    env |= {"RUNNER_TEMP": str(temp), "GITHUB_OUTPUT": str(temp / "output"), "GITHUB_STEP_SUMMARY": str(temp / "summary.md")}
    env |= {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(cwd), "GITHUB_ACTION_PATH": str(ROOT)}
    return run("bash", "--noprofile", "--norc", "-eo", "pipefail", script, cwd=cwd, env=env)


def plant_a_digit(project: Path) -> tuple[int, str]:
    """Print another last digit of one bound number; its line, and the value that stood there."""
    page = project / "docs/small-set.md"
    lines = page.read_text().splitlines(keepends=True)
    claims = yaml.safe_load((project / "manifests/claims/small-set.yaml").read_text())["claims"]
    planted = next(one for one in claims if len(one["value"]) > 3 and lines[one["at"]["line"] - 1].count(one["value"]) == 1)
    number = planted["at"]["line"]
    digit = str(9 - int(planted["value"][-1]))
    lines[number - 1] = lines[number - 1].replace(planted["value"], planted["value"][:-1] + digit)
    page.write_text("".join(lines))
    return number, planted["value"]


def test_a_wrong_digit_fails_the_action_at_its_line(project: Path, tmp_path: Path) -> None:
    temp = tmp_path / "temp"
    (temp / "aqea-registry/bin").mkdir(parents=True)
    (temp / "aqea-registry/bin/aqea-registry").symlink_to(BIN / "aqea-registry")
    number, value = plant_a_digit(project)
    done = {name: step(name, project, temp, documents="README.md docs/small-set.md") for name in CHECKS}
    assert {name: result.status for name, result in done.items()} == {
        "Begin": 0,
        "verify": 0,
        "claims check": 1,
        "claims lint": 1,
    }
    lint = done["claims lint"].err.splitlines()
    said = [line for line in lint if line.startswith(f"::error file=docs/small-set.md,line={number},col=")]
    assert [line for line in said if value in line], lint
    strict = [line for line in done["claims check"].err.splitlines() if "::unchecked" in line or "broken-link" in line]
    assert strict
    folder = temp / "aqea-registry-sarif"
    assert (temp / "output").read_text() == f"sarif={folder}\nledgers=true\n"
    logs = {path.stem: json.loads(path.read_bytes()) for path in folder.iterdir()}
    assert logs.keys() == {"verify", "claims-check", "claims-lint"}
    assert [validation_errors(log) for log in logs.values()] == [[]] * 3
    assert {log["runs"][0]["automationDetails"]["id"] for log in logs.values()} == {f"aqea-registry/{name}/" for name in logs}
    assert logs["verify"]["runs"][0]["results"] == []
    summary = (temp / "summary.md").read_text()
    assert "### aqea-registry verify: no findings" in summary and f"| docs/small-set.md:{number} |" in summary


def test_strict_is_what_fails_on_claims_that_nothing_here_can_check(project: Path, tmp_path: Path) -> None:
    assert aqea("claims", "check", "readme", cwd=project).status == 0
    strictly = aqea("claims", "check", "--strict", "--json", cwd=project).json()
    unsettled = [verdict for verdict in strictly["verdicts"] if verdict["state"] in ("unchecked", "unbound")]
    assert not strictly["ok"] and len(unsettled) == len(strictly["findings"]) > 0


def test_a_folder_without_ledgers_has_no_claims_to_check(tmp_path: Path) -> None:
    result = step("Begin", tmp_path, tmp_path)
    assert result.status == 0 and "no claim is checked" in result.out
    assert "ledgers=" not in (tmp_path / "output").read_text()


HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())


@pytest.mark.parametrize("hook", HOOKS, ids=[hook["id"] for hook in HOOKS])
def test_a_hook_calls_a_command_that_is_there(hook: dict[str, Any]) -> None:
    program, *words = shlex.split(hook["entry"])
    found: click.Command = main
    while isinstance(found, click.Group):
        found = found.commands[words.pop(0)]
    assert program == "aqea-registry"
    assert {*words} <= {option for parameter in found.params for option in parameter.opts}


@pytest.mark.rare
def test_the_hooks_run_where_pre_commit_installs_them(project: Path) -> None:
    """From this checkout as it is, in an environment of the core that is made for it: those of a commit, and of a push."""
    needed_package("pre_commit")
    number, value = plant_a_digit(project)
    env = {"PYTHONPATH": "", "HF_HUB_OFFLINE": "1"}
    words = (sys.executable, "-m", "pre_commit", "try-repo", ROOT)
    done = run(*words, "--files", "docs/small-set.md", cwd=project, env=env, timeout=600)
    states = {line.rpartition(".")[2]: line.partition("..")[0] for line in done.out.splitlines() if ".." in line}
    names = {hook["id"]: hook["name"] for hook in HOOKS}
    assert done.status == 1 and states["Passed"] == names["verify"], done
    assert re.findall(r"^- hook id: (.*)$", done.out, re.MULTILINE) == ["claims-check", "claims-lint"]
    wrong = re.findall(
        rf"^claim-stale: docs/small-set.md:{number}:\d+: .*; expected {re.escape(value)}$", done.out, re.MULTILINE
    )
    assert wrong, done.out
    pins = run(*words, "pin-check", "--hook-stage", "manual", cwd=project, env=env, timeout=600)
    assert "error: minilm: HF_HUB_OFFLINE is set" in pins.out, pins


def test_a_new_project_s_workflow_runs_what_the_action_runs() -> None:
    steps = yaml.safe_load((ROOT / "aqea_registry/project/workflow.yaml").read_text())["jobs"]["numbers"]["steps"]
    own = {one["run"].partition(" ")[2] for one in steps if one.get("run", "").startswith("aqea-registry ")}
    assert own == {"verify", "pin --check", "claims check --strict", "claims lint"}
    assert {"verify", "pin", "claims check", "claims lint"} == STEPS.keys() - {"Begin", "Install"}
