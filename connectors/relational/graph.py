"""Strongly connected components: what must be done together because it refers to itself in a circle."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

N = TypeVar("N")


def components(nodes: Sequence[N], successors: Mapping[N, Iterable[N]]) -> list[list[N]]:
    """Components in topological order: one comes before those it leads to. Tarjan's algorithm, without recursion."""
    index: dict[N, int] = {}
    low: dict[N, int] = {}
    stack: list[N] = []
    waiting: set[N] = set()
    found: list[list[N]] = []
    for root in nodes:
        if root in index:
            continue
        index[root] = low[root] = len(index)
        stack.append(root)
        waiting.add(root)
        path = [(root, iter(successors.get(root, ())))]
        while path:
            node, ahead = path[-1]
            for following in ahead:
                if following not in index:
                    index[following] = low[following] = len(index)
                    stack.append(following)
                    waiting.add(following)
                    path.append((following, iter(successors.get(following, ()))))
                    break
                if following in waiting:
                    low[node] = min(low[node], index[following])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node])
                if low[node] == index[node]:
                    component = []
                    while True:
                        member = stack.pop()
                        waiting.discard(member)
                        component.append(member)
                        if member == node:
                            break
                    found.append(component[::-1])
    return found[::-1]
