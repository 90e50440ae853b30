"""The vector cache: what is put in comes out, and what is damaged is forgotten."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.embedding.vector_cache import MERGED, ROWS_A_BLOCK, Near, VectorCache
from aqea_registry.vectors.margin import KNOWN
from aqea_registry.vectors.pair_set import MICRO, Micro, OnGrid, to_grid
from aqea_registry.vectors.vector_set import key_of, keys_of, write_vector_set
from tests.factories import unit_rows


def sentences(count: int, start: int = 0) -> list[str]:
    return [f"sentence {number} ü" for number in range(start, start + count)]


def rows(count: int, dimension: int = 4, seed: int = 0) -> Micro:
    return unit_rows(np.random.default_rng(seed), count, dimension)


def grid(micro: Micro) -> OnGrid:
    """Rows far from every boundary."""
    return OnGrid(micro, np.full(micro.shape, 0.5e-6))


def read(cache: VectorCache, texts: list[str]) -> Micro:
    return np.concatenate([block for _, block in cache.rows(keys_of(texts))])


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def test_vectors_come_back_in_the_order_they_are_asked_for(tmp_path: Path) -> None:
    """A thousand keys: some end in a zero byte, which a fixed-width string would lose."""
    texts, vectors = sentences(1000), rows(1000)
    assert any(key_of(text).endswith(b"\0") for text in texts)
    VectorCache(tmp_path, 4).add(texts, grid(vectors))
    order = np.random.default_rng(1).integers(0, 1000, 3000)
    found = read(VectorCache(tmp_path, 4), [texts[position] for position in order])
    assert found.dtype == np.int32
    assert np.array_equal(found, vectors[order])


def test_values_near_a_boundary_come_back_with_their_sentences(tmp_path: Path) -> None:
    micro, distances = rows(10), np.full((10, 4), 1e-8)
    distances[5] = [1e-12, 1e-8, -2e-12, 1e-10]
    distances[7] = [1e-8, KNOWN, 1e-8, -KNOWN / 2]
    VectorCache(tmp_path, 4).add(sentences(10), OnGrid(micro, distances))
    near = list(VectorCache(tmp_path, 4).near(keys_of(["another", *sentences(3, 6), *sentences(6)])))
    key, other = (key_of(sentences(10)[row]).hex() for row in (5, 7))
    assert near == [(other, Near(3, -KNOWN / 2)), (key, Near(0, 1e-12)), (key, Near(2, -2e-12))]


def test_rows_are_added_by_key(tmp_path: Path) -> None:
    """As another process sends them: in any order, without their texts."""
    on_grid, cache = OnGrid(rows(10), np.full((10, 4), 1e-8)), VectorCache(tmp_path, 4)
    on_grid.distances[5] = [1e-12, 1e-8, -2e-12, 1e-10]
    turned = OnGrid(on_grid.micro[::-1], on_grid.distances[::-1])
    cache.add_rows(keys_of(sentences(10))[::-1], turned.micro, turned.near(KNOWN), KNOWN)
    for found in (cache, VectorCache(tmp_path, 4, reach=KNOWN)):
        assert np.array_equal(read(found, sentences(10)), on_grid.micro)
        key = key_of(sentences(10)[5]).hex()
        assert list(found.near(keys_of(sentences(10)))) == [(key, Near(0, 1e-12)), (key, Near(2, -2e-12))]
    assert VectorCache(tmp_path, 4, reach=2 * KNOWN).missing(["sentence 0 ü"]) == ["sentence 0 ü"]


def test_where_more_must_be_known_vectors_are_missing(tmp_path: Path) -> None:
    """A larger spread than before: which values are near to a boundary was not kept so far."""
    cache = VectorCache(tmp_path, 4, reach=3e-9)
    cache.add(["a"], OnGrid(rows(1), np.full((1, 4), 4e-9)))
    assert len(list(cache.near(keys_of(["a"])))) == 4  # of twice the reach: a little more may be asked for
    assert VectorCache(tmp_path, 4, reach=6e-9).missing(["a"]) == []
    wider = VectorCache(tmp_path, 4, reach=7e-9)
    assert wider.missing(["a"]) == ["a"]
    wider.add(["a"], OnGrid(rows(1), np.full((1, 4), 4e-9)))
    assert VectorCache(tmp_path, 4, reach=7e-9).missing(["a"]) == []


def test_what_was_added_is_there_at_once_and_later(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "new" / "folder", 4)
    for start in (0, 10, 20):
        cache.add(sentences(10, start), grid(rows(10, seed=start)))
    wanted = np.concatenate([rows(10, seed=start) for start in (0, 10, 20)])
    for found in (cache, VectorCache(tmp_path / "new" / "folder", 4)):
        assert np.array_equal(read(found, sentences(30)), wanted)
        assert found.missing(sentences(30)) == []
    assert len(segments(tmp_path / "new" / "folder")) == 3


def test_many_segments_become_few_and_lose_nothing(tmp_path: Path) -> None:
    """A run that keeps what it has each half minute, while another one has the segments open and adds to them."""
    cache, other, wanted = VectorCache(tmp_path, 4), VectorCache(tmp_path, 4), list[OnGrid]()
    for number in range(MERGED * 4 + 3):
        vectors = np.random.default_rng(number).standard_normal((3, 4))
        wanted.append(to_grid(vectors))
        wanted[-1].distances[1, 2] = 1e-13 * number
        cache.add(sentences(3, 3 * number), wanted[-1])
        if number == 5:
            other = VectorCache(tmp_path, 4)
        if number in (7, MERGED + 1):
            other.add(sentences(3, 3 * number), wanted[-1])
    assert len(segments(tmp_path)) < 12
    texts = sentences(3 * len(wanted))
    for found in (cache, VectorCache(tmp_path, 4)):
        assert np.array_equal(read(found, texts), np.concatenate([rows.micro for rows in wanted]))
        near = [(key_of(texts[3 * number + 1]).hex(), Near(2, 1e-13 * number)) for number in range(len(wanted))]
        assert sorted(found.near(keys_of(texts))) == sorted(near)
    assert np.array_equal(read(other, sentences(18)), np.concatenate([rows.micro for rows in wanted[:6]]))


def test_a_segment_that_has_all_that_others_have_stays(tmp_path: Path) -> None:
    """What sixteen become is one of them: of sentences that other processes kept as well."""
    cache, texts, vectors = VectorCache(tmp_path, 4), sentences(5), rows(5)
    for mask in (31, *range(1, MERGED)):
        chosen = [at for at in range(5) if mask >> at & 1]
        cache.add([texts[at] for at in chosen], grid(vectors[chosen]))
    assert len(segments(tmp_path)) == 1
    for found in (cache, VectorCache(tmp_path, 4)):
        assert np.array_equal(read(found, texts), vectors)


def test_blocks_are_of_bounded_size(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path, 1)
    cache.add(["x"], grid(np.array([[MICRO]], np.int32)))
    lengths = [len(block) for _, block in cache.rows(keys_of(["x"] * (2 * ROWS_A_BLOCK + 5)))]
    assert lengths == [ROWS_A_BLOCK, ROWS_A_BLOCK, 5]
    assert list(cache.rows(keys_of([]))) == []


@given(st.lists(st.sampled_from("abcdef")))
def test_missing_sentences_are_distinct_and_in_order(asked: list[str]) -> None:
    assert VectorCache(Path("/nowhere"), 1).missing(iter(asked)) == list(dict.fromkeys(asked))


def test_only_what_is_not_held_is_missing(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path, 4)
    cache.add(["b", "d"], grid(rows(2)))
    assert cache.missing(["a", "b", "c", "a", "d", "b", "e"]) == ["a", "c", "e"]
    with pytest.raises(KeyError):
        list(cache.rows(keys_of(["b", "a"])))


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


def foreign() -> Iterator[bytes]:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 4), np.int32))
    yield from (b"", b"no Parquet", buffer.getvalue())
    key: npt.NDArray[np.bytes_] = keys_of(["a"])
    for notes in ({}, {b"near": b"{"}, {b"near": b'{"reach": 0.0, "values": {}}'}):
        buffer = io.BytesIO()
        write_vector_set(buffer, 4, [(key, rows(1))], notes)
        yield buffer.getvalue()


@pytest.mark.parametrize(
    "content", list(foreign()), ids=["empty", "text", "an array", "no note", "a broken note", "little known"]
)
def test_files_that_are_no_segment_are_ignored(tmp_path: Path, content: bytes) -> None:
    """Whole and rightly named, but not of this cache: nothing in them is run or used."""
    (tmp_path / f"{hashlib.sha256(content).hexdigest()}.parquet").write_bytes(content)
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "link.parquet").symlink_to("nowhere")
    (tmp_path / "note.txt").write_text("x")
    (tmp_path / f"{'0' * 64}.npy").write_bytes(content)  # of earlier versions
    assert VectorCache(tmp_path, 4, reach=1e-12).missing(["a"]) == ["a"]


def test_the_half_of_a_killed_run_is_not_seen(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path, 4)
    cache.add(["a"], grid(rows(1)))
    (segment,) = segments(tmp_path)
    for name in (".new.1-abcd.part", "new"):
        shutil.copy(segment, tmp_path / name)
    assert VectorCache(tmp_path, 4).missing(["a", "b"]) == ["b"]
    cache.add(["b"], grid(rows(1)))
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".parquet", ".parquet"]
