"""The vector cache: what is put in comes out, and what is damaged is forgotten."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.embedding.vector_cache import ROWS_A_BLOCK, VectorCache
from aqea_registry.vectors.pair_set import Micro, OnGrid
from aqea_registry.vectors.vector_set import key_of
from tests.factories import unit_rows


def sentences(count: int, start: int = 0) -> list[str]:
    return [f"sentence {number} ü" for number in range(start, start + count)]


def rows(count: int, dimension: int = 4, seed: int = 0) -> Micro:
    return unit_rows(np.random.default_rng(seed), count, dimension)


def grid(micro: Micro) -> OnGrid:
    return OnGrid(micro, np.arange(len(micro), dtype=np.float64))


def read(cache: VectorCache, texts: list[str]) -> Micro:
    return np.concatenate(list(cache.blocks(texts)))


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npy"))


def test_vectors_come_back_in_the_order_they_are_asked_for(tmp_path: Path) -> None:
    """A thousand keys: some end in a zero byte, which a fixed-width string would lose."""
    texts, vectors = sentences(1000), rows(1000)
    assert any(key_of(text).endswith(b"\0") for text in texts)
    VectorCache(tmp_path, 4).add(texts, grid(vectors))
    order = np.random.default_rng(1).integers(0, 1000, 3000)
    found = read(VectorCache(tmp_path, 4), [texts[position] for position in order])
    assert found.dtype == np.int32
    assert np.array_equal(found, vectors[order])


def test_distances_come_back_with_their_sentences(tmp_path: Path) -> None:
    VectorCache(tmp_path, 4).add(sentences(10), grid(rows(10)))
    found = VectorCache(tmp_path, 4).nearest([*sentences(3, 5), *sentences(2)])
    assert found.tolist() == [5, 6, 7, 0, 1]
    with pytest.raises(KeyError):
        VectorCache(tmp_path, 4).nearest(["another"])


def test_what_was_added_is_there_at_once_and_later(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "new" / "folder", 4)
    for start in (0, 10, 20):
        cache.add(sentences(10, start), grid(rows(10, seed=start)))
    wanted = np.concatenate([rows(10, seed=start) for start in (0, 10, 20)])
    for found in (cache, VectorCache(tmp_path / "new" / "folder", 4)):
        assert np.array_equal(read(found, sentences(30)), wanted)
        assert found.missing(sentences(30)) == []
    assert len(segments(tmp_path / "new" / "folder")) == 3


def test_blocks_are_of_bounded_size(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path, 1)
    cache.add(["x"], grid(np.array([[7]], np.int32)))
    lengths = [len(block) for block in cache.blocks(["x"] * (2 * ROWS_A_BLOCK + 5))]
    assert lengths == [ROWS_A_BLOCK, ROWS_A_BLOCK, 5]
    assert list(cache.blocks([])) == []


@given(st.lists(st.sampled_from("abcdef")))
def test_missing_sentences_are_distinct_and_in_order(asked: list[str]) -> None:
    assert VectorCache(Path("/nowhere"), 1).missing(iter(asked)) == list(dict.fromkeys(asked))


def test_only_what_is_not_held_is_missing(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path, 4)
    cache.add(["b", "d"], grid(rows(2)))
    assert cache.missing(["a", "b", "c", "a", "d", "b", "e"]) == ["a", "c", "e"]
    with pytest.raises(KeyError):
        list(cache.blocks(["b", "a"]))


@pytest.mark.parametrize("damage", ["a flipped bit", "cut off", "longer", "empty"])
def test_a_damaged_segment_is_dropped(tmp_path: Path, damage: str) -> None:
    cache = VectorCache(tmp_path, 4)
    cache.add(["a"], grid(rows(1, seed=1)))
    (good,) = segments(tmp_path)
    cache.add(["b"], grid(rows(1, seed=2)))
    (bad,) = set(segments(tmp_path)) - {good}
    content = bad.read_bytes()
    changes = {
        "a flipped bit": content[:-1] + bytes([content[-1] ^ 1]),
        "cut off": content[:-1],
        "longer": content + b"x",
        "empty": b"",
    }
    bad.unlink()
    bad.write_bytes(changes[damage])
    found = VectorCache(tmp_path, 4)
    assert found.missing(["a", "b"]) == ["b"]
    assert segments(tmp_path) == [good]
    found.add(["b"], grid(rows(1, seed=2)))
    assert np.array_equal(read(VectorCache(tmp_path, 4), ["a", "b"]), np.concatenate([rows(1, seed=1), rows(1, seed=2)]))


def test_a_segment_of_another_dimension_is_ignored_and_kept(tmp_path: Path) -> None:
    VectorCache(tmp_path, 4).add(["a"], grid(rows(1)))
    found = VectorCache(tmp_path, 5)
    assert found.missing(["a"]) == ["a"]
    found.add(["a"], grid(rows(1, dimension=5)))
    assert read(VectorCache(tmp_path, 4), ["a"]).shape == (1, 4)
    assert read(VectorCache(tmp_path, 5), ["a"]).shape == (1, 5)


def named_by_its_bytes(folder: Path, content: bytes) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{hashlib.sha256(content).hexdigest()}.npy").write_bytes(content)


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(value), allow_pickle=True)
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.zeros(3))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"no array", saved(np.zeros((2, 4), np.int32)), saved(np.array([{"a": 1}], object)), saved(3), zipped()],
    ids=["empty", "text", "a plain matrix", "pickled objects", "one number", "an archive"],
)
def test_files_that_are_no_segment_are_ignored(tmp_path: Path, content: bytes) -> None:
    """Whole and rightly named, but not of this cache: nothing in them is run or used."""
    named_by_its_bytes(tmp_path, content)
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "note.txt").write_text("x")
    assert VectorCache(tmp_path, 4).missing(["a"]) == ["a"]


def test_the_half_of_a_killed_run_is_not_seen(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path, 4)
    cache.add(["a"], grid(rows(1)))
    (segment,) = segments(tmp_path)
    (tmp_path / f".{'0' * 64}.npy.1-abcd.part").write_bytes(segment.read_bytes()[:50])
    assert VectorCache(tmp_path, 4).missing(["a", "b"]) == ["b"]
