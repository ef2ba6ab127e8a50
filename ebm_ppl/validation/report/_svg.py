"""One small inline SVG a picture; colours and fonts are the page's."""

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Matplotlib draws in these marker colours; the page replaces each by a CSS variable, so that one
# picture serves light and dark mode, screen and paper.
INK, MUTED, FILL, BAND = "#a10001", "#a10002", "#a10003", "#a10004"
CHAINS = ("#a10011", "#a10012", "#a10013", "#a10014")
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    FILL: "var(--fill)",
    BAND: "var(--band)",
    **{colour: f"var(--chain-{index})" for index, colour in enumerate(CHAINS, start=1)},
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 8.5,
    "axes.linewidth": 0.6,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "path.simplify": True,
}


def render(draw: Callable[[Axes], None], salt: str, *, bare: bool = False) -> str:
    """Draw one panel.

    Args:
        draw: Puts the contents on the axes.
        salt: Unique within the page; keeps the identifiers inside its SVGs apart.
        bare: Whether to leave out the axes.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": salt}):
        return _for_page(_draw(draw, bare))


def _draw(draw: Callable[[Axes], None], bare: bool) -> str:
    figure = Figure(figsize=(3.3, 2.0))
    FigureCanvasSVG(figure)
    ax = figure.add_axes((0.0, 0.02, 1.0, 0.96) if bare else (0.115, 0.2, 0.865, 0.77))
    ax.patch.set_visible(False)
    figure.patch.set_visible(False)
    ax.spines[["top", "right"]].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_locator(MaxNLocator(4))
    draw(ax)
    if bare:
        ax.set_axis_off()
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _for_page(svg: str) -> str:
    """Strip what an inline SVG does not need, and hand its colours and fonts to the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' width="[\d.]+pt" height="[\d.]+pt"', "", svg, count=1)
    svg = re.sub(r' id="[\w.]+_\d+"', "", svg)
    # Matplotlib's releases differ in whether they write `font` or its parts.
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r"; font-family: [^;\"]*", "", svg)
    svg = re.sub(r"(\.\d\d)\d+", r"\1", svg)
    svg = re.sub(r"\s*\n\s*", " ", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
