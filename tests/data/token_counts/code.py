from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Iterable


@dataclass(order=True)
class Edge:
    weight: float
    source: str = field(compare=False)
    target: str = field(compare=False)


class Graph:
    """A weighted, directed graph with the usual shortest path search."""

    def __init__(self, edges: Iterable[Edge] = ()) -> None:
        self._outgoing: dict[str, list[Edge]] = defaultdict(list)
        for edge in edges:
            self.add(edge)

    def add(self, edge: Edge) -> None:
        if edge.weight < 0:
            raise ValueError(f"negative weight: {edge.weight!r}")
        self._outgoing[edge.source].append(edge)

    def shortest(self, start: str, goal: str) -> tuple[float, list[str]]:
        best = {start: 0.0}
        previous: dict[str, str] = {}
        queue = [(0.0, start)]
        while queue:
            distance, node = heapq.heappop(queue)
            if node == goal:
                path = [node]
                while node in previous:
                    node = previous[node]
                    path.append(node)
                return distance, path[::-1]
            if distance > best.get(node, float("inf")):
                continue
            for edge in self._outgoing[node]:
                candidate = distance + edge.weight
                if candidate < best.get(edge.target, float("inf")):
                    best[edge.target] = candidate
                    previous[edge.target] = node
                    heapq.heappush(queue, (candidate, edge.target))
        raise LookupError(f"no path from {start} to {goal}")
