"""Which questions of the report, and which tests, concern a changed file: a few, the nearest first."""

import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from validation.mutants.draw import area_of
from validation.mutants.nearness import Nearness

Catalogue = Mapping[str, Mapping[str, Mapping[str, Any]]]

_LINE, _PLANE, _HALF_LINE, _STATES = "tilted_double_well_1d", "banana", "gamma", "boltzmann_machine"
_PREFERRED = (_LINE, _STATES, "restricted_boltzmann_machine", "potts_chain", _HALF_LINE)
_FIRST_KIND = {"objectives": "objectives", "estimators": "estimators", "annealing": "estimators"}
_MOST = {"kernels": 2, "objectives": 3, "estimators": 2}
_FARTHEST = 4
"""Through how many imports a case may rest on a file that still concerns it."""
_FEW = 6
_BATCH = 3
"""Test files that share a process: its start costs as much as a quick file, and a failure ends it."""

_CHEAP_KERNELS = ("mala", "gibbs-with-gradients", "block-gibbs")


def questions_about(file: str, catalogue: Catalogue, nearness: Nearness) -> list[str]:
    """The questions that concern a changed file.

    Args:
        file: Path from the root of the checkout.
        catalogue: What can be asked about (see `ask.catalogue`).
        nearness: Of the checkout.
    """
    area = area_of(file)
    if area == "quadrature":
        energies = (_LINE, "beta", "gaussian_mixture_2d", _PLANE, _STATES)
        return [f"energy/{name}" for name in energies] + [f"kernel/mala/{_LINE}"]
    if area == "registration":
        return [f"energy/{name}" for name in (_LINE, _HALF_LINE, "beta", _STATES)] + [
            f"kernel/mala/{_HALF_LINE}"
        ]
    if area == "energies":
        asked = _about_targets(file, catalogue, nearness)
        return asked or _about_cases(file, "kernels", catalogue, nearness)
    first = _FIRST_KIND.get(area, "kernels")
    asked = ["loop"] if area == "objectives" and "loss" not in file else []
    for kind in sorted(_MOST, key=lambda kind: kind != first):
        found = _about_cases(file, kind, catalogue, nearness)
        if found:
            return [*found, *asked]
    return asked


def _about_cases(file: str, kind: str, catalogue: Catalogue, nearness: Nearness) -> list[str]:
    known = catalogue[kind]
    by_file: dict[str, list[str]] = {}
    for name, entry in known.items():
        by_file.setdefault(entry["files"][0], []).append(name)
    near = [
        case
        for case in nearness.nearest(file, by_file)
        if nearness.distances(case)[file] <= _FARTHEST
    ]
    chosen = [name for case in near for name in by_file[case]][: _MOST[kind]]
    if kind != "kernels":
        return [f"{kind.removesuffix('s')}/{name}" for name in chosen]
    asked = []
    for number, name in enumerate(chosen):
        targets = [target for target in _PREFERRED if target in known[name]["targets"]]
        asked += [f"kernel/{name}/{target}" for target in targets[: 2 - number]]
        if _LINE in targets:
            asked.append(f"claims/{name}")
    return asked


def _about_targets(file: str, catalogue: Catalogue, nearness: Nearness) -> list[str]:
    targets = catalogue["targets"]
    ranks = {}
    for name, entry in targets.items():
        distances = [nearness.distances(one).get(file) for one in entry["files"]]
        known = [distance for distance in distances if distance is not None]
        if known:
            ranks[name] = (min(known), entry["size"], name)
    asked = []
    for name in sorted(ranks, key=ranks.__getitem__)[:2]:
        asked.append(f"energy/{name}")
        kernels = (one for one in _CHEAP_KERNELS if name in catalogue["kernels"][one]["targets"])
        asked += [f"kernel/{kernel}/{name}" for kernel in kernels]
    return asked


def tests_about(file: str, root: pathlib.Path, nearness: Nearness) -> list[list[str]]:
    """Test files that a change of a file can reach, in batches: the next only if the last one passed.

    First those that name the file or import from it, then the rest of its folder, then the contracts of
    that kind. A file without a folder of tests has those that import from it.
    """
    everything = sorted(
        path.relative_to(root).as_posix() for path in (root / "tests").rglob("test_*.py")
    )
    near = nearness.nearest(file, everything)
    folder = f"tests/unit/{pathlib.PurePath(file).parent.name}/"
    stem = pathlib.PurePath(file).stem.strip("_")
    named = re.compile(rf"test_\w*{re.escape(stem)}\w*\.py")

    def is_named(test: str) -> bool:
        return named.fullmatch(pathlib.PurePath(test).name) is not None

    units = [test for test in near if test.startswith("tests/unit/")]
    direct = [test for test in units if file in nearness.of(test)]
    of_folder = [test for test in units if test.startswith(folder)] or direct or units[:_FEW]
    alone = file.count("/") == 1 or of_folder == direct  # without a folder of tests
    first = [
        test
        for test in everything
        if test in direct or is_named(test)
        if alone or test.startswith(folder)
    ]
    contracts = [
        test for test in near if "/contract/" in test and nearness.distances(test)[file] <= 2
    ]
    place = {test: number for number, test in enumerate(near)}
    first.sort(key=lambda test: (not is_named(test), place.get(test, len(place))))
    ordered = _unique([*first, *of_folder, *contracts, *direct])
    return [ordered[start : start + _BATCH] for start in range(0, len(ordered), _BATCH)]


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
