"""The verb verify with --full: all that can be checked about a release by somebody who has nothing else.

Every byte by its digest; every score recomputed from the pair files, and what repeats or prints it; claims; rows made again.
Meanwhile the files lie in a temporary folder, laid out as in a project. Has effects there alone.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

import msgspec

from aqea_registry.attestations.made import Beside, list_statements, pinned
from aqea_registry.attestations.statement import beside, dependency_findings, inputs, read_statements
from aqea_registry.base.files import Limit, hash_file, holds, read_small
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, Refused, RegistryError, most_severe
from aqea_registry.base.progress import Reporter, plural
from aqea_registry.claims.check_claims import CheckedClaims, check_claims
from aqea_registry.claims.judging import counts, reasons
from aqea_registry.comparison.pair_files import NamedFile, compare_files
from aqea_registry.comparison.trees import PINS, summary, tree_in_store
from aqea_registry.documents.metrics import RANKED
from aqea_registry.generation.vector_sets import result_of, result_of_lists
from aqea_registry.project.artefact import CLAIMS, PROJECT, VIEWS, AnyArtefact, OfVectors, VectorSetArtefact, published_path
from aqea_registry.project.params import Params
from aqea_registry.project.project import PARAMS, STAGES, Scope
from aqea_registry.releases.card import CARD, REPORT, lists_path
from aqea_registry.releases.layout import CheckNote, NotChecked, Opened, facts_of, of_release, open_release, place, readers
from aqea_registry.releases.pull import bring_files, check_room, refuse_unknown
from aqea_registry.releases.row_sample import ELSEWHERE, RowSample, draw, make_again, sampled, why_not
from aqea_registry.stores.port import Store, Tagged
from aqea_registry.stores.release import LIST, Release
from aqea_registry.vectors.containers.pair_json import Examined, examine
from aqea_registry.verification.verify_project import CheckedProject, check_pair_sets, decided_findings
from aqea_registry.verification.verify_release import CheckedRelease, verify_tagged
from aqea_registry.verification.verify_results import TRAINED_GAP, CheckedVectors, check_vector_sets, score_gap

FOLDER = " (put the files into"  # what a hint says of a folder, which here is a temporary one


class FullCheck(CheckedRelease, frozen=True, kw_only=True):
    """All that was checked: pair sets by name, verdicts on claims counted by ledger, statements, rows; and what was not."""

    pair_sets: dict[str, Examined]
    vector_sets: dict[str, CheckedVectors]
    claims: dict[str, dict[str, int]]
    statements: tuple[Beside, ...]
    rows: RowSample | None
    not_checked: tuple[NotChecked, ...]


def verify_fully(
    store: Store, tagged: Tagged, report: Reporter, *, rows: int | None = None, seed: str = "", sources: Mapping[str, Path] = {}
) -> tuple[FullCheck, RegistryError | None]:
    """Check a release in every way, and say what was not checked; make so many `rows` again.

    Pinned files come from where the catalogue says, or from folders in `sources`, by name. The error is that of rows that could
    not be made again, if any. Raises CannotCheck, for another file than was pinned in `sources`, too; Refused for what is not a
    release.
    """
    release, attachments = store.release(tagged), store.attachments(tagged)
    stored = verify_tagged(store, tagged, report, deep=False)
    notes: list[CheckNote] = [*stored.findings]
    with TemporaryDirectory(prefix="aqea-verify-") as scratch:
        check_room(Path(scratch), release.size(), ELSEWHERE)
        opened, project = open_release(tree_in_store(store, tagged, Path(scratch), report), Path(scratch), notes)
        _take(opened, project.params if project is not None else None, sources)
        pair_sets = _pair_sets(opened, report, notes)
        notes += decided_findings(opened.root, opened.made.values())
        vector_sets = _vector_sets(opened, report, notes)
        notes += _views(opened, report)
        verified = CheckedProject(target=stored.target, digests={}, pair_sets=pair_sets, vector_sets=vector_sets)
        notes += _prints(opened, release, verified)
        if project is not None:
            judged = check_claims(project, (), report, scope=Scope.RELEASE, verified=verified)
            notes += _judged(judged)
        sample, error = _rows(opened, _sizes(opened, verified), rows, f"{tagged.digest} {seed}", report, notes)
    notes += _other_inputs(attachments, opened)
    statements = tuple(list_statements(attachments))
    notes += _others(release, opened, statements)
    findings = tuple({(finding.code, finding.subject): finding for finding in notes if isinstance(finding, Finding)}.values())
    done = FullCheck(
        **msgspec.structs.asdict(stored) | {"findings": findings},
        pair_sets=pair_sets,
        vector_sets=vector_sets,
        claims={name: dict(count) for name, count in counts(judged.verdicts if project else ()).items() if name != "all"},
        statements=statements,
        rows=sample,
        not_checked=tuple(gap for gap in notes if isinstance(gap, NotChecked)),
    )
    return done, None if findings else error


def _take(opened: Opened, params: Params | None, sources: Mapping[str, Path]) -> None:
    """Put the files that are given where the catalogue has them. Raises CannotCheck if they are not the pinned ones."""
    if params is not None:
        refuse_unknown(sources, params)
    for name, path in sources.items() if opened.catalogue else ():
        try:
            bring_files(opened.catalogue[name], path)
        except Refused as error:
            raise CannotCheck(error.message, f"give the pinned file: --source {name}=PATH") from error


def _pair_sets(opened: Opened, report: Reporter, notes: list[CheckNote]) -> dict[str, Examined]:
    """The sound pair sets; what is wrong with others, with their pins, and with files of scores."""
    pair_sets = dict[str, Examined]()
    with report.task("recompute", len(opened.pairs), "pair sets") as advance:
        for key, path in opened.pairs.items():
            if (made := opened.artefacts.get(key)) is None:
                examined, wrong = examine(opened.root / path, path)
                readable = {key: examined} if examined else {}
            else:
                there = {name: hash_file(opened.root / name) for name in made.listed if name in opened.digests}
                readable, wrong = check_pair_sets(opened.root, [made], there)
                wrong += _pins_and_files(made, there)
            notes += [of_release(finding) for finding in wrong]
            if key in readable and not any(finding.subject.startswith(path) for finding in wrong):
                pair_sets |= readable
            else:
                notes.append(NotChecked(f"what rests on {key}", "its pair file is not sound"))
            advance(1)
    return pair_sets


def _vector_sets(opened: Opened, report: Reporter, notes: list[CheckNote]) -> dict[str, CheckedVectors]:
    """The sound vector sets whose results were made again from them and the pinned data; what is wrong with others."""
    sound = dict[str, CheckedVectors]()
    for key, made in opened.vector_sets.items():
        wrong = _pins_and_files(made, {*opened.digests, *opened.left_out})
        if made.file in opened.left_out:
            why = "they were left out of the release: that lists and scores are theirs confirm shows, by the content digest"
            notes.append(NotChecked(f"the vectors of {key}", why))
        try:
            checked, more = check_vector_sets(opened.root, [made], opened.digests, opened.left_out)
            wrong += more
            if not wrong:
                sound |= checked
                again = _result_again(opened, made, checked[key], report)
                if not holds(opened.root / made.metrics, again):
                    if (gap := score_gap(read_small(opened.root / made.metrics, Limit.DOCUMENT), again)) <= TRAINED_GAP:
                        reason = f"the task trains; with the libraries and the processor here they differ by up to {gap:.1e}"
                        notes.append(NotChecked(f"the last digits of the scores of {key}", reason))
                    else:
                        wrong.append(Finding("wrong-metric", made.metrics, "the task gives other scores over the vector set"))
        except CannotCheck as error:
            hint = f"give it: --source {made.dataset}=PATH" if made.dataset_entry.kind == "directory" else error.hint
            what = f"the scores of {key}" if key in sound else f"the vector set {key}"
            notes.append(NotChecked(what, f"{error.message.partition(FOLDER)[0]}; {hint}"))
        except (Refused, BadConfiguration) as error:
            wrong += error.findings or [Finding("malformed", made.metrics, error.message)]
        notes += [of_release(finding) for finding in wrong]
    return sound


def _pins_and_files(made: AnyArtefact, there: Collection[str]) -> list[Finding]:
    """What is wrong with the pins of something made, and which of its files the release neither has nor names."""
    gone = [path for path in made.listed if path not in there]
    return made.pin_findings() + [Finding("missing", path, f"the release has no such file of {made.key}") for path in gone]


def _result_again(opened: Opened, made: VectorSetArtefact, checked: CheckedVectors, report: Reporter) -> bytes:
    """The result of a sound vector set, made again; of one that was left out, from its lists. Raises RegistryError."""
    dataset, lists = opened.catalogue[made.dataset], lists_path(made.key)
    if made.file not in opened.left_out:
        return result_of(dataset, made, opened.root / made.file, report)
    if checked.type not in RANKED:
        message = f"its vector set is left out, and scores of {checked.type} need the vectors"
        raise CannotCheck(message, "confirm makes them again")
    if place(lists) not in opened.digests:
        raise Refused.of("missing", lists, f"the release has neither the vector set of {made.key} nor these")
    stated = OfVectors(texts=checked.texts, dimension=checked.dimension, content=f"sha256:{checked.content}")
    return result_of_lists(dataset, made, opened.root / place(lists), stated, report)


def _views(opened: Opened, report: Reporter) -> Iterator[CheckNote]:
    """Where other files of the same rows differ from the pair files."""
    for key, pairs in opened.pairs.items():
        for path in {f"{VIEWS}/{key}.parquet", pairs.replace("_pairs.json", "_embeddings.json")} & opened.digests.keys():
            if pairs not in opened.digests:
                continue
            both = NamedFile(opened.root / pairs, pairs), NamedFile(opened.root / path, path)
            try:
                comparison, _ = compare_files(*both, report)
                if comparison.verdict not in ("IDENTICAL", "SAME CONTENT"):
                    message = f"it has not the rows of {PurePath(pairs).name}: {summary(comparison)}"
                    yield of_release(Finding("mismatch", path, message))
            except (Refused, BadConfiguration) as error:
                yield from error.findings or [Finding("malformed", path, error.message)]
            except CannotCheck as error:
                yield NotChecked(f"the rows of {path}", f"{error.message}; {error.hint}")


def _prints(opened: Opened, release: Release, verified: CheckedProject) -> Iterator[CheckNote]:
    """Where card, page, croissant.json and the list of digests print something else than the files give."""
    facts = facts_of(release, opened.lock, verified)
    for file, read in readers(opened.pairs).items():
        if place(file) in opened.digests:
            try:
                prints = [*read(read_small(opened.root / place(file), Limit.DOCUMENT))]
            except Refused as error:
                yield from error.findings
                continue
            except (OSError, ValueError, LookupError, TypeError, AttributeError, BadConfiguration) as error:  # anybody's file
                yield NotChecked(f"what {file} prints", f"it cannot be read: {error}")
                continue
            if beyond := sorted({name for name, column, _ in prints if column.endswith("spearman") and name not in facts}):
                yield NotChecked(f"scores that {file} prints of {', '.join(beyond)}", "the release has no such sound pair set")
            if file == LIST:
                unlisted = sorted(release.files().keys() - {LIST, *(name for name, _, _ in prints)})
                yield from (Finding("unexpected", path, f"{LIST} does not list it") for path in unlisted)
            for name, column, text in prints:
                printed, wanted = text.partition(" ")[0].replace(",", ""), facts[name].get(column)
                printed = text if column == "score" else printed
                if printed != wanted and (wanted is not None or column == "sha256"):
                    code = "wrong-metric" if column.endswith(("spearman", "pearson")) else "mismatch"
                    message = "it prints something else than the release has"
                    yield Finding(code, f"{file}: {name}: {column}", message, wanted, text)


def _judged(judged: CheckedClaims) -> Iterator[CheckNote]:
    """What is wrong with claims by the recomputed scores, and which could not be judged: their documents are not here."""
    # What claims quote of the project, or of its whole catalogue, need not be in the release.
    quoting = {f"{verdict.ledger}: {verdict.claim.id}" for verdict in judged.verdicts if verdict.claim.quoted}
    for finding in judged.findings:
        absent = finding.code == "malformed" and finding.subject in quoting
        if not absent and finding.code not in ("claim-unbound", "unpinned"):
            yield finding
    if judged.ledgers:
        names = ", ".join(ledger.document.file for ledger in judged.ledgers.values())
        yield NotChecked(f"documents: {names}", "none is in a release: their numbers were judged as the ledgers have them")
    else:
        yield NotChecked("printed numbers", "the release has no ledgers")
    for _, count, first in reasons(judged.verdicts):
        yield NotChecked(plural(count, "claim"), f"first {first.partition('; run: ')[0]}")
    if unbound := sum(verdict.state == "unbound" for verdict in judged.verdicts):
        yield NotChecked(plural(unbound, "claim"), "the ledgers give no evidence for them")


def _sizes(opened: Opened, verified: CheckedProject) -> dict[str, int]:
    """The number of rows of each sound pair set and of each sound vector set that is in the release."""
    sizes = {key: checked.header.n_pairs for key, checked in verified.pair_sets.items()}
    there = {key: each for key, each in verified.vector_sets.items() if opened.vector_sets[key].file in opened.digests}
    return sizes | {key: each.texts for key, each in there.items()}


def _rows(
    opened: Opened, sizes: dict[str, int], rows: int | None, salt: str, report: Reporter, notes: list[CheckNote]
) -> tuple[RowSample | None, RegistryError | None]:
    """Draw rows of all pair sets and vector sets, make them again, and say what that shows; the error of those not made."""
    made = opened.made
    again = "its vectors were not computed again by the model: --rows N or confirm does that"
    not_made = {key: each.remark or again for key, each in made.items() if each.remark or key in opened.vector_sets}
    notes += [NotChecked(f"the making of {key}", why) for key, why in not_made.items() if rows is None or key not in sizes]
    if rows is None or not made:
        lacking = "it has no pair sets" if opened.catalogue else "the release has no catalogue to make them from"
        why = "none was asked for: --rows N" if made else lacking
        notes.append(NotChecked(f"{plural(sum(sizes.values()), 'row')}, and the models and data that they are made from", why))
        return None, CannotCheck(f"no row can be made again: {why}", "confirm it, in its project") if rows else None
    for key in [*sizes]:
        if unable := why_not(made[key], opened.versions):
            notes.append(NotChecked(f"{sizes.pop(key)} rows of {key}", unable))
    drawn = draw(salt, rows, sizes)
    differences, errors = make_again(opened, drawn, sizes, report)
    differing = [of_release(finding) for findings in differences.values() for finding in findings]
    notes += [*differing, *(of_release(finding) for error in errors.values() for finding in error.findings)]
    for key, failed in errors.items():
        failed.message = failed.message.partition(FOLDER)[0]  # the folder is a temporary one
        failed.hint = "give what nobody publishes: --source NAME=PATH"
        notes.append(NotChecked(f"{plural(len(drawn[key]), 'drawn row')} of {key}", failed.message))
    population = sum(size for key, size in sizes.items() if key not in errors)
    encoded = sum(len(drawn[key]) for key in differences)
    if population > encoded:
        notes.append(NotChecked(f"{population - encoded} of {population} rows", "they were not drawn"))
    return sampled(population, encoded, encoded - len(differing)), most_severe([*errors.values()])


def _other_inputs(attachments: Mapping[str, bytes], opened: Opened) -> Iterator[Finding]:
    """Where statements of this program name other inputs than the release's pins."""
    pins = {**opened.lock.datasets, **opened.lock.models}
    known = {resource.name: resource for name, pin in pins.items() for resource in pinned(name, pin)}
    for name, _, statement, _ in read_statements(beside(attachments)):
        named = inputs(statement) if known and statement is not None and statement.ours else ()
        yield from dependency_findings(named, name, tuple(known[resource.name] for resource in named if resource.name in known))


