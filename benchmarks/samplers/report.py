"""The table, the ratios and the picture of the benchmark of samplers."""

import math
import pathlib
from typing import Any

from matplotlib.figure import Figure

OURS, NUMPYRO, BLACKJAX = "ebm_ppl", "NumPyro", "BlackJAX"
LARGEST_ERROR, LARGEST_R_HAT = 4.0, 1.01
_COLOURS = {OURS: "#1b6ca8", NUMPYRO: "#c1666b", BLACKJAX: "#7a7a7a"}
_HEADINGS = (
    "library",
    "sampler",
    "chains",
    "ESS / CPU s",
    "ESS",
    "error",
    "R-hat",
    "first run, CPU s",
)

Row = dict[str, Any]
"""One sampler on one target: its names, its figures, and whether they count."""


def as_cells(row: Row) -> str:
    """A line of the table of a target; what does not count stands in brackets."""
    rate = f"{row['rate']:.3g}" if row["counts"] else f"({row['rate']:.3g})"
    cells = (row["library"], row["sampler"], str(row["chains"]), rate, f"{row['ess']:.0f}")
    cells += (f"{row['error']:.1f}", f"{row['r_hat']:.3f}", f"{row['first_run_seconds']:.1f}")
    return "| " + " | ".join(cells) + " |"


def table(title: str, rows: list[Row]) -> str:
    """The table of a target."""
    head = f"| {' | '.join(_HEADINGS)} |\n|{' --- |' * len(_HEADINGS)}"
    return f"\n### {title}\n\n{head}\n" + "\n".join(as_cells(row) for row in rows) + "\n"


def best(rows: list[Row], library: str, chains: int | None = None) -> Row | None:
    """The fastest sampler of a library that counts, among those with so many chains if a number is given."""
    fit = [
        row
        for row in rows
        if row["library"] == library and row["counts"] and chains in (None, row["chains"])
    ]
    return max(fit, key=lambda row: row["rate"], default=None)


def ratios(results: dict[str, list[Row]]) -> dict[str, dict[str, float | None]]:
    """How many times as fast as the peers' best ours is, by target: any chains, 64 chains, four chains."""
    contests = {
        "NumPyro": (None, NUMPYRO, None),
        "NumPyro, ours with 64 chains": (64, NUMPYRO, None),
        "NumPyro, both with 4 chains": (4, NUMPYRO, 4),
        "BlackJAX": (None, BLACKJAX, None),
    }
    found: dict[str, dict[str, float | None]] = {}
    for contest, (our_chains, peer, their_chains) in contests.items():
        found[contest] = {}
        for target, rows in results.items():
            ours, theirs = best(rows, OURS, our_chains), best(rows, peer, their_chains)
            found[contest][target] = ours["rate"] / theirs["rate"] if ours and theirs else None
    return found


def geometric_mean(values: list[float]) -> float:
    """The geometric mean of positive numbers."""
    return math.exp(sum(map(math.log, values)) / len(values))


def ratio_table(results: dict[str, list[Row]]) -> str:
    """The ratios as a table, with the geometric mean over the targets on which both sides count."""
    targets = list(results)
    lines = [
        f"| our best over the best of | {' | '.join(targets)} | geometric mean |",
        f"|{' --- |' * (len(targets) + 2)}",
    ]
    for contest, by_target in ratios(results).items():
        known = [value for value in by_target.values() if value is not None]
        if not known:
            continue
        cells = ["–" if value is None else f"{value:.3g}" for value in by_target.values()]
        lines.append(f"| {contest} | {' | '.join(cells)} | {geometric_mean(known):.3g} |")
    return "\n### Ratios\n\n" + "\n".join(lines) + "\n"


def picture(results: dict[str, list[Row]], titles: dict[str, str], path: pathlib.Path) -> None:
    """A panel for each target with a dot for each sampler, hollow where its figure does not count."""
    height = sum(0.24 * len(rows) + 0.75 for rows in results.values())
    figure = Figure(figsize=(8, height), layout="constrained")
    panels = figure.subplots(
        len(results),
        1,
        squeeze=False,
        gridspec_kw={"height_ratios": [len(rows) + 2 for rows in results.values()]},
    )[:, 0]
    for axes, (target, rows) in zip(panels, results.items(), strict=True):
        ordered = sorted(rows, key=lambda row: row["rate"])
        for height, row in enumerate(ordered):
            colour = _COLOURS[row["library"]]
            face = colour if row["counts"] else "none"
            axes.plot(row["rate"], height, "o", color=colour, markerfacecolor=face, markersize=6)
        names = [f"{row['library']} {row['sampler']}, {row['chains']}" for row in ordered]
        axes.set_yticks(range(len(ordered)), names, fontsize=8)
        for label, row in zip(axes.get_yticklabels(), ordered, strict=True):
            label.set_color(_COLOURS[row["library"]])
        axes.set_xscale("log")
        axes.set_ylim(-0.7, len(ordered) - 0.3)
        axes.grid(axis="x", color="#dddddd", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_title(titles[target], loc="left", fontsize=10)
    panels[-1].set_xlabel(
        "smallest effective sample size of first and second moments, per CPU second"
    )
    figure.savefig(path, dpi=120)
