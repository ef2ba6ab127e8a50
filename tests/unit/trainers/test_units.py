"""An offset takes no digits of a spread: data are standardised in double precision, or refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ebm_ppl as ebm
from ebm_ppl.energies import ConditionalGaussian, Gaussian, Quartic
from ebm_ppl.trainers import Model, Units, Validation, as_batch, newton

X = np.random.default_rng(0).normal(size=400)
LINE = Gaussian([0.0], [[1.0]])


@pytest.mark.parametrize(("offset", "spread"), [(1e5, 1.0), (-1e9, 1.0), (1e6, 1e-2), (1e-1, 1e-6)])
@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
def test_a_spread_that_floats_do_not_resolve_is_refused(offset, spread, kind):
    data = kind(offset + spread * X)
    if np.ptp(np.asarray(data)) > 0:  # at 1e9 all digits may be gone before
        with pytest.raises(
            ValueError, match=r"`data` must have a spread .* column 0.*standardise=True"
        ):
            as_batch(Quartic(), data)


@pytest.mark.parametrize(
    ("offset", "spread"), [(0.0, 1e-30), (1e4, 1.0), (1e9, 1e6), (-1e-6, 1e-6)]
)
def test_a_spread_that_floats_resolve_is_not(offset, spread):
    assert as_batch(Quartic(), offset + spread * X).num_examples == len(X)


def test_integers_and_conditions_are_looked_at_too():
    with pytest.raises(ValueError, match="`data` must have a spread"):
        as_batch(Quartic(), 10**8 + np.arange(5))
    pairs = ConditionalGaussian([[1.0]], [0.0], [[1.0]])
    with pytest.raises(ValueError, match=r"`condition` must have a spread .* Subtract its mean"):
        as_batch(pairs, X[:, None], 1e7 + X[:, None])


def test_doubles_resolve_more_but_not_all():
    with jax.enable_x64(True):
        assert as_batch(Quartic(), 1e9 + X).num_examples == len(X)
        with pytest.raises(ValueError, match="where the numbers are made"):
            as_batch(Quartic(), 1e15 + X)


def _fitted(data, **options):
    return ebm.fit(
        LINE,
        data[:, None],
        ebm.ScoreMatching(),
        newton(),
        num_steps=8,
        batch_size=len(data),
        rng_key=jax.random.key(0),
        progress_bar=False,
        **options,
    )


@pytest.mark.parametrize(("offset", "spread"), [(0.0, 1.0), (1e9, 2.0), (1e6, 1e-2)])
def test_a_standardised_fit_finds_the_moments_in_double_precision(offset, spread):
    data = offset + spread * X
    fit = _fitted(data, standardise=True)
    loc, scale = fit.energy.constants
    inner = fit.energy.energy
    np.testing.assert_allclose(
        loc + scale * float(inner.loc[0]), data.mean(), rtol=1e-15, atol=1e-6
    )
    found = scale * abs(float(inner.whitening[0, 0])) ** -1
    np.testing.assert_allclose(found, data.std(), rtol=1e-5)


def test_standard_errors_are_those_in_standard_units():
    offset = _fitted(1e9 + 2.0 * X, standardise=True).standard_errors().energy
    plain = _fitted((X - X.mean()) / X.std()).standard_errors().energy
    np.testing.assert_allclose(offset.loc, plain.loc, rtol=1e-3)


def test_a_learned_log_z_is_that_of_the_units_of_the_data():
    units = Units(np.array([1e9]), np.array([4.0]))
    model = Model(LINE, {"log_z": jnp.asarray(1.0)})
    restored = units.restored(model)
    np.testing.assert_allclose(restored.learned["log_z"], 1.0 + np.log(4.0), rtol=1e-6)
    np.testing.assert_allclose(units.standardised(restored).learned["log_z"], 1.0, rtol=1e-6)
    assert units.standardised(restored).energy is LINE


def test_held_out_points_are_standardised_with_the_others():
    held_out = Validation(data=1e9 + X[:, None], every=8)
    fit = _fitted(1e9 + X, standardise=True, validation=held_out)
    np.testing.assert_allclose(fit.history["validation"][-1], fit.history["loss"][-1], rtol=1e-3)


@pytest.mark.parametrize(
    ("energy", "data", "message"),
    [
        (
            LINE,
            np.ones((4, 1)),
            "`data` must vary in each column .*; got 1 in every row of column 0",
        ),
        (LINE, np.full((4, 1), np.nan), "`data` must be finite everywhere"),
        (ebm.energies.Beta(2.0, 2.0), np.array([0.1, 0.2]), "`standardise` must be False but for"),
        (LINE, 1e17 + 32 * X[:, None], "`data` must have a spread that float64 resolves"),
    ],
)
def test_what_cannot_be_standardised_is_refused(energy, data, message):
    with pytest.raises(ValueError, match=message):
        ebm.fit(
            energy,
            data,
            ebm.ScoreMatching(),
            optax.sgd(0.1),
            num_steps=1,
            standardise=True,
            rng_key=jax.random.key(0),
            progress_bar=False,
        )
