"""The strict readers: what they read, what they refuse and where, and that work does not grow past the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
import ruamel.yaml
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.base.files import TooLarge, read_small
from aqea_registry.base.findings import BadConfiguration
from aqea_registry.base.strict import DEEPEST, LARGEST, YamlNode, edit_yaml, load_json, load_yaml, misread, render_yaml
from aqea_registry.documents.model_index import split_front_matter
from aqea_registry.project.params import Dataset
from aqea_registry.sources.mteb_tasks import MOST_OF_CARD
from aqea_registry.sources.resolve import split_patterns


def test_a_small_file_is_read_whole_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for size in (0, 1, 1 << 20):
        path.write_bytes(b"x" * size)
        assert read_small(path, 1 << 20) == b"x" * size
    path.write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(TooLarge, match="larger than 1 MiB"):
        read_small(path, 1 << 20)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read_small(tmp_path / "pipe", 1 << 20)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


JSON: dict[str, tuple[bytes, str]] = {
    "a key twice": (b'{"a": {"b": 1, "b": 1}}', "the key 'b' appears twice"),
    "NaN": (b"[NaN]", "NaN is not a finite number"),
    "infinite": (b"[-1e999]", "-1e999 is not a finite number"),
    "half a surrogate pair": (b'{"\\ud800": 1}', "surrogates not allowed"),
    "deep": (nested(DEEPEST + 1), f"nested more than {DEEPEST} deep"),
    "very deep": (b"[" * 200_000, f"nested more than {DEEPEST} deep"),
    "large": (b" " * (LARGEST + 1), "larger than 64 MiB"),
    "UTF-16": ("{}".encode("utf-16"), "not text in UTF-8; save it as that"),
    "a pointer of git-annex": (b"/annex/objects/SHA256E-s6--00.json\n", "it is a pointer of git-annex, not the file"),
    "a Xet pointer": (b"# xet version 0\n", "it is a Xet pointer, not the file"),
    "a page": (b"<!DOCTYPE html><html>", "it is a web page (HTML), not the file"),
    "zero bytes": (bytes(9), "nothing but zero bytes"),
    "many digits": (b"9" * 5000, "digits"),
    "not JSON": (b"[1,\n2", "line 2 column 2"),
}


@pytest.mark.parametrize("name", JSON)
def test_json_is_refused_with_the_reason(name: str) -> None:
    content, reason = JSON[name]
    with pytest.raises(BadConfiguration, match=r"^file: ") as refused:
        load_json(content, "file", "restore it")
    assert reason in refused.value.message
    assert refused.value.hint == "restore it"


def test_json_may_use_what_is_not_refused() -> None:
    assert load_json(nested(DEEPEST - 1).replace(b"[]", b"[[1]]"), "file")
    assert load_json(b'{"a": [1, 2.50, "\\ud83d\\ude00"]}', "file") == {"a": [1, 2.5, "\U0001f600"]}
    assert load_json(b"\xef\xbb\xbf[1]", "file") == [1]
    assert load_json(b"[1, 2.50, NaN, 1e999]", "file", spelled=True) == ["1", "2.50", "NaN", "1e999"]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_an_edit_leaves_all_else(mark: bytes) -> None:
    assert edit_yaml(mark + b"a: 1  # why\nb: x\n", {("b",): "new"}) == mark + b'a: 1  # why\nb: "new"\n'


LEAVES = st.none() | st.booleans() | st.integers() | st.text("ab~<=", max_size=3)
SHARED = st.lists(
    st.dictionaries(st.text("abc", min_size=1, max_size=1), LEAVES, max_size=3) | st.lists(LEAVES, max_size=3),
    min_size=1,
    max_size=4,
).flatmap(lambda parts: st.lists(st.sampled_from(parts), max_size=6))


@given(SHARED, st.booleans())
def test_aliases_are_what_the_safe_loader_reads(value: Any, flow: bool) -> None:
    content = yaml.safe_dump(value, default_flow_style=flow).encode()
    assert load_yaml(content, "file") == yaml.safe_load(content)


@pytest.mark.parametrize(
    "content",
    [
        b"x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  a: 3\n",
        b"a: &a {x: 1}\nb: &b {x: 2, z: 1}\nc: {q: 1, <<: [*a, *b]}\nd: {<<: *b, <<x: 1}",
        b"a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, x: 3}",
        b"a: &a 1\nb: [*a, *a]\n&k k: v",
    ],
)
def test_merges_are_what_the_safe_loader_reads(content: bytes) -> None:
    assert load_yaml(content, "file") == yaml.safe_load(content)


BOMB = b"a0: &a0 [x]\n" + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 30))
MERGES = b"a0: &a0 {x: 1}\n" + b"".join(
    b"a%d: &a%d {<<: [%s]}\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 30)
)
YAML: dict[str, tuple[bytes, str]] = {
    "aliases of aliases": (BOMB, "line 8, column 5: more than 4194304 values"),
    "merges of merges": (MERGES, "more than 4194304 values"),
    "a circle": (b"a: &a [*a]", "line 1, column 8: the alias 'a' names no value that ends before it"),
    "merging a text": (b"a: {<<: b}", "line 1, column 9: only mappings are merged"),
    "two merges": (b"a: &a {x: 1}\nb: {<<: *a, <<: *a}", "line 2, column 13: '<<' is not read here"),
    "an anchored merge": (b"a: &a {x: 1}\nb: {&m <<: *a}\nc: *m", "line 2, column 5: '<<' is not read here"),
    "a list as a key": (b"? [a]\n: 1", "line 1, column 3: a key is not a plain text"),
    "an alias as a key": (b"a: &a [b]\n*a : 1", "line 2, column 1: a key is not a plain text"),
    "a tag": (b"a: !!python/name:os.system x", "line 1, column 4: the tag 'tag:yaml.org,2002:python/name:os.system'"),
    "not a date": (b"\na: 2024-13-45", "line 2, column 4: month must be in 1..12"),
    "two documents": (b"a: 1\n---\nb: 1", "line 2, column 1: a second document starts"),
    "large": (b"#" * (LARGEST + 1), "larger than 64 MiB"),
}


@pytest.mark.parametrize("name", YAML)
def test_yaml_is_refused_with_line_and_column(name: str) -> None:
    content, reason = YAML[name]
    with pytest.raises(BadConfiguration, match=r"^file: ") as refused:
        load_yaml(content, "file")
    assert reason in refused.value.message


WORDS = """
no No NO n N yes Yes YES y Y on On ON off Off OFF true True TRUE false False FALSE tRUE null Null NULL nUll ~ None
0 -0 +0 00 01 -1 +1 010 08 09 007 0o10 0O10 0o8 +0o7 0x1F -0x1 0xfg 0b11 -0b11 0b2 1_000 1_ _1 1__0 0x1_0 99999999999999999999
190:20:30 1:30 1:30.5 12:30:45 10:00:00 1:99 1.0 1. .5 -.5 +.5 . -. 1e1 5e0 1E1 1e+1 1e-1 -1e1 1.5e3 1.e3 .5e1 .5e+1 1e 1.5e
1e1.5 1e400 .inf -.inf +.Inf .INF .iNF inf Infinity 1_0.5 1.5_0 1,000 1.2.3 1.0. 8b3219a 123e4 0123e4 0e0 00.5 -0.0 1e5a --
1- :1 a:b
2024-01-01 2024-1-1 20240101 2024-01 2024-01-01T10:00:00 2024-1-1T1:00:00.5 en no_NO \u0663 \uff11
"""


@pytest.mark.parametrize("line", WORDS.strip().split("\n"))
def test_unquoted_words_are_what_they_are_to_dvc(line: str) -> None:
    """DVC reads params.yaml with this very reader, and hands the values to its stages."""
    for word in line.split():
        theirs = ruamel.yaml.YAML(typ="safe").load(f"{word}: {word}")
        ours = load_yaml(f"{word}: {word}".encode(), "file")
        assert ours == theirs and repr(ours) == repr(theirs), word


@pytest.mark.parametrize(
    "word", ["0b_", "0x_", "2024-13-45", "2024-02-30", "2024-01-01T25:00:00", "=", "9" * 5000, "0x" + "f" * 5000]
)
def test_words_that_mean_nothing_are_refused_with_their_place(word: str) -> None:
    with pytest.raises(BadConfiguration, match=r"^file: line 2, column 4: "):
        load_yaml(f"#\na: {word}".encode(), "file")
    with pytest.raises((ValueError, ruamel.yaml.constructor.ConstructorError)):
        str(ruamel.yaml.YAML(typ="safe").load(f"a: {word}"))


def test_another_version_of_yaml_is_not_read() -> None:
    assert load_yaml(b"%YAML 1.2\n---\na: no", "file") == {"a": "no"}
    with pytest.raises(BadConfiguration, match=r"YAML .* is not read here"):
        load_yaml(b"%YAML 1.1\n---\na: no", "file")


@given(st.text("01e.xob_-+:yesn~", min_size=1, max_size=6) | st.sampled_from(WORDS.split()))
def test_what_is_written_means_the_same_in_every_version_of_yaml(word: str) -> None:
    content = render_yaml({word: [word]})
    assert load_yaml(content.encode(), "file") == yaml.safe_load(content) == {word: [word]}


class Wanted(msgspec.Struct):
    """Texts and other things, to be read from a file."""

    name: str
    share: float = 0
    languages: tuple[str, ...] = ()
    models: dict[str, dict[str, str]] = {}


def test_all_misread_texts_are_named_with_place_and_remedy() -> None:
    content = b"name: 1.10\nshare: 5e0\nlanguages: [en, no, true, 2024-01-01]\nmodels:\n  8: {a: 0x10}\n  m: {b: TRUE}\n"
    found = misread(content, Wanted, "file")
    assert found is not None and found.message == (
        'file: line 1, column 7: name: 1.10 is read as a number; write "1.10"; '
        'line 3, column 21: languages[2]: true is read as true; write "true"; '
        'line 3, column 27: languages[3]: 2024-01-01 is read as a date; write "2024-01-01"; '
        'line 5, column 3: models.8: 8 is read as a number; write "8"; '
        'line 5, column 10: models.8.a: 0x10 is read as a number; write "0x10"; '
        'line 6, column 10: models.m.b: TRUE is read as true; write "TRUE"'
    )
    assert misread(b"name: x\nshare: no", Wanted, "file") is None, "another fault"
    assert misread(b"[]", Wanted, "file") is None
    both = misread(b"name: 5\nmodels: {a: 3, b: {c: true}}", Wanted, "file")
    assert both is not None and both.message.count("write") == 2, "what else is wrong hides none"


def test_printed_values_keep_their_texts_and_lines() -> None:
    found = load_yaml(b"a: &a\n- 1.50\n- ~\n- 'no'\n2024-01-01: *a\n", "file", printed=True)
    items = YamlNode([YamlNode("1.50", 2), YamlNode(None, 3), YamlNode("no", 4)], 1)
    assert found == YamlNode({"a": items, "2024-01-01": items}, 1)
    assert load_yaml(b"&k key: *k", "file", printed=True) == YamlNode({"key": YamlNode("key", 1)}, 1)


FRONT = ["configs: 5", "configs: .nan", "configs: [{config_name: default, data_files: [{split: test, path: [5, [6]]}]}]"]


@pytest.mark.parametrize("front", FRONT)
def test_a_card_that_names_no_file_is_as_if_it_said_nothing(front: str) -> None:
    entry = Dataset(repo="org/x")
    assert split_patterns(entry, load_yaml(front.encode(), "README.md")) == split_patterns(entry, {})


def test_a_wide_card_is_not_read_to_its_end() -> None:
    front = split_front_matter(f"---\na: [{'1,' * 400_000}1]\n---\n# x", "README.md")
    assert front is not None
    with pytest.raises(BadConfiguration, match=f"more than {MOST_OF_CARD} values"):
        load_yaml(front.yaml, "README.md", most=MOST_OF_CARD)
