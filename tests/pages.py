"""Contents of a report made by hand, for the tests of the page: a small one with every state, and as many claims as wanted."""

from __future__ import annotations

import msgspec

from aqea_registry.base.findings import Finding
from aqea_registry.claims.ledger import At, Claim, Document, Evaluation, Ledger, Measurement, Quotation, Verdict
from aqea_registry.project.artefact import PairSetArtefact
from aqea_registry.project.lock import Pin, PinnedFile
from aqea_registry.project.params import Dataset, Model
from aqea_registry.report.page import Content, PairSetFacts, PinFacts
from aqea_registry.stores.receipts import Receipt, ReceiptFile, StoreReceipt
from aqea_registry.tracing.graph import Edge, Graph, Node
from aqea_registry.vectors.containers.pair_json import Examined
from aqea_registry.vectors.pair_set import Header
from aqea_registry.vectors.scores import Metrics

SHA = "0123456789abcdef" * 4
COMMIT = "0123456789abcdef01234567" + "89abcdef01234567"
RESULT = "stsb-minilm"
METRICS = Metrics(
    cos_sim_pearson=0.8274064,
    cos_sim_spearman=0.8203246731235654,
    euclidean_pearson=0.8147861,
    euclidean_spearman=0.8203246731235654,
    manhattan_pearson=0.8139285,
    manhattan_spearman=0.8191327,
)
EXAMINED = Examined(
    header=Header(dataset="stsb", model="m", dimension=384, n_pairs=1379, baseline_spearman=METRICS.cos_sim_spearman),
    metrics=METRICS,
    content=SHA,
)
CARD = Document(title="sentence-transformers/all-MiniLM-L6-v2, model card", sha256=SHA, file="minilm-card.md")
PAPER = Document(title="A paper of several tables", sha256=SHA[::-1], file="paper.txt")


def _claims() -> list[Verdict]:
    """A claim of each state, kind and ground, in two ledgers."""

    def measured(metric: str, value: str, line: int, **more: object) -> Claim:
        at = At(path=f"model-index[0].results[9].metrics[{line - 100}].value", line=line)
        evidence = Measurement(result=RESULT, metric=metric)
        return msgspec.structs.replace(
            Claim(id=f"stsb.test.{metric}", value=value, unit="percent", at=at, measured=evidence), **more
        )

    def cell(row: str, column: str, value: str | None, **more: object) -> Claim:
        at = At(table="Table 2", row=row, column=column, line=210)
        claim_id = f"table2.{row}.{column}".lower().replace(" ", "-")
        return Claim(id=claim_id, value=value, unit="percent", at=at, **more)  # type: ignore[arg-type]

    exact = measured("cos_sim_spearman", "82.03246731235654", 100)
    wrong = measured("manhattan_spearman", "81.93", 101, note="The digits stand so in the card.")
    stated = measured("euclidean_pearson", "81.478", 102, tolerance="0.001", reason="computed in float32 upstream")
    other = Claim(
        id="sickr.test.cos_sim_spearman",
        value="77.51",
        unit="percent",
        at=At(line=140),
        measured=Measurement(result="sickr", metric="cos_sim_spearman"),
    )
    chinese, english, mean = cell("KaLM mini", "zh", "62.10"), cell("KaLM mini", "en", "63.94"), None
    mean = cell("KaLM mini", "average", "63.20", derived="mean([table2.kalm-mini.zh], [table2.kalm-mini.en])")
    quoted = cell("KaLM mini", "pairs", "62.10", quoted=Quotation(claim="table2.kalm-mini.zh"))
    unread = cell("gte", "zh", None, ocr="the last digit is a blot", printed="6l.4?")
    return [
        Verdict(
            ledger="minilm-card",
            claim=exact,
            state="holds",
            message="Recomputed from the bytes: the same float64.",
            ground="bytes",
            recomputed="82.03246731235654",
            difference="0",
            tolerance="5.684341886080802e-14",
            rests_on=(RESULT,),
        ),
        Verdict(
            ledger="minilm-card",
            claim=wrong,
            state="contradicted",
            message="The recomputed 81.91327 would be printed 81.91.",
            ground="bytes",
            recomputed="81.91327",
            difference="0.01673",
            tolerance="0.005",
            rests_on=(RESULT,),
        ),
        Verdict(
            ledger="minilm-card",
            claim=stated,
            state="holds",
            message="Within the stated tolerance.",
            ground="bytes",
            recomputed="81.47861",
            difference="0.00061",
            tolerance="0.001",
            rests_on=(RESULT,),
        ),
        Verdict(
            ledger="minilm-card",
            claim=other,
            state="unchecked",
            message="No pair set of sickr under minilm is here.",
            reason="no-pair-set",
        ),
        Verdict(ledger="paper", claim=chinese, state="unbound", message="Nothing says what this number rests on."),
        Verdict(ledger="paper", claim=english, state="unbound", message="Nothing says what this number rests on."),
        Verdict(
            ledger="paper",
            claim=mean,
            state="contradicted",
            message="The mean of the two printed values is 63.02, and no rounding of them gives 63.20.",
            ground="prints",
            recomputed="63.02",
            difference="0.18",
            tolerance="0.01",
            rests_on=(f"paper:{chinese.id}", f"paper:{english.id}"),
        ),
        Verdict(
            ledger="paper",
            claim=quoted,
            state="holds",
            message="The same number is printed there.",
            ground="prints",
            recomputed="62.10",
            difference="0",
            tolerance="0.01",
            rests_on=(f"paper:{chinese.id}",),
        ),
        Verdict(ledger="paper", claim=unread, state="unbound", message="The value cannot be read.", reason="illegible"),
    ]


