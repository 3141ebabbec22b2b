"""Random valid documents with every rule of the graph in them: the same seed gives the same document.

    rng = random.Random(7)
    document = random_document(rng, effect_url="http://127.0.0.1:8123", size=16)
    data = random_input(rng)

With `racy=False` no outcome hangs on the order in which unordered nodes happen to end, but for `join: any` and
`parallel` that waits for some: variables and node outputs are read only behind a path to whoever sets them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

Json = dict[str, Any]
_VARIABLES = ("a", "b")
_DECISIONS = ("approved", "rejected", "timeout")
_DEEPEST = 3


@dataclass(frozen=True)
class _Source:
    """A node that later ones may be connected to, or refer to."""

    id: str
    type: str
    ports: tuple[str, ...]
    above: frozenset[str]  # all that is upstream of it
    certain: frozenset[str]  # of these, what has surely ended when it starts


@dataclass(frozen=True)
class _Place:
    """Where a graph stands, and what its nodes may use."""

    depth: int = 0
    outer: tuple[_Source, ...] = ()  # upstream of the container
    holders: tuple[str, ...] = ()  # ids of the containers round it
    certain: frozenset[str] = frozenset()
    item: bool = False
    index: bool = False
    handlers: bool = False
    assigns: bool = True


@dataclass
class _Uses:
    """Who reads and who sets a variable, each with the ids of the containers round it."""

    readers: list[frozenset[str]] = field(default_factory=list[frozenset[str]])
    writers: list[frozenset[str]] = field(default_factory=list[frozenset[str]])


def random_document(
    rng: random.Random, *, effect_url: str, size: int = 14, racy: bool = True, people: bool = False
) -> Json:
    """A valid document of about `size` nodes at most, bodies included. Without `people` approvals run out of time."""
    return _Writer(rng, effect_url, size, racy, people).document()


def random_input(rng: random.Random) -> Json:
    """An execution input that the documents can work with."""
    return {
        "n": rng.randrange(4),
        "flag": rng.random() < 0.5,
        "list": [rng.randrange(9) for _ in range(rng.randrange(4))],
        "word": rng.choice(["red", "green", "blue"]),
    }


class _Writer:
    def __init__(self, rng: random.Random, effect_url: str, size: int, racy: bool, people: bool) -> None:
        self.rng = rng
        self.effect_url = effect_url.rstrip("/")
        self.left = rng.randint(2, max(2, size))
        self.racy = racy
        self.people = people
        self.count = 0
        self.uses = {name: _Uses() for name in _VARIABLES}

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    # ---- the document -------------------------------------------------------------------------------------------

    def document(self) -> Json:
        nodes, edges, sources = self._graph(_Place(), self.left, triggers=self.rng.choices([0, 1, 2], [1, 8, 1])[0])
        document: Json = {"name": "random", "nodes": nodes, "edges": edges, "settings": self._settings()}
        document["variables"] = {name: {"default": self.rng.randrange(5)} for name in _VARIABLES}
        if self.chance(0.45):
            self.left = 3
            place = _Place(outer=tuple(sources), handlers=True, assigns=False)
            handler_nodes, handler_edges, _ = self._graph(place, self.rng.randint(1, 3))
            document["handlers"] = {"nodes": handler_nodes, "edges": handler_edges}
        if self.chance(0.6):
            document["outputs"] = self._outputs(sources, _Place())
        return document

    def _settings(self) -> Json:
        settings: Json = {}
        if self.chance(0.4):
            settings["on_error"] = self.rng.choice(["continue", "continue", "skip", "fail"])
        if self.chance(0.35):
            settings["retry"] = {
                "strategy": "fixed",
                "interval": "1ms",
                "max_attempts": self.rng.randint(2, 3),
                "from": self.rng.choice(["failed", "start"]),
            }
        if self.chance(0.15):
            settings["max_parallel_nodes"] = self.rng.randint(1, 2)
        return settings

    def _outputs(self, sources: list[_Source], place: _Place) -> Any:
        """Templates over a graph's own nodes, all of which have ended."""
        names = [source.id for source in sources]
        shown = self.rng.sample(names, min(len(names), self.rng.randint(1, 3)))
        outputs: Any = {name: f"{{{{ nodes.{name}.output }}}}" for name in shown}
        if self.chance(0.3) and (self.racy or place.depth == 0):
            outputs["a"] = "{{ vars.a }}"
        if place.index and self.chance(0.3):
            outputs["at"] = "{{ index + 1 }}"
        if self.chance(0.2):
            outputs = outputs[shown[0]]
        return outputs

    # ---- graphs -------------------------------------------------------------------------------------------------

    def _graph(self, place: _Place, size: int, triggers: int = 0) -> tuple[list[Json], list[Json], list[_Source]]:
        nodes: list[Json] = []
        edges: list[Json] = []
        sources: list[_Source] = []
        for _ in range(triggers):
            node_id = self._new_id("start")
            nodes.append({"id": node_id, "type": "manual"})
            sources.append(_Source(node_id, "manual", ("out",), frozenset(), place.certain))
        for _ in range(max(1, size)):
            if nodes and self.left <= 0:
                break
            node, incoming, source = self._node(place, sources)
            nodes.append(node)
            edges.extend(incoming)
            sources.append(source)
        if self.chance(0.5):
            self.rng.shuffle(nodes)
        return nodes, edges, sources

    def _new_id(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def _node(self, place: _Place, sources: list[_Source]) -> tuple[Json, list[Json], _Source]:
        self.left -= 1
        kind = self._kind(place)
        node: Json = {"id": self._new_id(kind[0]), "type": kind}
        chosen = self._choose_sources(sources)
        edges = [{"source": source.id, "target": node["id"], **self._port(source)} for source in chosen]
        above = frozenset[str]().union(*(source.above | {source.id} for source in chosen))
        sure = [source.certain | {source.id} for source in chosen]
        if len(edges) > 1 and self.chance(0.3):
            node["join"] = "any"
            certain = frozenset.intersection(*sure) | place.certain
        else:
            certain = place.certain.union(*sure)
        visible = [source for source in sources if source.id in (above if self.racy else certain)]
        visible += [source for source in place.outer if self.racy or place.handlers or source.id in certain]
        self._fill(node, place, visible, certain, [source.type for source in chosen])
        ports = ("out",)
        if kind in ("condition", "switch"):
            ports = _ports_of(node)
        elif kind == "approval":
            ports = _DECISIONS
        return node, edges, _Source(node["id"], kind, ports, above, certain)

    def _kind(self, place: _Place) -> str:
        weights = {"transform": 30, "http": 28, "condition": 10, "switch": 8, "delay": 4, "approval": 5}
        if place.depth < _DEEPEST and self.left > 0 and not place.handlers:
            weights |= {"loop": 12, "parallel": 9}
        return self.rng.choices(list(weights), list(weights.values()))[0]

    def _choose_sources(self, sources: list[_Source]) -> list[_Source]:
        if not sources or self.chance(0.06):
            return []
        recent = sources[-6:]
        return self.rng.sample(recent, min(len(recent), self.rng.choices([1, 2, 3], [6, 3, 1])[0]))

    def _port(self, source: _Source) -> Json:
        if source.type != "manual" and self.chance(0.12):
            return {"source_port": "error"}
        port = self.rng.choice(source.ports)
        return {} if port == "out" else {"source_port": port}

    # ---- nodes --------------------------------------------------------------------------------------------------

    def _fill(
        self, node: Json, place: _Place, visible: list[_Source], certain: frozenset[str], above: list[str]
    ) -> None:
        names = _Names(self, node["id"], place, visible, certain)
        if self.chance(0.12):
            node["inputs"] = {"x": names.template()}
            names.inputs = True
        if self.chance(0.1):
            node["when"] = names.condition()
        writers: dict[str, Callable[[], Json]] = {
            "transform": lambda: {"mapping": self._mapping(names)},
            "http": lambda: {"url": f"{self.effect_url}{self._behaviour(names)}"},
            "condition": lambda: self._conditions(names),
            "switch": lambda: self._cases(names),
            "delay": lambda: {"delay": "1ms"},
            "approval": self._approval,
            "loop": lambda: self._loop(node, names, above),
            "parallel": lambda: self._parallel(node, names),
        }
        node["params"] = writers[node["type"]]()
        self._policy(node)
        if place.assigns and self.chance(0.2):
            self._assign(node, names)

    def _policy(self, node: Json) -> None:
        """How its failures are taken; half of the nodes name nothing."""
        kind = self.rng.choices(["", "continue", "skip", "retry", "fail", "bare"], [44, 14, 12, 16, 4, 10])[0]
        if kind == "":
            return
        if kind != "bare":
            node["on_error"] = kind
        if kind in ("retry", "bare"):
            node["retry"] = {"interval": "1ms", "max_attempts": self.rng.randint(1, 3)}
            if self.chance(0.5):
                node["retry"]["strategy"] = "fixed"
            if self.chance(0.7):
                node["then"] = self.rng.choice(["continue", "skip", "continue", "fail"])

    def _assign(self, node: Json, names: _Names) -> None:
        variable = self.rng.choice(_VARIABLES)
        if not names.may_set(variable):
            return
        reads = names.may_read(variable)
        value = f"{{{{ (vars.{variable} * 3 + {self.rng.randrange(5)}) % 1000 }}}}"
        node["assign"] = {variable: value if reads else self.rng.randrange(100)}
        names.note_set(variable)

    def _mapping(self, names: _Names) -> Any:
        if self.chance(0.04):
            return {"broken": "{{ input.missing }}"}
        shape = self.rng.randrange(4)
        if shape == 0:
            return names.template()
        if shape == 1:
            return {"value": names.template(), "more": [names.template(), self.rng.randrange(9)]}
        if shape == 2:
            return [names.template() for _ in range(self.rng.randrange(3))]
        return {"value": self.rng.randrange(9)}

    def _behaviour(self, names: _Names) -> str:
        if self.chance(0.62):
            number = "{{ input.n }}" if self.chance(0.2) else str(self.rng.randrange(9))
            return f"/ok/{number}"
        return self.rng.choice(["/fail/503/1", "/fail/503/2", "/fail/404/99", "/fail/429/1", "/fail/500/99"])

    def _conditions(self, names: _Names) -> Json:
        ports = self.rng.sample(["yes", "no", "maybe"], self.rng.randint(1, 2))
        params: Json = {"conditions": [{"condition": names.condition(), "output_port": port} for port in ports]}
        if self.chance(0.3):
            params["default_port"] = "other"
        return params

    def _cases(self, names: _Names) -> Json:
        value = self.rng.choice(["{{ input.n }}", "{{ input.word }}", names.template()])
        values = self.rng.sample([0, 1, 2, 3, "red", "green"], 2)
        cases = [{"value": case, "output_port": f"case{at}"} for at, case in enumerate(values)]
        return {"switch_value": value, "cases": cases, **({"default_port": "rest"} if self.chance(0.3) else {})}

    def _approval(self) -> Json:
        """`message` says how it ends; without people, by its time running out."""
        if not self.people:
            return {"message": "timeout", "timeout": "1ms"}
        params: Json = {"message": self.rng.choice(_DECISIONS), "quorum": self.rng.randint(1, 3), "timeout": "1h"}
        if self.chance(0.5):
            params["approvers"] = ["p0", "p1", "p2", "p3"]
        return params

    # ---- containers ---------------------------------------------------------------------------------------------

    def _body(self, node: Json, names: _Names, **place: Any) -> Json:
        inside = replace(
            names.place,
            depth=names.place.depth + 1,
            outer=tuple(names.visible),
            holders=(*names.place.holders, node["id"]),
            certain=names.certain,
            **place,
        )
        nodes, edges, sources = self._graph(inside, self.rng.randint(1, 4))
        body: Json = {"nodes": nodes, "edges": edges}
        if self.chance(0.6):
            body["outputs"] = self._outputs(sources, inside)
        return body

    def _loop(self, node: Json, names: _Names, above: list[str]) -> Json:
        kind = self.rng.choice(["for", "while", "foreach", "foreach"])
        params: Json = {"loop_type": kind}
        bound = self.rng.choice([1, 2, 3, 3])
        if kind == "for":
            params["count"] = self.rng.choice([bound, bound, "{{ input.n }}"])
        elif kind == "while":
            tests = [f"index < {bound}", f"{{{{ index < {bound} }}}}", f"index < {bound} and last != 3"]
            params["condition"] = self.rng.choice(tests)
        elif not (above in (["loop"], ["transform"]) and self.chance(0.5)):
            params["items"] = self.rng.choice(["{{ input.list }}", [{"value": 1}, 2, "three"][:bound], [4, 5, 6]])
        self._limit(params)
        concurrent = params.get("concurrency", 1) > 1
        assigns = names.place.assigns and not concurrent
        item = kind != "while" or (names.place.item and kind == "while")
        params["body"] = self._body(node, names, item=item, index=True, assigns=assigns)
        return params

    def _limit(self, params: Json) -> None:
        kind = params["loop_type"]
        if kind != "while" and self.chance(0.45):
            params["concurrency"] = self.rng.randint(2, 3)
        if kind == "foreach" and self.chance(0.5):
            params["on_item_error"] = "continue"
        if self.chance(0.3):
            at_index = f"index {self.rng.choice(['==', '>='])} {self.rng.randrange(3)}"
            at_error = "[key for key in last or [] if key == 'error'] != []"  # itself an error if `last` is a number
            params["break_condition"] = self.rng.choice([at_index, at_error])
        sequential = "concurrency" not in params
        if self.chance(0.2) and (sequential or "break_condition" not in params) and self.racy:
            params["max_iterations"] = self.rng.randint(1, 3)

    def _parallel(self, node: Json, names: _Names) -> Json:
        branches = []
        count = self.rng.randint(2, 3)
        for _ in range(count):
            branch_id = self._new_id("way")
            branches.append({"id": branch_id, **self._body(node, names)})
        params: Json = {"branches": branches}
        if self.chance(0.5):
            params["wait"] = self.rng.choice(["all", "any", self.rng.randint(1, count)])
        if self.chance(0.3):
            params["timeout"] = "1h"
        return params


class _Names:
    """What the templates of one node may use."""

    def __init__(
        self, writer: _Writer, node_id: str, place: _Place, visible: list[_Source], certain: frozenset[str]
    ) -> None:
        self.writer = writer
        self.rng = writer.rng
        self.place = place
        self.visible = visible
        self.certain = certain
        self.self_chain = frozenset({node_id, *place.holders})
        self.inputs = False

    def template(self) -> str:
        if self.rng.random() < 0.9:
            return "{{ " + self._expression() + " }}"
        text = self._scalar()
        return f"is {{{{ {'input.n' if text == 'inputs.x' else text} }}}}!"  # no times and headers in a text

    def condition(self) -> Any:
        choice = self.rng.randrange(6)
        if choice == 0:
            return True
        if choice == 1 and self.visible:
            return f"{{{{ nodes.{self.rng.choice(self.visible).id}.output != None }}}}"
        if choice == 2 and self.place.index:
            return "{{ index % 2 == 0 }}"
        if choice == 3 and self.may_read("b"):
            self._note_read("b")
            return "{{ vars.b % 2 == 0 }}"
        return self.rng.choice(
            ["{{ input.flag }}", "{{ input.n > 1 }}", "{{ input.n < 3 }}", "{{ input.word != 'red' }}"]
        )

    def _expression(self) -> str:
        if self.visible and self.rng.random() < 0.6:
            return self._node_path(self.rng.choice(self.visible))
        return self._scalar() if self.rng.random() < 0.8 else "input.list"

    def _node_path(self, source: _Source) -> str:
        start = f"nodes.{source.id}"
        if source.type == "http" and self.rng.random() < 0.5:
            return f"{start}.output.body.value"
        if source.type == "loop" and self.rng.random() < 0.5:
            return f"{start}.output.items"
        if source.ports != ("out",) and self.rng.random() < 0.3:
            return f"{start}.ports.{self.rng.choice(source.ports)}"
        if self.rng.random() < 0.1:
            return f"{start}.error"
        return f"{start}.output"

    def _scalar(self) -> str:
        known = ["input.n", "input.n + 1", "input.word"]
        if self.place.item:
            known += ["item"]
        if self.place.index:
            known += ["index", "index * 2"]
        if self.inputs:
            known += ["inputs.x", "inputs.x"]
        if self.place.handlers:
            known += ["error.code"]
        variables = [name for name in _VARIABLES if self.may_read(name)]
        if variables and self.rng.random() < 0.5:
            variable = self.rng.choice(variables)
            self._note_read(variable)
            return self.rng.choice([f"vars.{variable}", f"vars.{variable} + 1"])
        return self.rng.choice(known)

    def _ordered(self, others: list[frozenset[str]]) -> bool:
        """Whether all of them have surely ended before this node starts, or are this node."""
        return all(other & self.certain or other == self.self_chain for other in others)

    def may_read(self, variable: str) -> bool:
        if self.place.handlers:
            return self.writer.racy
        return self.writer.racy or self._ordered(self.writer.uses[variable].writers)

    def may_set(self, variable: str) -> bool:
        uses = self.writer.uses[variable]
        return self.writer.racy or self._ordered(uses.readers + uses.writers)

    def _note_read(self, variable: str) -> None:
        self.writer.uses[variable].readers.append(self.self_chain)

    def note_set(self, variable: str) -> None:
        self.writer.uses[variable].writers.append(self.self_chain)


def _ports_of(node: Json) -> tuple[str, ...]:
    params = node["params"]
    named = [branch["output_port"] for branch in params.get("conditions") or params["cases"]]
    usual = "else" if node["type"] == "condition" else "default"
    return (*named, params.get("default_port", usual))
