"""One fit, its draws, and everything that a report says of them."""

import dataclasses
import time
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ebm_ppl._errors import NonFiniteEnergyError, NotNormalizableError
from ebm_ppl.cli.fitting.draws import draw
from ebm_ppl.cli.fitting.recipes import ENERGIES, OBJECTIVES, optimizer_for
from ebm_ppl.cli.fitting.table import Table
from ebm_ppl.energies import AbstractEnergy, AffineEnergy
from ebm_ppl.quadrature import QuadratureDensity, normalize
from ebm_ppl.trainers import Checkpoint, Fit, Units, fit
from ebm_ppl.validation import diagnostics

HELD_OUT = 0.1
"""Share of the rows that training does not see, for the held-out likelihood."""

NUM_CHAINS, NUM_WARMUP, NUM_DRAWS = 4, 500, 1000
EMA_DECAY = 0.999

_LEAST_REST = 1e-5
"""Least spread of a column about its regression on others, in standard deviations; float32 loses more."""

HELD_OUT_LOSS = "negative log likelihood, held out"
"""The figure by which fits of the same data compare."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained energy, which is worth saving before anything is found out about it.

    Attributes:
        names: Names of the columns.
        energy: The trained energy, in the units of the data.
        energy_name: Name of its family.
        objective_name: Name of the objective.
        fit: The fit, whose state and examples are in standard units.
        train: Rows that training saw, shape `(num_rows, dim)`.
        held_out: Rows that it did not see.
        seed: Seed of all random keys.
        began: Clock when it began, of `time.perf_counter`.
    """

    names: tuple[str, ...]
    energy: AffineEnergy
    energy_name: str
    objective_name: str
    fit: Fit
    train: np.ndarray
    held_out: np.ndarray
    seed: int
    began: float


@dataclasses.dataclass(frozen=True)
class FitRun:
    """A trained energy with what was found out about it.

    Attributes:
        trained: The trained energy.
        draws: Draws of the energy by the default kernel of `sample`, shape `(num_chains, num_samples, dim)`.
        density: The normalised energy in standard units, where quadrature serves; `None` with more than two
            columns. A scan for mass from 0 on, as quadrature makes it, would miss a spread of 1 at 1e9.
        figures: Named numbers: held-out negative log likelihood, log Z, R-hat, ESS, ...
        seconds: Wall-clock time.
    """

    trained: Trained
    draws: np.ndarray
    density: QuadratureDensity | None
    figures: Mapping[str, float]
    seconds: float

    @property
    def units(self) -> Units:
        """Means and standard deviations of the rows that training saw."""
        return Units.within(self.trained.energy)

    @property
    def energies_of_data(self) -> np.ndarray:
        """Energy of each row that training saw."""
        return self._energies(self.units.standardise(self._points(self.trained.train)))

    @property
    def energies_of_draws(self) -> np.ndarray:
        """Energies of independent draws where quadrature gives them, of the chains elsewhere."""
        if self.density is None:
            return self._energies(self.units.standardise(self._points(self.draws)))
        key = jax.random.key(self.trained.seed)
        return self._energies(self.density.sample(key, (self.draws[..., 0].size,)))

    def _points(self, rows: np.ndarray) -> np.ndarray:
        return rows.reshape(-1, *self.trained.energy.event_shape)

    def _energies(self, points: np.ndarray) -> np.ndarray:
        return np.asarray(
            _energies(self.trained.energy.energy, jnp.asarray(points, float)), np.float64
        )


def train(
    table: Table,
    energy_name: str,
    objective_name: str,
    *,
    num_steps: int,
    batch_size: int | None = None,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    progress_bar: bool = True,
) -> Trained:
    """Standardise a table, hold some of it out and train an energy on the rest.

    Args:
        table: The data.
        energy_name: A key of `ENERGIES`.
        objective_name: A key of `OBJECTIVES`.
        num_steps: Number of training steps.
        batch_size: Examples of a step; the smaller of 256 and all by default.
        seed: Seed of all random keys.
        checkpoint: File from which a stopped run goes on.
        progress_bar: Whether to show progress.

    Returns:
        The trained energy.

    Raises:
        ValueError: If the energy or objective does not take so many columns, or one is a linear function of
            others.
        OSError: If the checkpoint's place cannot be written, or another process has it.
        TrainingDivergedError: If training met one non-finite thing after another.
    """
    began = time.perf_counter()
    recipe, objective_recipe = ENERGIES[energy_name], OBJECTIVES[objective_name]
    dim = table.values.shape[1]
    for kind, name, limit in (
        ("energy", energy_name, recipe.max_columns),
        ("objective", objective_name, objective_recipe.max_columns),
    ):
        if limit is not None and dim > limit:
            raise ValueError(f"`{kind}` {name!r} takes at most {limit} column(s); got {dim}.")
    _refuse_collinear(table)
    key_split, key_energy, key_fit, _ = jax.random.split(jax.random.key(seed), 4)
    rows = np.asarray(jax.random.permutation(key_split, len(table.values)))
    count = max(1, round(HELD_OUT * len(rows)))
    held_out, seen = table.values[rows[:count]], table.values[rows[count:]]
    start = recipe.make(dim, key_energy)
    shape = start.event_shape
    result = fit(
        start,
        seen.reshape(-1, *shape),
        objective_recipe.make(shape),
        optimizer_for(recipe, num_steps),
        rng_key=key_fit,
        num_steps=num_steps,
        batch_size=batch_size,
        ema_decay=EMA_DECAY,
        checkpoint=checkpoint,
        standardise=True,
        progress_bar=progress_bar,
    )
    return Trained(
        names=table.names,
        energy=result.energy,
        energy_name=energy_name,
        objective_name=objective_name,
        fit=result,
        train=seen,
        held_out=held_out,
        seed=seed,
        began=began,
    )