def graph_of(verdicts: list[Verdict]) -> Graph:
    """The chain of each claim: a measured one down to an upstream file and up to a store, another to the claims it rests on."""
    nodes = [
        Node("pair-set:stsb-minilm", "pair-set", RESULT, {"content": SHA, "pairs": "1379"}),
        Node("file:training/data/stsb.json", "file", "training/data/stsb.json", {"sha256": SHA, "size": "9000000"}),
        Node("stage:generate@stsb", "stage", "generate@stsb-minilm", {"command": "aqea-registry generate stsb minilm"}),
        Node("pin:datasets.stsb", "pin", "mteb/stsbenchmark-sts", {"commit": COMMIT}),
        Node("upstream-file:stsb", "upstream-file", "test.jsonl", {"sha256": SHA}, "no source has these bytes"),
        Node("release:v1", "release", "v1", {"digest": f"sha256:{SHA}"}),
        Node("store:oci:releases", "store", "oci:releases:v1"),
    ]
    edges = [
        Edge("pair-set:stsb-minilm", "file:training/data/stsb.json", "is kept in"),
        Edge("file:training/data/stsb.json", "stage:generate@stsb", "was made by"),
        Edge("stage:generate@stsb", "pin:datasets.stsb", "reads"),
        Edge("pin:datasets.stsb", "upstream-file:stsb", "fixes"),
        Edge("release:v1", "file:training/data/stsb.json", "contains"),
        Edge("store:oci:releases", "release:v1", "holds"),
    ]
    nodes += [Node(f"claim:{one.name}", "claim", one.name, {"printed": one.claim.text}) for one in verdicts]
    known = {node.id for node in nodes}
    for verdict in verdicts:
        for name in verdict.rests_on:
            target, verb = (f"pair-set:{name}", "measured as") if name == RESULT else (f"claim:{name}", "rests on")
            edges += [Edge(f"claim:{verdict.name}", target, verb)] if target in known else []
    return Graph.of(nodes, edges)


def artefact(
    key: str, dataset: str, model: str, *, stem: str = "x", split: str = "test", dimension: int = 384
) -> PairSetArtefact:
    """A pair set of a run, of entries that are not pinned."""
    return PairSetArtefact(
        key=key,
        dataset=dataset,
        model=model.rpartition("/")[2],
        stem=stem,
        dataset_entry=Dataset(repo=dataset, split=split),
        model_entry=Model(repo=model, dimension=dimension, max_tokens=128),
        dataset_pin=None,
        model_pin=None,
        precision="canonical",
        view_stage=f"generate@{key}",
    )


