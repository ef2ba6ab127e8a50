"""The page about one fit."""

import dataclasses
import math

import jax
import numpy as np

from ebm_ppl.cli.fitting.draws import LARGEST_RHAT
from ebm_ppl.cli.fitting.pictures import course_panels, data_panels, energy_panels
from ebm_ppl.cli.fitting.recipes import ENERGIES, OBJECTIVES
from ebm_ppl.cli.fitting.run import HELD_OUT_LOSS, FitRun
from ebm_ppl.validation.report import _format
from ebm_ppl.validation.report.figures import Panel
from ebm_ppl.validation.report.html import environment

MAX_PARAMETERS = 20


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page: pictures, and a table."""

    title: str
    lead: str
    panels: list[Panel] = dataclasses.field(default_factory=list)
    heads: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = dataclasses.field(default_factory=list)


def render_fit(run: FitRun) -> str:
    """The page's text; it needs no network."""
    sections = [
        Section("The law over the data", _law_lead(run), data_panels(run)),
        Section(
            "What it learned",
            "Likelihoods are in nats a row, in the units of the data; the held-out rows were not trained on.",
            heads=("figure", "value"),
            rows=[(name, _format.number(value, digits=5)) for name, value in run.figures.items()],
        ),
        Section("How training went", _course_lead(run), course_panels(run)),
        Section(
            "Draws of the energy",
            "Four chains with replica exchange sample the trained energy. R-hat above "
            f"{LARGEST_RHAT} says that they disagree: the energy has modes between which they seldom move.",
            energy_panels(run),
        ),
    ]
    parameters = _parameters(run)
    if parameters is not None:
        sections.insert(2, parameters)
    return (
        environment()
        .get_template("fit.html.j2")
        .render(
            title="ebm_ppl fit",
            headline=_headline(run),
            sound=_is_sound(run),
            facts=[
                ENERGIES[run.trained.energy_name].summary,
                OBJECTIVES[run.trained.objective_name].summary,
                f"{len(run.trained.train):,} rows, {len(run.trained.held_out):,} held out",
                f"{int(run.trained.fit.state.step):,} steps",
                f"seed {run.trained.seed}",
                _format.duration(run.seconds),
            ],
            sections=sections,
        )
    )


def _is_sound(run: FitRun) -> bool:
    normalised = run.density is not None or run.trained.train.shape[1] > 2
    return normalised and _is_mixed(run) and run.figures["refused steps"] == 0


def _is_mixed(run: FitRun) -> bool:
    return run.figures["R-hat"] <= LARGEST_RHAT


def _headline(run: FitRun) -> str:
    what = ", ".join(run.trained.names)
    held_out = run.figures.get(HELD_OUT_LOSS)
    if run.density is None and run.trained.train.shape[1] <= 2:
        return f"The energy of {what} could not be normalised"
    if not _is_mixed(run):
        rhat = _format.number(run.figures["R-hat"], digits=3)
        return f"An energy of {what}, on whose law chains disagree: R-hat is {rhat}"
    if held_out is None or math.isnan(held_out):
        return f"An energy of {what}"
    return f"{what}: {_format.number(held_out, digits=4)} nats a held-out row"


def _law_lead(run: FitRun) -> str:
    if run.density is not None:
        return "The trained energy, normalised by quadrature, beside the data."
    return "Draws of the trained energy beside the data."


def _course_lead(run: FitRun) -> str:
    refused = run.trained.fit.num_refused
    if not refused:
        return "Every step was taken: nothing was ever not finite."
    return f"{refused} steps were refused, because something in them was not finite."


def _parameters(run: FitRun) -> Section | None:
    """The parameters with standard errors, of an energy that has few."""
    energy = run.trained.fit.energy.energy
    leaves = jax.tree_util.tree_leaves_with_path(energy)
    if sum(np.size(leaf) for _, leaf in leaves) > MAX_PARAMETERS:
        return None
    errors = jax.tree.leaves(run.trained.fit.standard_errors().energy)
    rows = []
    for (path, leaf), error in zip(leaves, errors, strict=True):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        for index in np.ndindex(np.shape(leaf)):
            label = name + (f"[{', '.join(map(str, index))}]" if index else "")
            value, spread = float(np.asarray(leaf)[index]), float(np.asarray(error)[index])
            if not math.isnan(spread):
                rows.append((label, _format.number(value, 4), _format.number(spread, 2)))
    return Section(
        "Parameters",
        "Of the energy in standardised coordinates, with sandwich standard errors.",
        heads=("parameter", "estimate", "standard error"),
        rows=rows,
    )
