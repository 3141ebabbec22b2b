import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from engine.dag.document import parse_spec
from structforge.drawing import mermaid, terminal
from tests.engine.dag.validate.documents import edges, graph, loop, node, parallel


def spec(document: dict[str, Any]) -> Any:
    return parse_spec({"name": "picture", **document})


CHOICE = graph(
    {"id": "start", "type": "manual"},
    {"id": "pick", "type": "condition"},
    node("high"),
    node("low"),
    links=edges("start pick", "pick.big high", "pick.else low"),
)


def test_mermaid_shows_nodes_ports_bodies_and_handlers() -> None:
    document = graph(
        {"id": "start", "type": "manual", "name": "Go"},
        loop("each", graph(node("a"), node("b"), links=edges("a b"))),
        parallel("both", {"id": "left", "nodes": [node("c")]}, {"id": "right", "nodes": [node("d")]}),
        links=edges("start each", "each.error both"),
        handlers=graph(node("end")),
    )
    assert mermaid(spec(document)) == (
        "flowchart TD\n"
        '  n0(["Go<br/><small>manual</small>"])\n'
        '  subgraph n1["each<br/><small>loop</small>"]\n'
        '    n2["a<br/><small>transform</small>"]\n'
        '    n3["b<br/><small>transform</small>"]\n'
        "    n2 --> n3\n"
        "  end\n"
        '  subgraph n4["both<br/><small>parallel</small>"]\n'
        '    subgraph n4_0["left"]\n'
        '      n5["c<br/><small>transform</small>"]\n'
        "    end\n"
        '    subgraph n4_1["right"]\n'
        '      n6["d<br/><small>transform</small>"]\n'
        "    end\n"
        "  end\n"
        "  n0 --> n1\n"
        '  n1 -.->|"error"| n4\n'
        '  subgraph handlers["handlers"]\n'
        '    n7["end<br/><small>transform</small>"]\n'
        "  end\n"
    )


def test_no_label_can_break_out_of_mermaid() -> None:
    text = mermaid(spec(graph(node("a", name='"] --> x\n<script>`|end#'))))
    label = re.search(r'n0\["(.*)<br/>', text)
    assert label is not None
    assert not re.search(r'["<>`|\[\]\n]', label.group(1))


def test_the_terminal_drawing_stands_level_below_level() -> None:
    lines = terminal(spec(CHOICE)).plain.split("\n")

    def row(word: str) -> int:
        return next(index for index, line in enumerate(lines) if f" {word} " in line)

    assert row("start") < row("pick") < row("high") == row("low")
    assert any("big" in line and "else" in line for line in lines)


def test_a_chain_is_drawn_exactly() -> None:
    assert terminal(spec(graph(node("one"), node("two"), links=edges("one two")))).plain.rstrip() == "\n".join(
        [
            "picture",
            "╭───────────╮",
            "│    one    │",
            "│ transform │",
            "╰─────┬─────╯",
            "      │",
            "      ▼",
            "╭───────────╮",
            "│    two    │",
            "│ transform │",
            "╰───────────╯",
        ]
    )


def test_bodies_and_handlers_are_drawn_under_their_names() -> None:
    inner = loop("inner", graph(node("x")))
    picture = terminal(spec(graph(loop("outer", graph(inner)), handlers=graph(node("h"))))).plain
    assert re.findall(r"^(?:outer|handlers)\S*$", picture, re.MULTILINE) == [
        "outer.body",
        "outer.body.inner.body",
        "handlers",
    ]


def test_many_nodes_become_a_list() -> None:
    document = graph(*(node(f"n{i}") for i in range(41)), links=edges(*(f"n0 n{i}" for i in range(1, 41))))
    picture = terminal(spec(document)).plain
    assert "╭" not in picture
    assert "n0  transform  → n1, n2, n3, n4, n5, n6, n7, n8, 32 more" in picture


def test_a_drawing_wider_than_the_terminal_becomes_a_list() -> None:
    document = graph(*(node(f"wide_node_{i}") for i in range(10)))
    assert "╭" not in terminal(spec(document), width=80).plain


@pytest.mark.parametrize("name", ["\x1b[31mred\x07", "名前" * 60])
def test_a_name_cannot_steer_the_terminal(name: str) -> None:
    picture = terminal(spec({**graph({"id": name, "type": name}), "name": name[:100]}))
    assert all(char.isprintable() or char == "\n" for char in picture.plain)


def test_wide_characters_keep_the_box_straight() -> None:
    lines = terminal(spec(graph(node("名前")))).plain.split("\n")[1:5]
    assert len({cell_len(line) for line in lines}) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11), st.sampled_from(["out", "error", "a"])), max_size=25),
)
def test_any_graph_is_drawn_with_all_its_boxes_whole(size: int, pairs: list[tuple[int, int, str]]) -> None:
    links = [link for one, other, port in pairs for link in edges(f"n{one}.{port} n{other}")]
    document = spec(graph(*(node(f"n{i}") for i in range(size)), links=links))
    picture = terminal(document, width=10_000).plain
    assert len(re.findall(r"│ *n\d+ *│", picture)) == size
    assert len(re.findall(r"│ transform │|│ +transform +│", picture)) == size
    assert mermaid(document).count("transform") == size
