"""Draws the picture of the home page from the code that stands there: `python docs/first_example.py`."""

import pathlib
import re
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

FOLDER = pathlib.Path(__file__).parent
SHOWN = 1000
"""Number of draws that are shown as dots."""


def main() -> None:
    """Run the page's first two blocks, which sample and normalise, and draw what they made."""
    page = (FOLDER / "index.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    made: dict[str, Any] = {}
    for block in blocks[:2]:
        exec(block, made)
    draw(made["truth"], np.asarray(made["draws"]), FOLDER / "first_example.png")


def draw(truth: Any, draws: np.ndarray, path: pathlib.Path) -> None:
    """Draw a density of two coordinates with its draws, shape (n, 2), and their first coordinate."""
    figure, (plane, line) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
    _plane(plane, truth, draws)
    _line(line, truth, draws)
    figure.savefig(path, dpi=130)


def _plane(axes: Any, truth: Any, draws: np.ndarray) -> None:
    ticks = np.linspace(-3.4, 3.4, 200)
    points = np.stack(np.meshgrid(ticks, ticks), axis=-1)
    axes.contourf(ticks, ticks, truth.density(points), levels=12, cmap="Blues")
    shown = draws[:: len(draws) // SHOWN]
    axes.plot(*shown.T, ".", color="tab:orange", markersize=2, label="draws")
    axes.set(title="density, and draws of NUTS", xlabel="$x_0$", ylabel="$x_1$", aspect="equal")


def _line(axes: Any, truth: Any, draws: np.ndarray) -> None:
    ticks = np.linspace(-3.4, 3.4, 400)
    axes.hist(draws[:, 0], bins=80, density=True, color="tab:orange", alpha=0.6, label="draws")
    axes.plot(ticks, truth.marginal(0).density(ticks), color="tab:blue", label="by quadrature")
    axes.set(title="first coordinate", xlabel="$x_0$", ylabel="density")
    axes.legend(frameon=False)


if __name__ == "__main__":
    main()
