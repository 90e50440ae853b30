"""The command line as others script against it: help, options, exit status, JSON, and what a terminal gets."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pty
import re
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from aqea_registry import __version__
from aqea_registry.cli.output import TerminalReporter
from aqea_registry.cli.shell import main
from tests.helpers import METRICS, PAIRS, PLOT, append, edit_rows, finish, heed_interrupts, keep_vectors, start, tree
from tests.tools import BIN, ROOT, aqea, edit_params, environment, program, run

COLOUR = re.compile(rb"\x1b\[[0-9;]*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[0-9;]*m")


def commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below a group, with the words that call it."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


COMMANDS = dict(commands(main))


def options(command: click.Command) -> set[str]:
    """Every spelling of every option."""
    return {word for parameter in command.params for word in (*parameter.opts, *parameter.secondary_opts) if word[0] == "-"}


def test_help_names_every_command_and_the_exit_status(tmp_path: Path) -> None:
    for word in ("--help", "-h"):
        result = aqea(word, cwd=tmp_path)
        assert (result.status, result.err) == (0, "")
        assert {words[0] for words in COMMANDS} <= set(re.findall(r"^  ([a-z-]+)  ", result.out, re.MULTILINE))
        for status in ("0 fine", "1 findings", "2 usage", "3 could not check", "4 not allowed", "5 the tag exists"):
            assert status in " ".join(result.out.split())


def test_version(tmp_path: Path) -> None:
    result = aqea("--version", cwd=tmp_path)
    assert result == (0, f"aqea-registry, version {__version__}\n", "")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_and_the_common_options(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert {"--json", "-q", "-C"} <= options(COMMANDS[words])
    result = aqea(*words, "--help", cwd=tmp_path, process=False)
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"Usage: aqea-registry {' '.join(words)} ")
    for option in options(COMMANDS[words]):
        assert re.search(rf"(?<![\w-]){re.escape(option)}\b", result.out), option
    for parameter in COMMANDS[words].params:
        if isinstance(parameter, click.Option):
            assert parameter.help or parameter.metavar or isinstance(parameter.type, click.Choice), parameter.name


@pytest.mark.parametrize("words", [(), ("claims",), *COMMANDS], ids=" ".join)
def test_the_examples_of_a_help_can_be_typed(words: tuple[str, ...]) -> None:
    command: click.Command = main
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    examples = re.findall(r"^  aqea-registry (.*)$", command.epilog or "", re.MULTILINE)
    assert examples, "a command has examples in its decorator, a group in its epilog"
    for example in examples:
        typed, group = shlex.split(example), click.Context(main)
        called: click.Command = main
        while isinstance(called, click.Group):
            called = called.commands[typed.pop(0)]
        called.make_context(called.name, typed, parent=group)  # raises for what cannot be parsed
        assert example.startswith(" ".join(words))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_an_unknown_option_is_usage(tmp_path: Path, words: tuple[str, ...]) -> None:
    result = aqea(*words, "--no-such-option", "--json", cwd=tmp_path, process=False)
    assert (result.status, result.out) == (2, "")
    assert "--no-such-option" in result.err


WRONG = (
    ("nonsense",),
    ("--no-such-option",),
    ("generate", "small"),
    ("generate", "small", "minilm", "--batch", "0"),
    ("export", PAIRS),
    ("export", PAIRS, "--format", "png"),
    ("publish",),
    ("verify", "a", "b"),
    ("verify", "-C", "nowhere"),
    ("compare", "a"),
    ("trace",),
    ("trace", "a", "--format", "png"),
    ("claims", "import"),
    ("claims", "export"),
    ("claims", "export", "--format", "png"),
    # Options of 0.1.0 that were taken out.
    ("pin", "--list", "data.json"),
    ("compare", "a", "--fresh"),
    ("trace", "a", "--format", "dot"),
    ("compare", "a", "b", "--plot", "rows.svg"),
)


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_a_wrong_command_line_is_usage(tmp_path: Path, words: tuple[str, ...]) -> None:
    result = aqea(*words, cwd=tmp_path, process=False)
    assert (result.status, result.out) == (2, "")
    assert "--help" in result.err


# A way to call each command in a project, and what it answers there.
CALLS: dict[tuple[str, ...], tuple[tuple[str, ...], set[str]]] = {
    ("init",): (("init",), {"root", "written", "notes", "next"}),
    ("pin",): (("pin", "small", "--check"), {"states", "unasked"}),
    ("generate",): (("generate", "small", "minilm"), {"name", "path", "n_pairs", "dimension", "metrics", "encoded", "reused"}),
    ("encode",): (("encode", "minilm"), {"models", "seed"}),
    ("cache", "size"): (("cache", "size"), {"kept", "bytes"}),
    ("cache", "prune"): (("cache", "prune"), {"unused", "removed"}),
    ("cache", "verify"): (("cache", "verify"), {"kept"}),
    ("export",): (("export", PAIRS, "--format", "benchmark"), {"path"}),
    ("manifest",): (("manifest",), {"files", "changed"}),
    ("verify",): (("verify",), {"target", "files", "bytes", "notes", "pair_sets"}),
    ("docs",): (("docs", "mismatch"), {"pages", "page", "text"}),
    ("trace",): (
        ("trace", "small-minilm#cos_sim_spearman"),
        {"what", "found", "rests_on", "carried_by", "nodes", "edges"},
    ),
    ("report",): (("report",), {"path", "bytes", "changed", "headline", "counts", "found", "figures"}),
    ("package",): (("package",), {"folder", "files", "bytes", "written", "removed"}),
    ("publish",): (("publish", "--tag", "v1"), {"tag", "digest", "files", "bytes", "puts"}),
    ("import-vectors",): (("import-vectors", "a.npy", "--model", "minilm", "--dataset", "small"), set()),
    ("releases",): (("releases",), {"releases"}),
    ("pull",): (("pull", "oci:releases:v1"), {"reference", "digest", "folder", "files", "fetched", "bytes", "status"}),
    ("compare",): (("compare", "oci:releases:v1", "oci:releases:v1"), {"verdict", "changes"}),
    ("confirm",): (("confirm", "oci:releases:v1"), {"reference", "digest", "verdicts", "machines", "encoded", "path", "added"}),
    ("claims", "check"): (("claims", "check", "small-set"), {"documents", "notes", "verdicts"}),
    ("mark",): (("mark", "--tag", "v1", "--withdrawn", "--reason", "a fault"), {"marked"}),
    ("claims", "export"): (("claims", "export", "--format", "model-index"), {"format", "path", "numbers", "text"}),
    ("claims", "lint"): (("claims", "lint", "CHANGELOG.md"), {"documents"}),
    ("claims", "bind"): (("claims", "bind", PLOT), {"ledger", "written", "bound", "asked", "unbound", "notes"}),
    ("claims", "fill"): (("claims", "fill", "small-set"), {"changes", "notes", "written"}),
    ("claims", "import"): (("claims", "import", PLOT), {"ledger", "written", "claims", "added", "changed", "gone", "notes"}),
}
RELEASED = {("releases",), ("pull",), ("compare",), ("mark",), ("confirm",)}  # these want a release
PROJECTLESS = {("init",), ("pull",), ("compare",), ("docs",), ("claims", "lint")}
# What encodes, and what wants vectors: tests/releases/test_confirm.py, tests/generation/test_given.py.
ANSWERED = [words for words in CALLS if words not in {("confirm",), ("import-vectors",)}]
# Arguments that make sense nowhere but in a project.
ARGUMENTS: dict[tuple[str, ...], tuple[str, ...]] = {words: call[len(words) :] for words, (call, _) in CALLS.items()}


def prepare(made: Path, project: Path, words: tuple[str, ...]) -> None:
    """Give a project what the command works on."""
    keep_vectors(made, project)
    if words in RELEASED:
        assert aqea("publish", "--tag", "v1", cwd=project).status == 0


@pytest.mark.weights
@pytest.mark.parametrize("words", ANSWERED, ids=" ".join)
def test_json_is_one_object_and_nothing_else(made: Path, project: Path, words: tuple[str, ...]) -> None:
    """Each command once as it is installed, in a process of its own."""
    prepare(made, project, words)
    call, fields = CALLS[words]
    result = program(*call, "--json", cwd=project)
    assert (result.status, result.err) == (0, "")
    value = result.json()
    assert {"schema", "ok", "findings"} | fields <= set(value)
    assert (value["schema"], value["ok"], value["findings"]) == (f"aqea-registry/{'-'.join(words)}/1", True, [])
    assert "error" not in value
    assert "\x1b" not in result.out


@pytest.mark.weights
@pytest.mark.parametrize("words", ANSWERED, ids=" ".join)
def test_in_a_pipe_there_is_no_colour_and_no_progress_and_quiet_is_quiet(
    made: Path, project: Path, words: tuple[str, ...]
) -> None:
    prepare(made, project, words)
    call, _ = CALLS[words]
    colour = {"TERM": "xterm-256color", "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}
    result = aqea(*call, cwd=project, env=colour, process=False)
    assert (result.status, result.err) == (0, "")
    assert result.out.endswith("\n")
    assert "\x1b" not in result.out
    assert "\r" not in result.out
    assert not re.search("[\u2500-\u259f\u2026]", result.out), "no frames, and nothing cut off"
    assert aqea(*call, "-q", cwd=project, process=False) == (0, "", "")


ERRORS: dict[str, tuple[tuple[str, ...], int, str]] = {
    "pin, unknown name": (("pin", "nothing"), 2, "BadConfiguration"),
    "pin --check, unknown name": (("pin", "--check", "nothing"), 2, "BadConfiguration"),
    "claims check, unknown ledger": (("claims", "check", "nothing"), 2, "BadConfiguration"),
    "generate, unknown name": (("generate", "small", "nothing"), 2, "BadConfiguration"),
    "export, unknown file": (("export", "nothing", "--format", "benchmark"), 2, "BadConfiguration"),
    "verify, nothing there": (("verify", "nothing"), 3, "CannotCheck"),
    "verify, no list": (("verify", "docs"), 2, "BadConfiguration"),
    "verify, no layout": (("verify", "oci:nothing:v1"), 3, "CannotCheck"),
    "verify, unknown store": (("verify", "oci:"), 2, "BadConfiguration"),
    "claims lint, nothing there": (("claims", "lint", "nothing.md"), 3, "CannotCheck"),
    "claims import, nothing there": (("claims", "import", "nothing.md"), 3, "CannotCheck"),
    "claims import, no numbers": (("claims", "import", "LICENSE"), 2, "BadConfiguration"),
    "claims export, unknown ledger": (("claims", "export", "nothing", "--format", "json"), 2, "BadConfiguration"),
    "trace, unknown name": (("trace", "no such thing"), 2, "BadConfiguration"),
    "trace, unknown digest": (("trace", "f" * 64), 3, "CannotCheck"),
    "docs, unknown page": (("docs", "nothing"), 2, "BadConfiguration"),
    "publish, bad tag": (("publish", "--tag", "a/b"), 2, "BadConfiguration"),
    "publish, unknown store": (("publish", "--tag", "v1", "--to", "ftp:x"), 2, "BadConfiguration"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_json_as_well(made: Path, name: str) -> None:
    call, status, kind = ERRORS[name]
    result = aqea(*call, "--json", cwd=made)
    value = result.json()
    assert (result.status, value["ok"], value["findings"], value["error"]["kind"]) == (status, False, [], kind)
    name = next("-".join(words) for words in COMMANDS if call[: len(words)] == words)
    assert value["schema"] == f"aqea-registry/{name}/1"
    assert set(value["error"]) == {"kind", "message", "hint"}
    assert result.err.startswith(f"error: {value['error']['message']}\n"), "a person reads the same"
    quiet = aqea(*call, "-q", cwd=made)
    assert quiet == (status, "", result.err), "-q hides no error"


def test_findings_of_an_error_are_json_as_well(project: Path) -> None:
    (project / METRICS).unlink()
    result = aqea("manifest", "--json", cwd=project)
    value = result.json()
    assert (result.status, value["ok"], value["error"]["kind"]) == (1, False, "Refused")
    assert [(finding["code"], finding["subject"]) for finding in value["findings"]] == [("missing", METRICS)]
    assert set(value["findings"][0]) == {"code", "subject", "expected", "actual", "message"}


@pytest.mark.parametrize("words", [words for words in CALLS if words not in PROJECTLESS], ids=" ".join)
def test_a_folder_that_is_no_project_is_told_with_a_hint(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "empty").mkdir()
    for where, place in (((), tmp_path / "empty"), (("-C", tmp_path / "empty"), tmp_path)):
        result = aqea(*words, *ARGUMENTS[words], *where, cwd=place, process=False)
        assert (result.status, result.out) == (2, "")
        assert "is not a project of aqea-registry" in result.err
        assert "-C DIR" in result.err
        assert tree(tmp_path) == {}


def test_every_command_works_elsewhere_with_c(made: Path, project: Path, tmp_path: Path) -> None:
    keep_vectors(made, project)
    (tmp_path / "here").mkdir()
    for call, _ in map(CALLS.__getitem__, ANSWERED):
        for place in (str(project), "../project"):
            result = aqea(*call, "-C", place, cwd=tmp_path / "here", process=False)
            assert result.status == 0, (call, result.out, result.err)
    assert aqea("verify", "oci:releases:v1", "-C", "../project", cwd=tmp_path / "here").status == 0
    assert (project / "releases/index.json").is_file()
    assert tree(tmp_path / "here") == {}


def test_every_command_was_called() -> None:
    """A command that is new is to be tried here as well."""
    assert set(CALLS) == set(COMMANDS)


def on_a_terminal(*words: str, cwd: Path, env: Mapping[str, str]) -> tuple[int, bytes]:
    """Run the program on a terminal of 100 columns: exit status, and everything that it showed."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(cwd)
        os.execve(BIN / "aqea-registry", ["aqea-registry", *words], {**environment(env), "COLUMNS": "100"})
    shown = b""
    while True:
        try:
            block = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if not block:
            break
        shown += block
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown


