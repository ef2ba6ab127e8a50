"""`fit` and the command line on data that are hard to hold in floats: whether the law is that of the rows."""

import contextlib
import io
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import optax
from click.testing import CliRunner

from ebm_ppl._types import PRNGKey
from ebm_ppl.cli import main as command_line
from ebm_ppl.energies import Gaussian
from ebm_ppl.quadrature import normalize
from ebm_ppl.trainers import ScoreMatching, fit
from ebm_ppl.validation.hard_problems import DATA_FAMILIES, HardData
from validation.silent_failures.functions import Function

_SHARE = 0.1
"""Share of a standard deviation by which mean and spread may be off: what training leaves."""

_OBJECTIVE, _OPTIMIZER = ScoreMatching(), optax.adam(optax.cosine_decay_schedule(0.05, 1500))
_START = {dim: Gaussian(jnp.zeros(dim), jnp.eye(dim)) for dim in (1, 2, 3)}


def _agrees(data: HardData, mean: np.ndarray, sd: np.ndarray) -> bool:
    allowed = _SHARE * data.sd
    return bool(
        np.all(np.abs(mean - data.mean) <= allowed) & np.all(np.abs(sd - data.sd) <= allowed)
    )


def _fit(data: HardData, rng_key: PRNGKey) -> bool:
    found = fit(
        _START[data.mean.size],
        data.rows,
        _OBJECTIVE,
        _OPTIMIZER,
        num_steps=1500,
        rng_key=rng_key,
        standardise=True,
        progress_bar=False,
    )
    density = normalize(found.energy)
    return _agrees(data, density.mean(), np.sqrt(density.variance()))


def _fit_and_sample(data: HardData, rng_key: PRNGKey) -> bool:
    """`ebm-ppl fit`, then `ebm-ppl sample`; a status other than 0 is a refusal, and so is a warning."""
    seed = str(int(jax.random.randint(rng_key, (), 0, 2**31 - 1)))
    with tempfile.TemporaryDirectory() as folder:
        table, model, draws = (pathlib.Path(folder) / name for name in ("d.csv", "m.eqx", "x.csv"))
        _write(table, data)
        learn = ["fit", str(table), "--energy", "gaussian", "--steps", "1500", "--objective"]
        _call([*learn, "score-matching", "--out", str(model), "--seed", seed])
        _call(["sample", str(model), "--out", str(draws), "--seed", seed])
        values = np.loadtxt(draws, delimiter=",", skiprows=1, ndmin=2)[:, -data.mean.size :]
    away = values - data.mean
    return _agrees(data, data.mean + away.mean(axis=0), away.std(axis=0))


def _write(path: pathlib.Path, data: HardData) -> None:
    names = ",".join(f"c{k}" for k in range(data.mean.size))
    hidden = np.ma.getmaskarray(data.rows)
    lines = [
        ",".join("" if gone else repr(float(value)) for value, gone in zip(row, mask, strict=True))
        for row, mask in zip(np.ma.getdata(data.rows), hidden, strict=True)
    ]
    path.write_text("\n".join([names, *lines]) + "\n")


def _call(arguments: list[str]) -> None:
    with contextlib.redirect_stderr(io.StringIO()):
        result = CliRunner().invoke(command_line, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code != 0 or "Warning" in result.output:
        raise ValueError(result.output)


_FAMILIES = {name: family.dims for name, family in DATA_FAMILIES.items()}

FIT = (Function("fit", _fit, _FAMILIES),)
COMMAND_LINE = (Function("ebm-ppl fit, sample", _fit_and_sample, _FAMILIES),)
