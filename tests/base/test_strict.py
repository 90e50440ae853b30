"""The strict readers: what they read, what they refuse and where, and that work does not grow past the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.base.files import TooLarge, read_small
from aqea_registry.base.findings import BadConfiguration
from aqea_registry.base.strict import DEEPEST, LARGEST, YamlNode, load_json, load_yaml
from aqea_registry.documents.model_index import split_front_matter
from aqea_registry.project.params import Dataset
from aqea_registry.sources.resolve import MOST_OF_CARD, split_patterns


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
    "UTF-16": ("{}".encode("utf-16"), "utf-8"),
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
    assert load_json(b"[1, 2.50, NaN, 1e999]", "file", spelled=True) == ["1", "2.50", "NaN", "1e999"]


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
