"""Undirected graphs: which sites interact, and which of them can be redrawn at the same time."""

import functools
import itertools
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from ebm_ppl._checks import check_count
from ebm_ppl.energies._parameters import as_shape


class Blocks(NamedTuple):
    """The sites of each colour with their neighbours, as tables that are padded to one size.

    Sites are padded by the number of sites, which is the number of none, and edges by the number of edges.

    Attributes:
        sites: Sites of each colour.
        neighbours: Neighbours of each of them.
        edges: Number of the edge to each neighbour.
    """

    sites: Int[np.ndarray, "num_colours block"]
    neighbours: Int[np.ndarray, "num_colours block degree"]
    edges: Int[np.ndarray, "num_colours block degree"]


class Graph:
    r"""An undirected graph on the sites $0, 1, \dots, n - 1$.

    Its colouring, found when it is first needed, gives neighbours different colours: sites are visited
    breadth first and take the first colour that no neighbour has. A graph whose closed ways are all even
    gets two colours, and no graph more than the largest number of neighbours and one.

    Args:
        num_sites: Number of sites $n$.
        edges: Pairs of sites, shape `(num_edges, 2)`.

    Raises:
        ValueError: If a pair is no pair of two different sites, or comes twice.

    Examples:
        >>> from ebm_ppl.energies import Graph
        >>> Graph(3, [(0, 1), (1, 2)]).colours.tolist()
        [0, 1, 0]
        >>> Graph.complete(3).colours.tolist()
        [0, 1, 2]
        >>> Graph.lattice((2, 3), periodic=False).num_edges
        7

    References:
        Gonzalez, Low, Gretton & Guestrin (2011). Parallel Gibbs sampling: from colored fields to thin
        junction trees. Artificial Intelligence and Statistics 14.
    """

    def __init__(self, num_sites: int, edges: Any) -> None:
        check_count("num_sites", num_sites)
        table = np.asarray(edges, dtype=np.int64)
        table = table.reshape(0, 2) if table.size == 0 else table
        if table.ndim != 2 or table.shape[1] != 2:
            raise ValueError(f"Expected `edges` of shape (num_edges, 2); got {table.shape}.")
        is_pair = (table >= 0) & (table < num_sites)
        bad = ~np.all(is_pair, axis=1) | (table[:, 0] == table[:, 1])
        if bad.any():
            raise ValueError(
                f"`edges` must join two different sites below {num_sites}; got "
                f"{table[bad][0].tolist()}."
            )
        _, first, count = np.unique(
            np.sort(table, axis=1), axis=0, return_index=True, return_counts=True
        )
        if np.any(count > 1):
            raise ValueError(
                "`edges` must join two sites once; got "
                f"{table[first[count > 1][0]].tolist()} twice."
            )
        self._num_sites = int(num_sites)
        self._edges = table
        self._edges.setflags(write=False)

    @classmethod
    def lattice(cls, shape: tuple[int, ...], periodic: bool = True) -> "Graph":
        """A lattice of any dimension, whose sites are numbered row by row.

        Args:
            shape: Number of sites along each axis.
            periodic: Whether the ends of each axis are neighbours, which takes at least 3 sites.

        Returns:
            The graph.

        Raises:
            ValueError: If an axis is empty, or too short to be periodic.
        """
        shape = as_shape("shape", shape)
        if periodic:
            check_count("shape (of a periodic lattice)", min(shape, default=3), 3)
        number = np.arange(int(np.prod(shape))).reshape(shape)
        parts = [np.empty((0, 2), dtype=np.int64)]
        for axis, size in enumerate(shape):
            here = number if periodic else np.take(number, np.arange(size - 1), axis=axis)
            behind = np.roll(number, -1, axis=axis)
            behind = behind if periodic else np.take(behind, np.arange(size - 1), axis=axis)
            parts.append(np.stack([here.ravel(), behind.ravel()], axis=1))
        return cls(number.size, np.concatenate(parts))

    @classmethod
    def complete(cls, num_sites: int) -> "Graph":
        """The graph in which every site is a neighbour of every other."""
        return cls(num_sites, list(itertools.combinations(range(num_sites), 2)))

    @property
    def num_sites(self) -> int:
        """Number of sites."""
        return self._num_sites

    @property
    def num_edges(self) -> int:
        """Number of edges."""
        return len(self._edges)

    @property
    def edges(self) -> Int[np.ndarray, "num_edges 2"]:
        """The pairs of sites, as they were given."""
        return self._edges

    @functools.cached_property
    def _incident(self) -> list[list[tuple[int, int]]]:
        """Of each site its neighbours, each with the number of the edge."""
        incident: list[list[tuple[int, int]]] = [[] for _ in range(self.num_sites)]
        for edge, (left, right) in enumerate(self._edges.tolist()):
            incident[left].append((right, edge))
            incident[right].append((left, edge))
        return incident

    @functools.cached_property
    def colours(self) -> Int[np.ndarray, " num_sites"]:
        """A colour of each site, numbered from 0, which no neighbour of it has."""
        colours = np.full(self.num_sites, -1)
        for site in self._breadth_first():
            taken = {colours[other] for other, _ in self._incident[site]}
            colours[site] = next(colour for colour in itertools.count() if colour not in taken)
        return colours

    def _breadth_first(self) -> Iterable[int]:
        is_seen = np.zeros(self.num_sites, dtype=bool)
        for start in range(self.num_sites):
            if is_seen[start]:
                continue
            is_seen[start] = True
            queue = deque([start])
            while queue:
                site = queue.popleft()
                yield site
                for other, _ in self._incident[site]:
                    if not is_seen[other]:
                        is_seen[other] = True
                        queue.append(other)

    @functools.cached_property
    def blocks(self) -> Blocks:
        """The sites of each colour with their neighbours."""
        groups = [np.flatnonzero(self.colours == one) for one in range(self.colours.max() + 1)]
        block = max(map(len, groups))
        degree = max(map(len, self._incident))
        sites = np.full((len(groups), block), self.num_sites)
        neighbours = np.full((len(groups), block, degree), self.num_sites)
        edges = np.full((len(groups), block, degree), self.num_edges)
        for colour, group in enumerate(groups):
            sites[colour, : len(group)] = group
            for row, site in enumerate(group):
                for column, (other, edge) in enumerate(self._incident[site]):
                    neighbours[colour, row, column] = other
                    edges[colour, row, column] = edge
        return Blocks(sites, neighbours, edges)

    @functools.cached_property
    def _identity(self) -> tuple[int, bytes]:
        return self.num_sites, self._edges.tobytes()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __repr__(self) -> str:
        return f"Graph(num_sites={self.num_sites}, num_edges={self.num_edges})"
