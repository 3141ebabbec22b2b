"""The core against the slow reference: random documents, random completion order, after each event the same."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from engine.dag.spec import WorkflowSpec
from engine.dag.validate import validate
from engine.expressions.references import AstReferenceParser
from engine.nodes.registry import built_in_catalogue
from tests.reference.core_driver import Pair
from tests.reference.generator import random_document, random_input

GRAPHS = 500
BATCH = 50
_MOST_STEPS = 5000


def run_pair(seed: int) -> Pair:
    """Drive one random document to its end in both.

    Every 20th is cancelled, every 20th times out on the way, every other one goes through snapshots, and in every third
    somebody skips nodes, tries containers again at once, pauses and resumes.
    """
    rng = random.Random(seed)
    document = random_document(rng, effect_url="http://127.0.0.1:9", size=20, racy=seed % 4 != 0, people=True)
    spec = WorkflowSpec.model_validate(document)
    data = random_input(rng)
    triggers = [node.id for node in spec.nodes if node.type == "manual"]
    pair = Pair(spec, data, rng.choice(triggers) if triggers else None, rng)
    interrupted_at = rng.randrange(1, 15) if seed % 10 == 5 else None
    for step in range(_MOST_STEPS):
        if pair.done:
            break
        if seed % 2 and rng.random() < 0.3:
            pair.continue_as_new()
        if step == interrupted_at and pair.core.phase != "handlers":
            pair.interrupt(expire=seed % 20 == 5)
        elif seed % 3 == 1 and rng.random() < 0.25:
            pair.operate()
        else:
            pair.step()
    assert pair.done, "it does not end"
    pair.compare_ends()
    return pair


@pytest.mark.parametrize("first", range(0, GRAPHS, BATCH))
def test_random_graphs_mean_the_same_in_the_core_and_in_the_reference(first: int) -> None:
    asked = Counter[str]()
    for seed in range(first, first + BATCH):
        try:
            pair = run_pair(seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error
        asked.update(skips=pair.skipped, pauses=pair.pauses, snapshots=pair.snapshots)
    assert min(asked["skips"], asked["pauses"], asked["snapshots"]) > 0, asked


def test_random_documents_are_valid() -> None:
    """What the generator writes is what people may write, so that the comparison is about valid documents alone."""
    for seed in range(0, GRAPHS, 5):
        document = random_document(
            random.Random(seed), effect_url="http://127.0.0.1:9", size=20, racy=seed % 4 != 0, people=True
        )
        issues = validate(WorkflowSpec.model_validate(document), built_in_catalogue(), AstReferenceParser())
        assert [issue for issue in issues if issue.severity == "error"] == [], f"seed {seed}"
