"""What later versions answer otherwise than 0.1.0, on purpose: one entry a reason.

An entry names the commands and projects by globs, the places in the answer by globs over `/`-joined keys, and why.
"""

from __future__ import annotations

from typing import NamedTuple


class Difference(NamedTuple):
    """Places of answers that are not 0.1.0's any more, and the reason."""

    reason: str
    commands: tuple[str, ...]
    places: tuple[str, ...] = ("*",)
    projects: tuple[str, ...] = ("*",)


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "a release carries the report's page, which has one figure and two tables instead of three figures",
        ("compare oci:releases:v1 oci:fresh:v2",),
        ("/json/changes", "/json/ok", "/json/verdict", "/status"),
    ),
    Difference(
        "a pair file is read in blocks, and the reason that it is malformed names the byte instead of the JSON parser's text",
        ("trace weather-minilm#cos_sim_spearman", "trace v1", "trace minilm"),
        ("/json/nodes",),
        ("pair-file-truncated",),
    ),
    Difference(
        "a file that `export` wrote besides what the run lists is counted in a note and no finding",
        ("verify",),
        ("/json/findings", "/json/notes", "/json/ok", "/status"),
    ),
    Difference(
        "a list whose lines end in CRLF is read, as sha256sum reads it; of a project's manifest its form alone is a finding",
        ("*",),
        projects=("manifest-crlf",),
    ),
    Difference(
        "a commit that no Hub has confirmed for the bytes is claimed: pin --check, a trace and a model-index say so",
        ("pin --check", "trace *", "claims export --format model-index"),
        ("/json/states/minilm", "/json/nodes", "/json/text"),
    ),
    Difference(
        "a statement on a pair set is shown with its margin, and a confirmation of the run itself as not counted",
        ("trace *",),
        ("/json/nodes",),
    ),
    Difference("a confirmation in git that states the making itself is noted as not counted", ("verify",), ("/json/notes",)),
    Difference("confirm encodes every sentence anew, and believes no statement of the checkout", ("confirm oci:fresh:v2",)),
    Difference(
        "pin tells what is no finding, such as rows that stand in two files",
        ("pin weather", "pin --commits-only"),
        ("/json/notes",),
    ),
    Difference("how many claims are stale, or rest on a sentence, is counted", ("claims check*",), ("/json/counts",)),
    Difference(
        "numbers that were exported have the reason why they are unchecked", ("claims export --format json",), ("/json/text",)
    ),
    Difference(
        "no number of a document that was changed holds",
        ("claims *", "trace *", "report"),
        ("/json/verdicts", "/json/text", "/json/nodes", "/json/counts/*"),
        ("document-edited",),
    ),
    Difference(
        "a number that quotes a wrong one is compared with what that one should be, too, and may be right",
        ("claims *", "trace *", "report"),
        ("/json/verdicts", "/json/text", "/json/nodes", "/json/counts/*", "/json/findings", "/json/found"),
        ("ledger-value-edited",),
    ),
    Difference(
        "a folder whose split params.yaml does not say has none in the model-index",
        ("claims export --format model-index",),
        ("/json/text",),
    ),
    Difference(
        "an import says how many numbers it saw and imported, and which it left out",
        ("claims import card.md",),
        ("/json/seen", "/json/imported", "/json/left_out"),
    ),
    Difference(
        "lint finds the values of a model-index that are written on one line",
        ("claims lint*",),
        ("/json/documents",),
    ),
    Difference(
        "a release holds what it is made again from: params.yaml and dvc.yaml of its run, CITATION.cff and the ledgers",
        ("publish --tag v2 *", "package --to package", "verify package", "verify oci:fresh:v2"),
        ("/json/files", "/json/puts", "/json/written", "/json/held/*"),
    ),
    Difference("errors that had no hint say what to do next", ("*",), ("/json/error/hint",)),
    Difference(
        "a release that would lack a ledger which cannot be read is refused",
        ("publish *", "package *", "verify package", "verify oci:fresh:v2", "compare oci:releases:v1 oci:fresh:v2", "mark *"),
        projects=("ledger-malformed",),
    ),
    Difference("a comparison of releases begins with a line for a person", ("compare *",), ("/json/summary",)),
    Difference(
        "a check of claims names the commands that would make more of them checkable", ("claims check*",), ("/json/commands",)
    ),
    Difference("verify shows the vector sets of a run", ("verify*",), ("/json/vector_sets",)),
)