def test_a_terminal_gets_a_table_and_progress(project: Path) -> None:
    append(METRICS, b" ")(project)
    status, shown = on_a_terminal("verify", cwd=project, env={"TERM": "xterm-256color"})
    assert status == 1
    assert COLOUR.search(shown), "the control: without NO_COLOR there is colour"
    assert b"finding" in shown
    assert b"hash" in shown
    status, shown = on_a_terminal("verify", "-q", cwd=project, env={"TERM": "xterm-256color"})
    assert (status, b"hash" in shown, b"mismatch" in shown) == (1, False, True)
    status, shown = on_a_terminal("verify", "--json", "-q", cwd=project, env={"TERM": "xterm-256color"})
    assert json.loads(shown)["ok"] is False


def test_a_terminal_sums_up_equal_findings_by_code_and_a_pipe_gets_all(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    for number in range(25):
        (tmp_path / f"other{number:04}").write_text("y")
    lines = [
        *(f"{digest}  other{number:04}\n" for number in range(25)),
        *(f"{digest}  absent{number:04}\n" for number in range(1000)),
    ]
    (tmp_path / "LIST").write_text("".join(lines) + f"{digest}  ../up\n")
    status, shown = on_a_terminal("verify", "LIST", cwd=tmp_path, env={"TERM": "xterm-256color", "NO_COLOR": "1"})
    text = shown.decode()
    assert status == 1
    assert (text.count("absent"), text.count("other"), text.count("../up")) == (20, 20, 1)
    assert "absent0019" in text and "absent0020" not in text
    assert "and 980 more missing, 5 more mismatch; to see all: --json, or a pipe" in text.replace("\r\n", "\n")
    assert "1026 findings" in text
    piped = aqea("verify", "LIST", cwd=tmp_path).out.splitlines()
    assert len(piped) == 1026 + 1
    whole = json.loads(on_a_terminal("verify", "LIST", "--json", "-q", cwd=tmp_path, env={})[1])
    assert len(whole["findings"]) == 1026


def test_a_terminal_shows_in_one_line_where_each_code_is_explained(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("y")
    (tmp_path / "LIST").write_text("".join(f"{'0' * 64}  {name}\n" for name in ("absent", "other", "gone")))
    shown = on_a_terminal("verify", "LIST", cwd=tmp_path, env={})[1].decode()
    assert shown.count("what each means: aqea-registry docs missing|mismatch") == shown.count("aqea-registry docs") == 1
    assert aqea("verify", "LIST", cwd=tmp_path).err == aqea("verify", "LIST", "--json", cwd=tmp_path).err == ""


def test_no_color_takes_the_colour_away(project: Path) -> None:
    append(METRICS, b" ")(project)
    for words in (("verify",), ("publish", "--tag", "v1"), ("trace", "small-minilm#cos_sim_spearman")):
        status, shown = on_a_terminal(*words, cwd=project, env={"TERM": "xterm-256color", "NO_COLOR": "1"})
        assert status == 1
        assert not COLOUR.search(shown), shown


def test_a_strangers_file_name_does_nothing_to_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  a\n")
    (tmp_path / "\x1b]0;title\a\x1b[2J").write_text("x")
    status, shown = on_a_terminal("verify", ".", cwd=tmp_path, env={"TERM": "xterm-256color", "NO_COLOR": "1"})
    assert status == 1
    assert b"title" in shown
    assert b"\x1b]0;" not in shown
    assert b"\x1b[2J" not in shown


def test_a_reader_that_stops_is_no_error(project: Path) -> None:
    """As in `aqea-registry verify | head -1`."""
    for number in range(3000):
        (project / f"training/data/{number}").touch()
    process = start("verify", cwd=project)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith("unexpected: ")
    process.stdout.close()
    with process.stderr:
        said = process.stderr.read()
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert process.wait(timeout=600) in (1, -13)


def test_an_answer_that_cannot_be_written_is_said_in_a_line(tmp_path: Path) -> None:
    """On a full disk; and who closed the streams, as cron may, has the status alone."""
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  gone\n")
    full = run("sh", "-c", "aqea-registry verify . >/dev/full", cwd=tmp_path)
    assert full == (3, "", "error: the answer cannot be written: No space left on device\n")
    assert run("sh", "-c", "aqea-registry verify . <&- >&- 2>&-", cwd=tmp_path) == (1, "", "")


def test_warnings_are_on_stderr(made: Path, project: Path) -> None:
    """A changed source is passed over with a warning when another one has the pinned bytes."""
    keep_vectors(made, project)
    edit_rows(project, lambda rows: None)
    result = aqea("generate", "small", "minilm", "--json", cwd=project)
    assert (result.status, result.err) == (0, "")
    append("data/small/test.jsonl", b"\n")(project)
    result = aqea("generate", "small", "minilm", "--json", cwd=project)
    assert result.status == 1
    assert result.err.startswith("warning: small: test.jsonl from directory:data/small: these are not the pinned bytes")
    assert result.json()["ok"] is False


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 36)  # a hole: it takes no room, and a minute to hash
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  large\n")
    process = start("verify", "SHA256SUMS", cwd=tmp_path, limit=heed_interrupts)
    opened = Path(f"/proc/{process.pid}/fd")
    while not any(os.path.realpath(fd).endswith("/large") for fd in opened.iterdir()):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    ended = finish(process)
    assert (ended.status, ended.out) == (130, "")
    assert ended.err.startswith("error: interrupted\n  next: run the same command again")


def test_ctrl_c_while_an_answer_is_written_ends_with_130_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_text("".join(f"{'0' * 64}  absent{number}\n" for number in range(20_000)))
    process = start("verify", "SHA256SUMS", cwd=tmp_path, limit=heed_interrupts)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("missing: ")  # the pipe is full soon, and the program waits
    process.send_signal(signal.SIGINT)
    ended = finish(process)
    assert (ended.status, ended.err) == (130, "error: interrupted\n")


INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without it
class AtThis:
    def find_spec(self, name, path=None, target=None):
        if name == "{}":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, AtThis())
