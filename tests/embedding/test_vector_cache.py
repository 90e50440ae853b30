"""The vector cache: what is put in comes out, and what is damaged is forgotten."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.base.findings import CannotCheck
from aqea_registry.embedding import vector_cache
from aqea_registry.embedding.vector_cache import MERGED, ROWS_A_BLOCK, Near, Segment, VectorCache, row, write_segment
from aqea_registry.vectors.margin import KNOWN
from aqea_registry.vectors.pair_set import MICRO, Malformed, Micro, OnGrid, to_grid
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
    return sorted(folder.glob("*.sqlite"))


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


@pytest.mark.parametrize("micro", [np.full((2, 4), 400_000), np.full((2, 5), 500_000), np.full((1, 4), 500_000)])
def test_what_are_not_canonical_vectors_is_refused(tmp_path: Path, micro: Micro) -> None:
    with pytest.raises(Malformed):
        VectorCache(tmp_path, 4).add(["a", "b"], grid(micro.astype(np.int32)))
    assert segments(tmp_path) == []


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


def test_texts_that_several_segments_have_become_one_row(tmp_path: Path) -> None:
    """Of sentences that other processes kept as well."""
    cache, texts, vectors = VectorCache(tmp_path, 4), sentences(5), rows(5)
    for mask in (31, *range(1, 31)):
        chosen = [at for at in range(5) if mask >> at & 1]
        cache.add([texts[at] for at in chosen], grid(vectors[chosen]))
    assert len(segments(tmp_path)) < MERGED
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


def marked(micro: Micro) -> OnGrid:
    """Rows that have a value near to a boundary each, no two as near."""
    distances = np.full(micro.shape, 0.5e-6)
    distances[:, 2] = micro[:, 2] * 1e-18
    return OnGrid(micro, distances)


def look_for(folder: Path, texts: list[str], micro: Micro) -> int:
    """How many of these texts are held. What is held is right, and what is damaged is refused once and then missing."""
    wanted = {(key_of(text).hex(), Near(2, number * 1e-18)) for text, number in zip(texts, micro[:, 2].tolist(), strict=True)}
    for _ in range(2):
        try:
            cache = VectorCache(folder, 4)
            missing = {*cache.missing(texts)}
            held = [at for at, text in enumerate(texts) if text not in missing]
            for keys, block in cache.rows(keys_of(texts[at] for at in held)):
                assert np.array_equal(block, micro[held]) and len(keys) == len(held)
            near = {*cache.near(keys_of(texts[at] for at in held))}
            assert near <= wanted and len(near) == len(held)
            return len(held)
        except CannotCheck as error:
            assert "damaged" in error.message
    raise AssertionError("it was damaged once")


@pytest.mark.parametrize("cut", [0, 1, 100, 4096, 9000])
def test_a_segment_that_is_cut_off_is_computed_again(tmp_path: Path, cut: int) -> None:
    cache, texts, on_grid = VectorCache(tmp_path, 4), sentences(100), marked(rows(100))
    cache.add(texts[:1], marked(rows(100)[:1]))
    (good,) = segments(tmp_path)
    cache.add(texts[1:], OnGrid(on_grid.micro[1:], on_grid.distances[1:]))
    (bad,) = set(segments(tmp_path)) - {good}
    os.truncate(bad, cut)
    assert look_for(tmp_path, texts, on_grid.micro) == 1
    VectorCache(tmp_path, 4).add(texts[1:], OnGrid(on_grid.micro[1:], on_grid.distances[1:]))
    assert look_for(tmp_path, texts, on_grid.micro) == 100


def test_damaged_bytes_are_never_used(tmp_path: Path) -> None:
    """Some bits of a segment are others, anywhere: what is not right is dropped, and all else stays."""
    texts, random, lost = sentences(60), np.random.default_rng(2), 0
    VectorCache(tmp_path / "sound", 4).add(texts, marked(rows(60)))
    (sound,) = segments(tmp_path / "sound")
    for number in range(150):
        content = bytearray(sound.read_bytes())
        used = [at for at, byte in enumerate(content) if byte]
        for at in random.choice(used if number % 2 else len(content), 1 + number % 3):
            content[at] ^= 1 << int(random.integers(8))
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / sound.name).write_bytes(content)
        lost += 60 - look_for(folder, texts, rows(60))
    assert 100 < lost < 3000  # the header of a page takes the rows behind it along


def test_a_segment_of_another_dimension_is_ignored_and_kept(tmp_path: Path) -> None:
    VectorCache(tmp_path, 4).add(["a"], grid(rows(1)))
    found = VectorCache(tmp_path, 5)
    assert found.missing(["a"]) == ["a"]
    found.add(["a"], grid(rows(1, dimension=5)))
    assert read(VectorCache(tmp_path, 4), ["a"]).shape == (1, 4)
    assert read(VectorCache(tmp_path, 5), ["a"]).shape == (1, 5)


def foreign() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        yield from (b"", b"no SQLite")
        for name, statement in {
            "empty": "PRAGMA user_version = 1",
            "other": "CREATE TABLE segment (a, b); INSERT INTO segment VALUES (4, 1.0)",
            "texts": "CREATE TABLE segment (a, b); INSERT INTO segment VALUES ('4', '1.0')",
        }.items():
            with closing(sqlite3.connect(Path(folder, name))) as database:
                database.executescript(statement)
            yield Path(folder, name).read_bytes()
        write_segment(Path(folder, "wide"), 4, KNOWN, [row(KNOWN, key_of("a"), b"123" * 4, None)])
        yield Path(folder, "wide").read_bytes()
        buffer = io.BytesIO()
        write_vector_set(buffer, 4, [(keys_of(["a"]), rows(1))])
        yield buffer.getvalue()


@pytest.mark.parametrize("content", list(foreign()), ids=["empty", "text", "a database", "a", "b", "little known", "Parquet"])
def test_files_that_are_no_segment_are_ignored(tmp_path: Path, content: bytes) -> None:
    (tmp_path / f"{'1' * 64}.sqlite").write_bytes(content)
    (tmp_path / "folder.sqlite").mkdir()
    (tmp_path / "link.sqlite").symlink_to("nowhere")
    (tmp_path / "note.txt").write_text("x")
    (tmp_path / f"{hashlib.sha256(content).hexdigest()}.parquet").write_bytes(content)  # of earlier versions
    cache = VectorCache(tmp_path, 4, reach=2 * KNOWN)
    assert cache.missing(["a"]) == ["a"]
    cache.add(["a"], grid(rows(1)))
    assert np.array_equal(read(VectorCache(tmp_path, 4, reach=2 * KNOWN), ["a"]), rows(1))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    VectorCache(tmp_path, 4).add(sentences(2), grid(rows(2)))
    os.mkfifo(tmp_path / "pipe.sqlite")
    (tmp_path / "folder.sqlite").mkdir()
    assert VectorCache(tmp_path, 4).missing(sentences(3)) == sentences(3)[2:]


def test_the_half_of_a_killed_run_is_not_seen(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path, 4)
    cache.add(["a"], grid(rows(1)))
    (segment,) = segments(tmp_path)
    for name in (".new.1-abcd.part", "new"):
        shutil.copy(segment, tmp_path / name)
    assert VectorCache(tmp_path, 4).missing(["a", "b"]) == ["b"]
    for number in range(MERGED):
        cache.add([f"b{number}"], grid(rows(1)))
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ["", ".sqlite", ".sqlite"]


def numbered(first: int, count: int) -> tuple[list[str], OnGrid]:
    """Texts, and vectors that follow from their numbers."""
    numbers = range(first, first + count)
    return sentences(count, first), marked(np.concatenate([rows(1, seed=number) for number in numbers]))


def test_a_merge_that_was_killed_before_it_removed_anything(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "cache", 4)
    for number in range(MERGED):
        if number == MERGED - 1:
            shutil.copytree(tmp_path / "cache", tmp_path / "before")
        cache.add(*numbered(3 * number, 3))
    assert len(segments(tmp_path / "cache")) == 1
    shutil.copytree(tmp_path / "before", tmp_path / "cache", dirs_exist_ok=True)
    texts, on_grid = numbered(0, 3 * MERGED)
    assert look_for(tmp_path / "cache", texts, on_grid.micro) == 3 * MERGED
    assert len([*VectorCache(tmp_path / "cache", 4).near(keys_of(texts))]) == 3 * MERGED
    VectorCache(tmp_path / "cache", 4).add(*numbered(3 * MERGED, 3))
    assert len(segments(tmp_path / "cache")) == 2
    assert look_for(tmp_path / "cache", texts, on_grid.micro) == 3 * MERGED


def test_who_reads_goes_on_while_segments_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, on_grid = VectorCache(tmp_path, 4), marked(rows(2 * ROWS_A_BLOCK))
    texts = sentences(len(on_grid.micro))
    for some in np.array_split(np.arange(len(texts)), MERGED - 1):
        writer.add([texts[at] for at in some], OnGrid(on_grid.micro[some], on_grid.distances[some]))
    reader = VectorCache(tmp_path, 4)
    reading = reader.rows(keys_of(texts))
    first = next(reading)[1]

    class OpenedLate(Segment):
        def __init__(self, path: Path) -> None:
            if len(segments(tmp_path)) == MERGED - 1:
                writer.add(["one more"], grid(rows(1)))
                writer._replace([*writer._segments.values()])
            super().__init__(path)

    monkeypatch.setattr(vector_cache, "Segment", OpenedLate)
    late = VectorCache(tmp_path, 4)
    assert len(segments(tmp_path)) == 1
    assert np.array_equal(np.concatenate([first, *(block for _, block in reading)]), on_grid.micro)
    assert late.missing(texts) == reader.missing(["one more"]) == []
    assert np.array_equal(read(late, texts), on_grid.micro)


def write_much(folder: Path, first: int, done: Any) -> None:
    cache = VectorCache(folder, 4)
    for number in range(first, 1 << 20, 5):
        cache.add(*numbered(number, 10))  # every text twice
        done.value = number + 10


def test_processes_add_merge_and_are_killed_while_others_read(tmp_path: Path) -> None:
    """What `add` returned from is there for all, at every moment; what a killed process leaves is removed."""
    processes, random, starts = get_context("spawn"), np.random.default_rng(3), (0, 0, 1000)
    done = [processes.Value("q", start) for start in starts]
    places = [*zip(starts, done, strict=True)]
    writers = [processes.Process(target=write_much, args=(tmp_path, *place)) for place in places]
    for writer in writers:
        writer.start()
    try:
        for writer, (start, end) in zip(writers, places, strict=True):
            while end.value < start + 60 and writer.is_alive():
                time.sleep(float(random.uniform(0.05, 0.2)))
                written, cache = [(start, end.value) for start, end in places], VectorCache(tmp_path, 4)
                for texts, on_grid in (numbered(start, end - start) for start, end in written if end > start):
                    assert cache.missing(texts) == []
                    assert np.array_equal(read(cache, texts), on_grid.micro)
            writer.kill()
    finally:
        for writer in writers:
            writer.kill()
            writer.join()
    (tmp_path / ".x.sqlite.1-abcd.part").write_bytes(b"x")
    cache = VectorCache(tmp_path, 4)
    for number in range(MERGED):
        cache.add(*numbered(5000 + 10 * number, 10))
    assert {path.suffix for path in tmp_path.iterdir()} == {".sqlite"}
    for start, end in places:
        assert end.value >= start + 60, "it ended by itself"
        texts, on_grid = numbered(start, end.value - start)
        assert look_for(tmp_path, texts, on_grid.micro) == len(texts)