def examine(trained: Trained) -> FitRun:
    """Draw from a trained energy, normalise it where quadrature serves, and hold it against the data.

    Args:
        trained: The energy.

    Returns:
        The run.
    """
    draws = draw(trained.energy, None, NUM_DRAWS, NUM_WARMUP, NUM_CHAINS, trained.seed)
    density = _normalised(trained.fit) if trained.train.shape[1] <= 2 else None
    return FitRun(
        trained=trained,
        draws=draws,
        density=density,
        figures=_figures(trained.fit, density, trained.train, trained.held_out, draws),
        seconds=time.perf_counter() - trained.began,
    )


def _refuse_collinear(table: Table) -> None:
    """Refuse a column that the ones before it determine: the likelihood of its rest has no maximum."""
    columns = (table.values - table.values.mean(axis=0)) / table.values.std(axis=0)
    rest = np.abs(np.diag(np.linalg.qr(columns / np.sqrt(len(columns)), mode="r")))
    if len(rest) < columns.shape[1] or rest.min() < _LEAST_REST:
        column = len(rest) if rest.min() >= _LEAST_REST else int(np.argmax(rest < _LEAST_REST))
        others = ", ".join(map(repr, table.names[:column]))
        raise ValueError(
            "`data` must have columns of which none follows from the others; got "
            f"{table.names[column]!r}, a linear function of {others} up to rounding. Leave it out with "
            "`--columns`."
        )


@eqx.filter_jit
def _energies(energy: AbstractEnergy, points: jax.Array) -> jax.Array:
    return jax.vmap(energy)(points)


def log_density(density: QuadratureDensity, units: Units, rows: np.ndarray) -> np.ndarray:
    """Log density of rows in the units of the data, of a density in standard units."""
    points = units.standardise(rows.reshape(-1, *density.energy.event_shape))
    return density.log_density(points) - units.log_scale


def column_density(
    density: QuadratureDensity, units: Units, column: int, x: np.ndarray
) -> np.ndarray:
    """Density of one column in the units of the data, likewise."""
    loc, scale = units.loc.ravel()[column], units.scale.ravel()[column]
    return density.marginal(column).density((x - loc) / scale) / scale


def _normalised(result: Fit) -> QuadratureDensity | None:
    try:
        return normalize(result.energy.energy)
    except (NotNormalizableError, NonFiniteEnergyError):
        return None  # the report says so


def _figures(
    result: Fit,
    density: QuadratureDensity | None,
    train: np.ndarray,
    held_out: np.ndarray,
    draws: np.ndarray,
) -> dict[str, float]:
    worst = [diagnostics.convergence(draws[:, :, k]) for k in range(draws.shape[2])]
    mixing = {
        "R-hat": max(one.rhat for one in worst),
        "bulk ESS": min(one.ess_bulk for one in worst),
        "tail ESS": min(one.ess_tail for one in worst),
        "refused steps": float(result.num_refused),
    }
    learned = {}
    if isinstance(result.learned, dict) and "log_z" in result.learned:
        learned["log Z, learned"] = float(result.learned["log_z"])
    if density is None:
        return learned | mixing
    units = Units.within(result.energy)

    def loss(rows: np.ndarray) -> tuple[float, float]:
        values = -log_density(density, units, rows)
        return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))

    held, error = loss(held_out) if len(held_out) > 1 else (np.nan, np.nan)
    likelihoods = {
        HELD_OUT_LOSS: held,
        "its standard error": error,
        "negative log likelihood of a normal law, held out": _normal_loss(train, held_out),
        "negative log likelihood, training": loss(train)[0],
        "log Z": density.log_z + units.log_scale,
    }
    return likelihoods | learned | mixing


def _normal_loss(train: np.ndarray, held_out: np.ndarray) -> float:
    """Held-out loss of the normal law with the training data's moments: what an energy has to beat."""
    centred = held_out - train.mean(axis=0)
    covariance = np.atleast_2d(np.cov(train.T))
    _, log_det = np.linalg.slogdet(2 * np.pi * covariance)
    squares = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(covariance), centred)
    return float(0.5 * (squares.mean() + log_det))
