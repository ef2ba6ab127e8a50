"""Which files rest on a changed one, and how closely."""

import functools
import pathlib
from collections.abc import Iterable

from validation.imports import Imports


class Nearness:
    """Files of a checkout by what they rest on.

    Args:
        root: Root of the checkout.
    """

    def __init__(self, root: pathlib.Path) -> None:
        self._imports = Imports(root)

    @functools.cache  # noqa: B019 (one of these lives as long as a run)
    def of(self, file: str) -> frozenset[str]:
        """The files that one file rests on directly; what packages pass on counts, they do not."""
        named = self._imports.named_in(file).modules
        paths = {self._imports.modules[m] for m in named if not self._imports.is_package(m)}
        return frozenset(paths - {file})

    def distances(self, file: str) -> dict[str, int]:
        """The files that one file rests on, at most through others, and through how many imports."""
        reached, edge, distance = {file: 0}, [file], 0
        while edge:
            distance += 1
            edge = [near for one in edge for near in self.of(one) if near not in reached]
            edge = list(dict.fromkeys(edge))
            reached |= dict.fromkeys(edge, distance)
        return reached

    def nearest(self, file: str, candidates: Iterable[str]) -> list[str]:
        """Those candidates that rest on a file: the nearest first, then those that rest on least."""
        ranks = {}
        for candidate in candidates:
            distances = self.distances(candidate)
            if file in distances:
                ranks[candidate] = (distances[file], len(distances), candidate)
        return sorted(ranks, key=ranks.__getitem__)
