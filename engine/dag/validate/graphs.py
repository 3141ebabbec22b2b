"""Linear graph algorithms with stacks of their own, so that a chain of any length is no danger.

Links are `(source, target, edge number)`; nodes are numbers from 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Links = Sequence[tuple[int, int, int]]


def successors(size: int, links: Links) -> list[list[tuple[int, int]]]:
    """For each node `(target, edge number)` of its outgoing links."""
    found: list[list[tuple[int, int]]] = [[] for _ in range(size)]
    for source, target, number in links:
        found[source].append((target, number))
    return found


def components(size: int, links: Links) -> list[list[int]]:
    """Strongly connected components, those downstream first. Source: Tarjan 1972."""
    following = successors(size, links)
    order = [-1] * size
    low = [0] * size
    open_nodes: list[int] = []
    is_open = [False] * size
    found: list[list[int]] = []
    count = 0
    for root in range(size):
        if order[root] >= 0:
            continue
        walk = [(root, 0)]
        while walk:
            node, position = walk.pop()
            if position == 0:
                order[node] = low[node] = count
                count += 1
                open_nodes.append(node)
                is_open[node] = True
            elif is_open[child := following[node][position - 1][0]]:
                low[node] = min(low[node], low[child])
            for place in range(position, len(following[node])):
                target = following[node][place][0]
                if order[target] < 0:
                    walk.append((node, place + 1))
                    walk.append((target, 0))
                    break
                if is_open[target]:
                    low[node] = min(low[node], order[target])
            else:
                if low[node] == order[node]:
                    found.append(_take(open_nodes, is_open, node))
    return found


def _take(open_nodes: list[int], is_open: list[bool], root: int) -> list[int]:
    members: list[int] = []
    while True:
        node = open_nodes.pop()
        is_open[node] = False
        members.append(node)
        if node == root:
            return members


def ancestors(size: int, links: Links, parts: list[list[int]]) -> list[int]:
    """For each node a number whose bits are the nodes upstream of it; nodes on a cycle are upstream of themselves."""
    sets = [0] * size
    incoming: list[list[int]] = [[] for _ in range(size)]
    for source, target, _ in links:
        incoming[target].append(source)
    for members in reversed(parts):
        above = 0
        for node in members:
            for source in incoming[node]:
                above |= sets[source] | (1 << source)
        for node in members:
            sets[node] = above
    return sets


def cycles(size: int, links: Links, members: list[int], limit: int) -> Iterator[tuple[list[int], int]]:
    """Cycles within one component: its nodes in order, and the edge that closes it; one for each closing edge.

    A depth-first walk from the first node in document order; at most `limit` cycles.
    """
    inside = set(members)
    following = successors(size, [link for link in links if link[0] in inside and link[1] in inside])
    depth: dict[int, int] = {}
    done: set[int] = set()
    start = min(members)
    trail = [start]
    walk = [iter(following[start])]
    depth[start] = 0
    while walk and limit > 0:
        step = next(walk[-1], None)
        if step is None:
            walk.pop()
            node = trail.pop()
            del depth[node]
            done.add(node)
            continue
        target, number = step
        if target in depth:
            limit -= 1
            yield trail[depth[target] :], number
        elif target not in done:
            depth[target] = len(trail)
            trail.append(target)
            walk.append(iter(following[target]))