def content(verdicts: list[Verdict] | None = None, **changes: object) -> Content:
    """A content with everything that a page can show, but for confirmations."""
    verdicts = _claims() if verdicts is None else verdicts
    documents = {"minilm-card": CARD, "paper": PAPER}
    results = {RESULT: Evaluation(dataset="mteb/stsbenchmark-sts", model="sentence-transformers/all-MiniLM-L6-v2")}
    ledgers = {
        name: Ledger(
            document=documents.get(name, PAPER), results=results, claims=tuple(v.claim for v in verdicts if v.ledger == name)
        )
        for name in dict.fromkeys(verdict.ledger for verdict in verdicts)
    }
    file = PinnedFile(sha256=SHA, size=123456)
    shape = {"licence": None, "resolved_from": "hub", "requested": COMMIT, "commit": COMMIT}
    resolved = Pin(kind="dataset", id="mteb/stsbenchmark-sts", resolved_at="2026-01-05", files={"test.jsonl": file}, **shape)
    unresolved = msgspec.structs.replace(resolved, id="mteb/sickr-sts", files={}, resolved_at=None, resolved_from=None)
    folder = msgspec.structs.replace(resolved, kind="directory", id="data/small", commit=None, requested=None)
    claimed = msgspec.structs.replace(resolved, kind="model", id="org/claimed", resolved_from="package:claimed")
    listed = (ReceiptFile(path="data/stsb.json", digest=f"sha256:{SHA}", size=9000000),)
    store = StoreReceipt(reference="oci:releases:v1", at=f"sha256:{SHA}")
    made = Content(
        title="Embeddings of the public test sets",
        manifest=SHA,
        files={
            "training/data/stsb_minilm_384d_pairs.json": (SHA, 9000000),
            "metrics/stsb-minilm.json": (SHA[::-1], 406),
            "manifests/pins.json": (SHA, 31234),
        },
        verified=12,
        findings=[
            Finding(code="claim-contradicted", subject=v.name, expected=v.claim.text, actual=v.recomputed, message=v.message)
            for v in verdicts
            if v.state == "contradicted"
        ]
        + [Finding(code="mismatch", subject="metrics/stsb-minilm.json", expected=SHA, actual=SHA[::-1], message="other bytes")],
        notes=["no source of mpnet is on this machine; its pinned bytes were not looked at"],
        pair_sets=[PairSetFacts(artefact(RESULT, "stsb", "sentence-transformers/all-MiniLM-L6-v2"), EXAMINED)],
        pins=[
            PinFacts("stsb", resolved, True),
            PinFacts("small", folder, True),
            PinFacts("sickr", unresolved, False),
            PinFacts("far", claimed, False),
        ],
        ledgers=ledgers,
        verdicts=verdicts,
        graph=graph_of(verdicts),
        receipts=[Receipt(tag="v1", digest=f"sha256:{SHA}", files=listed, stores={"oci:releases": store})],
    )
    return msgspec.structs.replace(made, **changes)


def many(count: int) -> Content:
    """A content with this many claims, most of them like those of a model card."""
    metrics = Metrics.__struct_fields__
    verdicts = []
    for number in range(count):
        metric, task = metrics[number % 6], f"task{number // 6:04}"
        claim = Claim(
            id=f"{task}.test.{metric}",
            value=f"{number % 97 + 0.25:.13f}",
            unit="percent",
            at=At(path=f"model-index[0].results[{number // 6}].metrics[{number % 6}].value", line=number + 10),
            measured=Measurement(result=task, metric=metric),
        )
        checked = number % 4 == 0
        verdicts.append(
            Verdict(
                ledger="minilm-card" if number < count // 2 else "paper",
                claim=claim,
                state="holds" if checked else "unchecked",
                message="Recomputed from the bytes." if checked else f"No pair set of {task} under minilm is here.",
                reason=None if checked else "no-pair-set",
                ground="bytes" if checked else None,
                recomputed=f"{number % 97 + 0.25:.13f}" if checked else None,
                difference=f"{number}e-18" if checked else None,
                tolerance="5.684341886080802e-14" if checked else None,
                rests_on=(RESULT,) if checked else (),
            )
        )
    return content(verdicts)
