"""What the files of a release print about what it holds, and what its bytes give for the same. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import PurePath

import msgspec

from aqea_registry.base.findings import Refused
from aqea_registry.base.sha256_list import Parsed, parse_list
from aqea_registry.base.strict import load_json
from aqea_registry.documents.markup_tables import html_tables, markdown_tables
from aqea_registry.documents.tables import Table
from aqea_registry.project.lock import Lock
from aqea_registry.releases.package import CARD, CROISSANT, REPORT
from aqea_registry.stores.release import LIST, Release
from aqea_registry.vectors.examine import Examined
from aqea_registry.verification.verify_results import CheckedVectors

ROWS = frozenset({"artefact", "pair set", "file", "name"})  # what rows of the tables are about that card and page print
Print = tuple[str, str, str]  # what something is about, what of it, and the text


def facts_of(
    release: Release, lock: Lock, pair_sets: Mapping[str, Examined], vector_sets: Mapping[str, CheckedVectors]
) -> Mapping[str, Mapping[str, str]]:
    """By the name of what is printed about, and the column: what the bytes give."""
    facts = defaultdict[str, dict[str, str]](dict)
    for key, found in pair_sets.items():
        header, scores = found.header, msgspec.structs.asdict(found.metrics)
        facts[key] |= {"dataset": header.dataset, "model": header.model, "content digest": found.content}
        facts[key] |= {"pairs": str(header.n_pairs), "dimension": str(header.dimension)}
        facts[key] |= {name: repr(score) for name, score in scores.items()}
        facts[key] |= {name: f"{scores[f'cos_sim_{name}']:.4f}" for name in ("spearman", "pearson")}
    for key, checked in vector_sets.items():
        facts[key] |= {"task": checked.task, "texts": str(checked.texts), "dimension": str(checked.dimension)}
        facts[key] |= {"main score": checked.main_score, "score": checked.text(), "content digest": checked.content}
    for path, layer in release.files().items():
        facts[path] |= {"bytes": str(layer.size), "sha256": layer.digest.removeprefix("sha256:")}
    for name, pin in {**lock.datasets, **lock.models}.items():
        facts[name] |= {"commit": pin.commit} if pin.commit else {}
        facts[name] |= {"digest of the files": pin.digest()} if pin.files else {}
    return facts


def _in_tables(tables: Iterable[Table]) -> Iterator[Print]:
    for table in tables:
        columns = [label.lower() for label in table.columns]
        if columns[table.key] in ROWS:
            for row in table.rows:
                for label, cell in zip(columns, row.cells, strict=True):
                    yield row.cells[table.key].text, label, cell.text


def _scores_in(key: str, content: bytes) -> Iterable[Print]:
    value = load_json(content, key)
    return [(key, name, repr(score)) for name, score in value.get("metrics", value).items()]


def readers(pairs: Mapping[str, str]) -> dict[str, Callable[[bytes], Iterable[Print]]]:
    """How to read what each file of a release prints: its descriptions, and files of scores of pair sets (key to pair file)."""
    benchmarks = {key: PurePath(path).name.replace("_pairs.", "_benchmark.") for key, path in pairs.items()}
    paths = {f"metrics/{key}.json": key for key in benchmarks} | {f"data/{name}": key for key, name in benchmarks.items()}
    return {**_READERS, **{path: partial(_scores_in, key) for path, key in paths.items()}}


def _listed(parsed: Parsed) -> Iterable[Print]:
    if parsed.findings:
        raise Refused(f"{LIST} is damaged", parsed.findings)
    return [(path, "sha256", sha256) for path, sha256 in parsed.entries.items()]


_READERS: dict[str, Callable[[bytes], Iterable[Print]]] = {
    CARD: lambda content: _in_tables(markdown_tables(content.decode(), CARD)),
    REPORT: lambda content: _in_tables(html_tables(content.decode(), REPORT)),
    CROISSANT: lambda content: [
        (str(file["contentUrl"]), "sha256", str(file["sha256"])) for file in load_json(content, CROISSANT)["distribution"]
    ],
    LIST: lambda content: _listed(parse_list(content, LIST)),
}
