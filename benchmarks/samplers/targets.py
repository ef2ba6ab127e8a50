"""Targets of the benchmark: potentials whose first two moments are known."""

import itertools
import json
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import NUTS

import ebm_ppl as ebm
from ebm_ppl.energies import Banana, DoubleWell, Quartic
from ebm_ppl.validation.chains import batch_functions
from ebm_ppl.validation.diagnostics import convergence

_LOGISTIC_MOMENTS = pathlib.Path(__file__).with_name("logistic_moments.json")


class Target(NamedTuple):
    """A potential on `dim` real coordinates.

    Attributes:
        name: Its name in the table.
        potential: Potential energy of a position of shape `(dim,)`.
        dim: Number of coordinates.
        moments: Means of all coordinates and of their squares, shape `(2, dim)`.
        errors: Standard errors of these, of the same shape, where they are estimates; 0 by default.
        patience: How many times as many draws chains need to meet the bound on R-hat, which asks
            about a hundred effective ones of each.
    """

    name: str
    potential: Callable[[jax.Array], jax.Array]
    dim: int
    moments: np.ndarray
    patience: int = 1
    errors: np.ndarray | float = 0.0


def quartic() -> Target:
    """Two equal modes on the line, with moments by quadrature."""
    return _by_quadrature("1-D quartic", Quartic())


def double_well() -> Target:
    """Two wells in the plane, with moments by quadrature."""
    return _by_quadrature("2-D double well", DoubleWell(dim=2))._replace(patience=5)


def _by_quadrature(name: str, energy: ebm.energies.AbstractEnergy) -> Target:
    density = ebm.quadrature.normalize(energy)
    dim = energy.event_size

    def mean(power: int) -> np.ndarray:
        return np.atleast_1d(density.expectation(lambda x: x**power))

    potential = ebm.potential_fn(energy)
    shaped = lambda z: potential(z.reshape(energy.event_shape))  # noqa: E731
    return Target(name, shaped, dim, np.stack([mean(1), mean(2)]))


def gaussian(dim: int = 100, condition: float = 1e3) -> Target:
    """A normal law whose covariance has the given condition number, along random directions."""
    directions, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(dim, dim)))
    variances = np.geomspace(1.0, condition, dim)
    precision = jnp.asarray((directions / variances) @ directions.T, jnp.float32)
    covariance = (directions * variances) @ directions.T
    return Target(
        f"{dim}-D normal, condition {condition:g}",
        lambda z: 0.5 * z @ (precision @ z),
        dim,
        np.stack([np.zeros(dim), np.diag(covariance)]),
    )


def mixture(dim: int = 50, distance: float = 4.0) -> Target:
    """Two normal laws with weights 0.7 and 0.3, whose means lie `distance` standard deviations apart."""
    shift = np.zeros(dim)
    shift[0] = distance / 2

    def potential(z: jax.Array) -> jax.Array:
        near = jnp.log(0.7) - 0.5 * jnp.sum((z - shift) ** 2)
        return -jnp.logaddexp(near, jnp.log(0.3) - 0.5 * jnp.sum((z + shift) ** 2))

    moments = np.stack([0.4 * shift, 1 + shift**2])
    return Target(f"{dim}-D mixture of two, {distance:g} apart", potential, dim, moments)


def separate() -> Target:
    """The mixture at a distance at which local moves hardly ever cross."""
    return mixture(distance=8.0)._replace(patience=2)


def rosenbrock(num_pairs: int = 5) -> Target:
    """Independent bananas, with the moments of their normal factors."""
    energy = Banana()
    one = ebm.potential_fn(energy)
    a, b, s = float(energy.a), float(energy.b), float(energy.scale)
    second = a**2 + s**2
    fourth = a**4 + 6 * a**2 * s**2 + 3 * s**4
    pair = np.array([[a, second], [second, fourth + 0.5 / b]])
    return Target(
        f"{2 * num_pairs}-D Rosenbrock",
        lambda z: jnp.sum(jax.vmap(one)(z.reshape(num_pairs, 2))),
        2 * num_pairs,
        np.tile(pair, num_pairs),
    )


def logistic_regression() -> Target:
    """Tumours by 30 standardised features, with the moments in `logistic_moments.json`."""
    potential, dim = _tumours()
    known = json.loads(_LOGISTIC_MOMENTS.read_text())
    moments, errors = (np.array(known[part]) for part in ("moments", "errors"))
    return Target("logistic regression", potential, dim, moments, errors=errors)


def _tumours() -> tuple[Callable[[jax.Array], jax.Array], int]:
    """Potential of the regression with standard normal priors, and its dimension."""
    from sklearn.datasets import load_breast_cancer

    features, is_benign = load_breast_cancer(return_X_y=True)
    features = (features - features.mean(0)) / features.std(0)
    design = jnp.asarray(np.column_stack([np.ones(len(features)), features]), jnp.float32)
    sign = jnp.asarray(2.0 * is_benign - 1, jnp.float32)

    def potential(z: jax.Array) -> jax.Array:
        return jnp.sum(jax.nn.softplus(-sign * (design @ z))) + 0.5 * jnp.sum(z**2)

    return potential, design.shape[1]


def _estimate_logistic_moments() -> None:
    """Write the moments of the regression, by four chains of NumPyro's NUTS with 40,000 draws each."""
    potential, dim = _tumours()
    init, sample = batch_functions(NUTS(potential_fn=potential), True, num_warmup=2000)

    @jax.jit
    def run(rng_key: jax.Array) -> jax.Array:
        state = init(jax.random.split(rng_key, 4), jnp.zeros((4, dim)))
        state = jax.lax.fori_loop(0, 2000, lambda _, state: sample(state), state)
        return jax.lax.scan(lambda s, _: ((s := sample(s)), s.z), state, None, length=40_000)[1]

    draws = np.asarray(run(jax.random.key(2026)), np.float64).swapaxes(0, 1)
    moments, errors = np.empty((2, dim)), np.empty((2, dim))
    for power, index in itertools.product((1, 2), range(dim)):
        values = draws[..., index] ** power
        moments[power - 1, index] = values.mean()
        errors[power - 1, index] = convergence(values).mcse_mean
    known = {"moments": moments.round(6).tolist(), "errors": errors.round(6).tolist()}
    _LOGISTIC_MOMENTS.write_text(json.dumps(known, indent=1) + "\n")


TARGETS = {
    "quartic": quartic,
    "double-well": double_well,
    "gaussian": gaussian,
    "mixture": mixture,
    "separate": separate,
    "rosenbrock": rosenbrock,
    "logistic": logistic_regression,
}


if __name__ == "__main__":
    _estimate_logistic_moments()
