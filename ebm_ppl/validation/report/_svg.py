"""One small inline SVG a picture; colours and fonts are the page's."""

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ebm_ppl._text import printable

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
_X, _Y = "axis-x", "axis-y"
"""What stands for the labels of the axes while Matplotlib draws."""

_LONGEST_LABEL = 48
"""Characters; more would leave the picture."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.usetex": False,
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


def render(
    draw: Callable[[Axes], None], salt: str, *, bare: bool = False, x: str = "", y: str = ""
) -> str:
    """Draw one panel.

    Args:
        draw: Puts the contents on the axes.
        salt: Unique within the page; keeps the identifiers inside its SVGs apart.
        bare: Whether to leave out the axes.
        x: Label of the horizontal axis; may come from a file.
        y: Label of the vertical axis, likewise.
    """

    def labelled(ax: Axes) -> None:
        draw(ax)
        ax.set_xlabel(_X if x else "")
        ax.set_ylabel(_Y if y else "")

    with mpl.rc_context({**_STYLE, "svg.hashsalt": salt}):
        svg = _for_page(_draw(labelled, bare))
    # Matplotlib would read `$` as mathematics and look for glyphs, and the page rewrites numbers and colours.
    parts = re.split(f"({_X}|{_Y})", svg)
    labels = {_X: x, _Y: y}
    return "".join(_text(labels[part]) if part in labels else part for part in parts)


def _text(label: str) -> str:
    """A label as the text of an element."""
    return str(escape(printable(label, _LONGEST_LABEL)))


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
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
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
