"""Which changes are asked: areas of the package by turns, so that each is represented."""

import pathlib
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence

from validation.mutants.changes import Change, changes_of, is_a_program

AREAS = {
    "kernels": ("ebm_ppl/samplers",),
    "objectives": ("ebm_ppl/trainers",),
    "estimators": ("ebm_ppl/partition",),
    "quadrature": ("ebm_ppl/quadrature",),
    "energies": ("ebm_ppl/energies",),
    "annealing": ("ebm_ppl/annealing",),
    "registration": ("ebm_ppl/potentials.py", "ebm_ppl/distribution.py"),
    "doubly intractable": ("ebm_ppl/doubly_intractable",),
    "streaming": ("ebm_ppl/streaming",),
    "generator": ("ebm_ppl/_random.py",),
}

ROUND = (*AREAS, "kernels", "kernels", "objectives", "estimators", "quadrature", "energies")
"""How often each area comes in one round; those with many files come more often."""


def area_of(file: str) -> str:
    """The area that a file belongs to; empty if it holds none of the mathematics."""
    for area, places in AREAS.items():
        if any(file == place or file.startswith(f"{place}/") for place in places):
            return area
    return ""


def files_of(root: pathlib.Path, area: str) -> list[str]:
    """The files of an area, by their paths from the root of the checkout."""
    found: list[pathlib.Path] = []
    for place in AREAS[area]:
        path = root / place
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return [path.relative_to(root).as_posix() for path in found if path.name != "__init__.py"]


def all_changes(root: pathlib.Path, areas: Sequence[str] = tuple(AREAS)) -> dict[str, list[Change]]:
    """Every change of the areas, by area."""
    return {
        area: [
            change
            for file in files_of(root, area)
            for change in changes_of(file, (root / file).read_bytes())
        ]
        for area in areas
    }


def draw(root: pathlib.Path, seed: int, changes: dict[str, list[Change]]) -> Iterator[Change]:
    """Changes at random without end in sight: a longer sample begins with the shorter one.

    Areas come by rounds, in random order. Within an area the kind of the change is drawn first, so that
    the many operators do not outnumber the few axes.

    Args:
        root: Root of the checkout.
        seed: Seed of the draw.
        changes: What is drawn from, by area.
    """
    generator = random.Random(seed)
    pools: dict[str, dict[str, list[Change]]] = {}
    for area, found in changes.items():
        pools[area] = defaultdict(list)
        for change in found:
            pools[area][change.kind].append(change)
    while any(pools.values()):
        areas = [area for area in ROUND if area in pools]
        generator.shuffle(areas)
        for area in areas:
            change = _draw_one(generator, pools[area], root)
            if change is not None:
                yield change


def _draw_one(
    generator: random.Random, pool: dict[str, list[Change]], root: pathlib.Path
) -> Change | None:
    while pool:
        kind = generator.choice(sorted(pool))
        change = pool[kind].pop(generator.randrange(len(pool[kind])))
        if not pool[kind]:
            del pool[kind]
        if is_a_program(change, (root / change.file).read_bytes()):
            return change
    return None
