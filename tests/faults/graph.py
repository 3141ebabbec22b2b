"""The graph of the fault runs: 30 nodes, of which 14 call the effect server, and what it must come to.

Three lanes of four stages, each stage a call and a local step; lane a also waits for lane b half way. Then a sum, a
condition and one call of two. `expected` works the same out in plain Python and knows nothing of the engine.
"""

from __future__ import annotations

from typing import Any

from tests.faults.effects import answer_to

LANES = "abc"
STAGES = 4
NODES = 1 + 1 + len(LANES) * STAGES * 2 + 1 + 1 + 2
# How a lane calls: both kinds of request that may be repeated. Lane c changes between them.
METHODS = {"a": ("PUT",) * STAGES, "b": ("GET",) * STAGES, "c": ("PUT", "GET") * (STAGES // 2)}


def document(url: str, name: str = "fault-run", credential: str | None = None) -> dict[str, Any]:
    """The document, with calls to the effect server at `url`, each with the credential if one is named."""
    nodes: list[dict[str, Any]] = [
        {"id": "start", "type": "manual"},
        _step("seed", {lane: f"{{{{ input.n + {at} }}}}" for at, lane in enumerate(LANES)}),
    ]
    edges = [_edge("start", "seed")]
    for lane in LANES:
        for stage in range(STAGES):
            nodes += _stage(url, lane, stage)
            edges += [
                _edge("seed" if stage == 0 else f"{lane}{stage - 1}_step", f"{lane}{stage}_call"),
                _edge(f"{lane}{stage}_call", f"{lane}{stage}_step"),
            ]
    edges.append(_edge("b1_step", "a2_step"))
    nodes += _end(url)
    last = STAGES - 1
    edges += [_edge(f"{lane}{last}_step", "total") for lane in LANES]
    edges += [
        _edge("total", "parity"),
        _edge("parity", "even", "even"),
        _edge("parity", "odd", "odd"),
    ]
    assert len(nodes) == NODES
    if credential is not None:
        nodes = [{**node, "credential": credential} if node["type"] == "http" else node for node in nodes]
    outputs = {
        "total": "{{ nodes.total.output.n }}",
        "even": "{{ nodes.even.output.body.answer }}",
        "odd": "{{ nodes.odd.output.body.answer }}",
    }
    return {"name": name, "nodes": nodes, "edges": edges, "outputs": outputs}


def _stage(url: str, lane: str, stage: int) -> list[dict[str, Any]]:
    before = f"nodes.seed.output.{lane}" if stage == 0 else f"nodes.{lane}{stage - 1}_step.output.n"
    plus = " + nodes.b1_step.output.n" if (lane, stage) == ("a", 2) else ""
    call = f"{lane}{stage}_call"
    return [
        _call(call, METHODS[lane][stage], url, before),
        _step(f"{lane}{stage}_step", {"n": f"{{{{ nodes.{call}.output.body.answer + {stage}{plus} }}}}"}),
    ]


def _end(url: str) -> list[dict[str, Any]]:
    total = " + ".join(f"nodes.{lane}{STAGES - 1}_step.output.n" for lane in LANES)
    parity = {
        "conditions": [{"condition": "{{ nodes.total.output.n % 2 == 0 }}", "output_port": "even"}],
        "default_port": "odd",
    }
    return [
        _step("total", {"n": f"{{{{ {total} }}}}"}),
        {"id": "parity", "type": "condition", "params": parity},
        _call("even", "PUT", url, "nodes.total.output.n"),
        _call("odd", "PUT", url, "nodes.total.output.n"),
    ]


def _call(name: str, method: str, url: str, number: str) -> dict[str, Any]:
    params: dict[str, Any] = {"method": method, "url": f"{url}/effect/{name}"}
    params["query" if method == "GET" else "body"] = {"n": f"{{{{ {number} }}}}"}
    return {"id": name, "type": "http", "params": params}


def _step(name: str, mapping: dict[str, str]) -> dict[str, Any]:
    return {"id": name, "type": "transform", "params": {"mapping": mapping}}


def _edge(source: str, target: str, port: str = "out") -> dict[str, str]:
    return {"source": source, "source_port": port, "target": target}


def expected(n: int) -> tuple[dict[str, Any], dict[str, str], dict[str, int]]:
    """For the input `n`: the execution's output, the status of every node, the answer that each call got."""
    answers: dict[str, int] = {}
    steps: dict[str, int] = {}
    for lane in "bac":  # a waits for b
        at = n + LANES.index(lane)
        for stage in range(STAGES):
            answers[f"{lane}{stage}_call"] = answer_to(at)
            at = answer_to(at) + stage + (steps["b1_step"] if (lane, stage) == ("a", 2) else 0)
            steps[f"{lane}{stage}_step"] = at
    total = sum(steps[f"{lane}{STAGES - 1}_step"] for lane in LANES)
    taken, left = ("even", "odd") if total % 2 == 0 else ("odd", "even")
    answers[taken] = answer_to(total)
    ran = ["start", "seed", *steps, *answers, "total", "parity"]
    statuses = dict.fromkeys(ran, "success") | {left: "pruned"}
    return {"total": total, taken: answers[taken], left: None}, statuses, answers
