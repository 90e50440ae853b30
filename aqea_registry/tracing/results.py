"""The nodes of vector sets and results, and what is checked about them."""

from aqea_registry.base.findings import CannotCheck, Finding
from aqea_registry.project.artefact import VectorSetArtefact
from aqea_registry.tracing.graph import GraphBuilder, sentence_of
from aqea_registry.verification.verify_project import CheckedProject
from aqea_registry.verification.verify_results import check_vector_sets, read_result


def draw_result(builder: GraphBuilder, artefact: VectorSetArtefact) -> None:
    """The result of a vector set with its main score, by the name that it has in the file."""
    id_ = f"result:{artefact.key}"
    builder.edge(id_, f"vector-set:{artefact.key}", "computed from")
    result, wrong = read_result(builder.run.root, artefact)
    if result is not None:
        builder.add_facts(id_, task=result.task)
        score = draw_score(builder, artefact, result.main_score)
        builder.add_facts(score, value="; ".join(f"{at}: {value!r}" for at, value in result.main_scores().items()))
    for finding in wrong if (builder.run.root / artefact.metrics).exists() else ():  # else the file says it
        builder.add_facts(id_, sentence_of(finding))


def draw_score(builder: GraphBuilder, artefact: VectorSetArtefact, metric: str) -> str:
    """A score of a task, which rests on its result."""
    key = artefact.key
    words = [f"{name}#{metric}" for name in (key, artefact.metrics)]
    id_ = builder.node("metric", f"{key}#{metric}", f"{key}#{metric}", {}, None, words)
    builder.edge(id_, f"result:{key}", "read from")
    return id_


def check_vector_set(builder: GraphBuilder, artefact: VectorSetArtefact, verified: CheckedProject | None) -> None:
    """Whether the vector set is sound, and the one that its result names."""
    key, id_ = artefact.key, f"vector-set:{artefact.key}"
    checked, findings = verified.vector_sets.get(key) if verified is not None else None, list[Finding]()
    if checked is None:
        root = builder.run.root
        try:
            there = [path for path in artefact.stated if (root / path).is_file()]
            sound, findings = check_vector_sets(root, [artefact], there, builder.run.left_out)
            checked = sound.get(key)
        except CannotCheck as error:
            builder.add_facts(id_, note=f"not read: {error.message}")
    for finding in findings:
        if not finding.subject.startswith(artefact.metrics):  # shown at the result already
            builder.add_facts(id_, sentence_of(finding))
    if checked is not None:
        builder.add_facts(id_, content=checked.content, texts=str(checked.texts), dimension=str(checked.dimension))