def _others(release: Release, opened: Opened, statements: Sequence[Beside]) -> Iterator[NotChecked]:
    """What nothing above looks into."""
    read = {PINS, f"{PROJECT}{PARAMS}", f"{PROJECT}{STAGES}", *readers(opened.pairs)}
    for key, pairs in opened.pairs.items():
        name = PurePath(pairs).name
        read |= {f"data/{name}", f"data/{name.replace('_pairs.', '_embeddings.')}", f"parquet/{key}.parquet"}
    read |= {published_path(artefact.decided_list) for artefact in opened.artefacts.values() if artefact.decided}
    read |= {published_path(path) for made in opened.vector_sets.values() for path in made.listed}
    read |= {lists_path(key) for key, made in opened.vector_sets.items() if made.file in opened.left_out}
    for path in release.files():
        ledger = opened.catalogue and path.startswith(CLAIMS) and path.endswith(".yaml") and path.count("/") == 1
        if path not in read and not ledger:
            yield NotChecked(path, "its bytes were checked, and nothing here reads it")
    if texts := [path for path in (CARD, REPORT) if path in release.files()]:
        yield NotChecked(f"the words of {' and '.join(texts)}", "tables of scores, digests and pins were read")
    if PINS not in release.files():
        yield NotChecked("what the pair sets were made from", f"the release has no {PINS}")
    signed = len({statement.name for statement in statements if statement.signed}) or "none"
    why = f"{signed} of the statements signed, and signatures are not checked here" if statements else "it has no statements"
    yield NotChecked("who made the release", why)
