"""Releases: one digest for the same files, and nothing restored that could do harm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.stores.port import tag_conflict
from aqea_registry.stores.release import (
    ARTIFACT_TYPE,
    EMPTY_CONFIG,
    LARGEST_MANIFEST,
    TITLE,
    NotARelease,
    Release,
    StoredFile,
    build,
    compare_with_store,
    digest_of,
    how_checked,
    parse,
)
from tests.base.test_sha256_list import digests, is_safe
from tests.growth import assert_linear

FILES = [
    ("README.md", "a" * 64, 1),
    ("manifests/pins.json", "b" * 64, 2),
    ("plots/x.svg", "c" * 64, 3),
    ("metrics/x", "d" * 64, 0),
]
DIGEST = "sha256:154d7ecd07c3aec2305a3064d94821a1ae254050d17863c0262b70aa9bb97e5c"


def parts(path: str) -> set[str]:
    """A path and the folders above it, as a file system that knows no case sees them."""
    names = path.casefold().split("/")
    return {"/".join(names[:count]) for count in range(1, len(names) + 1)}


@st.composite
def file_lists(draw: st.DrawFn) -> list[tuple[str, str, int]]:
    """Files that could lie beside each other anywhere."""
    seen: set[str] = set()
    files = []
    part = st.text("aB1 -_.é", min_size=1, max_size=5)
    paths = st.lists(part, min_size=1, max_size=3).map("/".join).filter(is_safe)
    for path in draw(st.lists(paths, min_size=1, max_size=6)):
        if not parts(path) & seen:
            seen |= parts(path)
            digest = draw(digests)
            files.append((path, digest, int(digest[:10], 16)))  # one size for one content
    return files


@given(file_lists())
def test_what_is_rendered_is_parsed(files: list[tuple[str, str, int]]) -> None:
    release = build(files)
    assert parse(release.render()) == release
    assert parse(release.render()).render() == release.render()
    assert {path: (layer.digest, layer.size) for path, layer in release.files().items()} == {
        path: (f"sha256:{digest}", size) for path, digest, size in files
    }


@given(file_lists(), st.randoms(use_true_random=False))
def test_the_order_of_files_does_not_matter(files: list[tuple[str, str, int]], random: Random) -> None:
    wanted = build(files).digest()
    random.shuffle(files)
    assert build(iter(files)).digest() == wanted


def test_what_is_left_out_is_named_at_its_result_and_lies_nowhere_else() -> None:
    note = {"metrics/x": f"{'e' * 64} 7 data/x y.parquet"}
    release = parse(build(FILES, note).render())
    [(path, layer)] = release.left_out().items()
    assert (path, layer.digest, layer.size) == ("data/x y.parquet", f"sha256:{'e' * 64}", 7)
    assert path not in release.files() and release.digest() != build(FILES).digest() and not build(FILES).left_out()
    for wrong in ("../x", "README.md"):
        with pytest.raises(NotARelease):
            parse(build(FILES, {"metrics/x": f"{'e' * 64} 7 {wrong}"}).render())


def test_the_digest_is_that_of_the_bytes_and_stays() -> None:
    release = build(FILES)
    assert release.digest() == f"sha256:{hashlib.sha256(release.render()).hexdigest()}" == digest_of(release.render())
    assert build(FILES).digest() == release.digest()
    assert release.digest() == DIGEST  # a change here is another format: every published digest would be another one


@pytest.mark.parametrize("other", [("README.md", "e" * 64, 1), ("README.md", "a" * 64, 2), ("readme", "a" * 64, 1)])
def test_path_bytes_and_size_are_part_of_the_digest(other: tuple[str, str, int]) -> None:
    assert build([other, *FILES[1:]]).digest() != build(FILES).digest()


def test_a_manifest_says_what_it_is_and_no_time() -> None:
    content = build(FILES).render()
    manifest = json.loads(content)
    assert sorted(manifest) == ["artifactType", "config", "layers", "mediaType", "schemaVersion"]
    assert manifest["artifactType"] == ARTIFACT_TYPE
    assert manifest["config"]["digest"] == digest_of(EMPTY_CONFIG) and manifest["config"]["size"] == 2
    assert [layer["mediaType"] for layer in manifest["layers"]] == [
        "text/markdown",
        "application/json",
        "text/plain",
        "image/svg+xml",
    ]
    assert [layer["annotations"] for layer in manifest["layers"]] == [{TITLE: path} for path, _, _ in sorted(FILES)]
    assert content == json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()


def test_each_kind_of_file_has_its_media_type() -> None:
    layers = build([(path, "a" * 64, 1) for path in ("report.html", "a.json", "MANIFEST.sha256", "x")]).files()
    types = {path: layer.media_type for path, layer in layers.items()}
    assert types == {
        "report.html": "text/html",
        "a.json": "application/json",
        "MANIFEST.sha256": "text/plain",
        "x": "text/plain",
    }


def manifest(*paths: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(build([(path, "a" * 64, 1) for path in paths or ("x", "y")]).render())
    return value


Change = Callable[[dict[str, Any]], Any]


def layer(**values: Any) -> Change:
    return lambda v: v["layers"][0].update(values)


BAD: dict[str, tuple[Change, str]] = {
    "another artifact": (lambda v: v.update(artifactType="application/vnd.oci.empty.v1+json"), "the artifact is"),
    "no artifact type": (lambda v: v.update(artifactType=""), "of no type"),
    "an index": (lambda v: v.update(mediaType="application/vnd.oci.image.index.v1+json"), "mediaType|media type"),
    "another schema": (lambda v: v.update(schemaVersion=1), "schemaVersion|schema"),
    "a word as the schema": (lambda v: v.update(schemaVersion="2"), "schemaVersion"),
    "no layers": (lambda v: v.update(layers=[]), "no files"),
    "layers missing": (lambda v: v.pop("layers"), "layers"),
    "layers null": (lambda v: v.update(layers=None), "layers"),
    "config missing": (lambda v: v.pop("config"), "config"),
    "a number as a layer": (lambda v: v.update(layers=[1]), r"layers"),
    "no title": (layer(annotations={}), "empty"),
    "no annotations": (lambda v: v["layers"][0].pop("annotations"), "empty"),
    "a list of annotations": (layer(annotations=[]), "annotations"),
    "a number as a title": (layer(annotations={TITLE: 1}), "annotations"),
    "no media type": (lambda v: v["layers"][0].pop("mediaType"), "mediaType"),
    "no digest": (lambda v: v["layers"][0].pop("digest"), "digest"),
    "sha512": (layer(digest="sha512:" + "a" * 128), "digest"),
    "a short digest": (layer(digest="sha256:" + "a" * 63), "digest"),
    "an upper-case digest": (layer(digest="sha256:" + "A" * 64), "digest"),
    "a digest that climbs": (layer(digest="sha256:../../../../etc/passwd"), "digest"),
    "a digest that ends a line": (layer(digest="sha256:" + "a" * 64 + "\n"), "digest"),
    "a digest of the config that climbs": (lambda v: v["config"].update(digest="sha256:../x"), "digest"),
    "a negative size": (layer(size=-1), "size"),
    "a fraction of a byte": (layer(size=1.5), "size"),
    "text for a size": (layer(size="1"), "size"),
    "one digest with two sizes": (layer(size=2), "size"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_a_manifest_of_something_else_is_refused(change: Change, message: str) -> None:
    value = manifest()
    change(value)
    with pytest.raises(NotARelease, match=message):
        parse(json.dumps(value).encode())


UNSAFE = {
    "/etc/passwd": "absolute",
    "../x": "'..'",
    "a/../../x": "'..'",
    ".": "components",
    "./x": "components",
    "a//x": "components",
    "": "empty",
    "a\0b": "NUL",
    "a\\b": "backslash",
    "..\\x": "backslash",
    "C:/x": "drive",
    "a\nb": "control",
}


@pytest.mark.parametrize(("path", "reason"), UNSAFE.items())
def test_an_unsafe_path_is_refused(path: str, reason: str) -> None:
    value = manifest()
    value["layers"][1]["annotations"][TITLE] = path
    with pytest.raises(NotARelease, match=reason):
        parse(json.dumps(value).encode())


def test_half_a_surrogate_pair_is_refused() -> None:
    value = manifest()
    value["layers"][0]["annotations"][TITLE] = "\ud800"
    with pytest.raises(NotARelease):
        parse(json.dumps(value).encode())


@pytest.mark.parametrize(
    "pair",
    [
        ("a", "a"),
        ("a", "A"),
        ("folder/x", "Folder/x"),
        ("stra\u00dfe", "STRASSE"),
        ("caf\u00e9", "cafe\u0301"),  # composed and decomposed
        ("CAF\u00c9", "cafe\u0301"),
        ("\u212b", "\u00e5"),  # the sign of the unit and the letter
        ("\u1e69", "S\u0307\u0323"),  # marks in another order
    ],
)
def test_paths_that_some_file_system_takes_for_one_are_refused(pair: tuple[str, str]) -> None:
    for order in (pair, pair[::-1]):
        with pytest.raises(NotARelease, match="one file on some file systems"):
            parse(json.dumps(manifest(*order)).encode())


@pytest.mark.parametrize("pair", [("a", "a/b"), ("a/b", "a/b/c/d"), ("A", "a/b"), ("a-", "a-/b")])
def test_a_file_that_is_also_a_folder_is_refused(pair: tuple[str, str]) -> None:
    for order in (pair, pair[::-1]):
        with pytest.raises(NotARelease):
            parse(json.dumps(manifest(*order)).encode())


NO_MANIFEST = {
    "empty": b"",
    "text": b"release",
    "a list": b"[]",
    "a number": b"1",
    "not UTF-8": b'{"layers": "\xff"}',
    "cut off": build(FILES).render()[:-1],
    "more after the end": build(FILES).render() + b"{}",
    "deep": b"[" * 1_000_000,
    "deep inside": build(FILES).render()[:-1] + b',"x":' + b"[" * 1_000_000,
    "deep and closed": build(FILES).render()[:-1] + b',"x":' + b'{"a":' * 200_000 + b"1" + b"}" * 200_001,
    "too large": build(FILES).render() + b" " * LARGEST_MANIFEST,
}


@pytest.mark.parametrize("content", NO_MANIFEST.values(), ids=NO_MANIFEST)
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(NotARelease):
        parse(content)


@given(st.binary(max_size=100))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    with pytest.raises(NotARelease):
        parse(content)


def test_reading_takes_time_that_grows_with_the_files() -> None:
    def work(files: int) -> Callable[[], object]:
        content = build((f"folder/{number:05}.json", f"{number:064x}", number) for number in range(files)).render()
        assert len(parse(content).layers) == files
        return lambda: parse(content)

    assert_linear(work, 5_000)


def test_a_release_has_one_spelling() -> None:
    """What is parsed has the digest of its bytes; so nothing hides in a manifest, and nothing is left out of it."""
    content = build(FILES).render()
    assert parse(content).digest() == digest_of(content)
    value = json.loads(content)
    for other in (
        json.dumps(value).encode(),
        content.replace(b'"artifactType":"application/vnd.aqea-registry.release.v1",', b""),
        content.replace(b'{"annotations"', b'{"annotations":{},"annotations"', 1),
        json.dumps(value | {"created": "now"}, sort_keys=True, separators=(",", ":")).encode(),
    ):
        assert other != content
        with pytest.raises(NotARelease, match="another spelling"):
            parse(other)


def test_what_a_store_holds_is_compared_with_what_the_release_names() -> None:
    release = build(FILES)
    held = [
        StoredFile(path=path, how="descriptor", digest=layer.digest, size=layer.size) for path, layer in release.files().items()
    ]
    assert compare_with_store("x@v1", release, held) == []
    assert how_checked(held) == "4 by descriptor"
    unsized = [StoredFile(path=file.path, how="descriptor", digest=file.digest) for file in held]
    assert compare_with_store("x@v1", release, unsized) == []  # a registry that answers without a Content-Length
    wrong = [
        StoredFile(path="README.md", how="not there"),
        StoredFile(path="metrics/x", how="fetched", digest="sha256:" + "e" * 64, size=0),
        StoredFile(path="plots/x.svg", how="hashed", digest=release.files()["plots/x.svg"].digest, size=4),
    ]
    assert [(one.code, one.subject) for one in compare_with_store("x@v1", release, wrong)] == [
        ("missing", "x@v1: README.md"),
        ("mismatch", "x@v1: metrics/x"),
        ("mismatch", "x@v1: plots/x.svg"),
    ]
    assert how_checked(wrong) == "1 not there, 1 fetched and hashed, 1 hashed"


def test_a_tag_that_holds_another_release_is_a_finding() -> None:
    release = build(FILES)
    (finding,) = tag_conflict("oci:releases", "v1", "sha256:old", release).findings
    assert (finding.code, finding.subject) == ("tag-moved", "oci:releases:v1")
    assert (finding.expected, finding.actual) == (release.digest(), "sha256:old")


def test_a_release_is_frozen() -> None:
    release = build(FILES)
    with pytest.raises(AttributeError):
        release.layers = ()  # type: ignore[misc]
    assert isinstance(release, Release)