from aqea_registry.__main__ import main
main()
"""


@pytest.mark.parametrize("module", ["aqea_registry.cli", "click", "aqea_registry.cli.releasing", "aqea_registry.base.findings"])
def test_ctrl_c_while_the_program_loads_ends_with_130_in_a_line(tmp_path: Path, module: str) -> None:
    ended = run(BIN / "python", "-c", INTERRUPTED.format(module), "manifest", cwd=tmp_path)
    assert (ended.status, ended.out, ended.err.splitlines()[0]) == (130, "", "error: interrupted")


@pytest.mark.weights
def test_a_tag_alone_is_of_the_first_store_of_the_project_and_a_path_comes_before_it(project: Path) -> None:
    edit_params(project, lambda params: params["publish"].update(stores=["oci:kept", "oci:releases"]))
    published = aqea("publish", "--tag", "v1", "--json", cwd=project).json()
    for words in (("verify", "v1"), ("compare", "v1", "oci:kept:v1"), ("pull", "v1"), ("verify", f"v1@{published['digest']}")):
        result = aqea(*words, cwd=project)
        meant = next(word for word in words if word.startswith("v1"))
        assert (result.status, result.err) == (0, f"note: {meant} is read as oci:kept:{meant}\n"), words
        assert aqea(*words, "-q", cwd=project) == (0, "", "")
    below = aqea("verify", "v1", cwd=project / "docs")
    assert (below.status, below.err) == (0, "note: v1 is read as oci:../kept:v1\n")
    assert aqea("verify", f"v1@sha256:{'0' * 64}", cwd=project).status == 1
    absent = aqea("verify", "v2", cwd=project)
    assert absent.status == 3 and "no such path" in absent.err and "oci:kept:v2: there is no such tag" in absent.err
    assert "did you mean 'params.yaml'?" in aqea("compare", "v1", "param.yaml", cwd=project).err
    (project / "v1").write_text(f"{hashlib.sha256(b'').hexdigest()}  empty\n")
    (project / "empty").touch()
    read = aqea("verify", "v1", cwd=project)
    assert (read.status, read.err) == (0, "note: v1 is read as the path; the release is oci:kept:v1\n")


COMPLETED: dict[tuple[str, ...], tuple[str, set[str]]] = {
    ("generate",): ("sma", {"small"}),
    ("generate", "small"): ("minil", {"minilm"}),
    ("export",): ("train", {PAIRS}),
    ("claims", "check"): ("mar", {"margins"}),
    ("trace",): ("small-", {"small-minilm", "small-"}),  # or a path that begins so
    ("pull",): ("v", {"v1", "v"}),
    ("mark", "--tag"): ("", {"v1"}),
    ("pin", "-C", "/"): ("sma", set()),
}


@pytest.mark.weights
def test_a_shell_completes_names_of_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert aqea("publish", "--tag", "v1", cwd=project).status == 0
    monkeypatch.chdir(project)
    shell = ShellComplete(main, {}, "aqea-registry", "_AQEA_REGISTRY_COMPLETE")
    for words, (typed, names) in COMPLETED.items():
        assert {item.value for item in shell.get_completions([*words], typed)} == names, words


def code_of_readme() -> Iterator[str]:
    """Everything in README.md that is set as code: blocks and spans."""
    text = (ROOT / "README.md").read_text()
    for block in re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def test_what_the_readme_tells_to_type_exists() -> None:
    tried = 0
    for line in code_of_readme():
        for call in re.split(r"&&|\||;", line):
            words = shlex.split(call, comments=True) if "aqea-registry " in call else []
            if not words or words[0] != "aqea-registry":
                continue
            tried += 1
            known = [command for command in COMMANDS if command == tuple(words[1 : 1 + len(command)])]
            assert known or words[1] in options(main), line
            unknown = {word.partition("=")[0] for word in words if word.startswith("-")}
            assert not unknown - options(main) - {option for command in known for option in options(COMMANDS[command])}, line
    assert tried > 0


WITHOUT = """
import sys
sys.modules.update(dict.fromkeys(("huggingface_hub", "github", "requests")))
from aqea_registry.cli.shell import main
main()
"""


@pytest.mark.parametrize("reference", ["oci://127.0.0.1:1/x:v1", "hf://datasets/o/n@v1", "github://o/n@v1"])
def test_a_client_that_is_not_installed_is_named(tmp_path: Path, reference: str) -> None:
    for words in (("verify", reference), ("pull", reference), ("compare", reference, reference)):
        result = run(BIN / "python", "-c", WITHOUT, *words, cwd=tmp_path)
        assert (result.status, result.out) == (3, ""), result
        assert result.err.startswith("error: ") and "pip install 'aqea-registry[stores]'" in result.err
        assert "Traceback" not in result.err


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_rate_and_time_left_on_a_terminal_alone(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("COLUMNS", "120")
    with TerminalReporter(quiet=False).task("pull it", 20_000_000, "bytes") as advance:
        for _ in range(4):
            advance(1_000_000)
            time.sleep(0.15)
    text = shown.getvalue()
    assert bool(re.search(r"pull it.*MB.*MB/s.*0:00:\d\d", text)) == terminal
    assert bool(text) == terminal
