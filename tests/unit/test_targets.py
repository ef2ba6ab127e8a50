"""The truth itself is tested: closed forms against integrals that share nothing with them."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special

from ebm_ppl import energies as ebm
from ebm_ppl._precision import float64, to_float64
from ebm_ppl.validation import targets
from ebm_ppl.validation.targets import Target, discover
from ebm_ppl.validation.targets._quartic_series import quartic_moments

TARGETS = discover()
CLOSED_FORM = {name: target for name, target in TARGETS.items() if target.log_z is not None}
every_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
every_closed_form = pytest.mark.parametrize("target", CLOSED_FORM.values(), ids=CLOSED_FORM)


def midpoints(lower, upper, count):
    edges = np.linspace(lower, upper, count + 1)
    return (edges[1:] + edges[:-1]) / 2


def quadrature(target):
    """Points of shape `(n, dim)` and their weights, by the midpoint rule in fitting coordinates.

    The rule converges faster than any power of the step for analytic integrands that decay, which
    the substitutions arrange.
    """
    match target.name:
        case "beta":
            t = midpoints(-30.0, 30.0, 4_000)
            points, jacobian = special.expit(t)[:, None], special.expit(t) * special.expit(-t)
        case "gamma":
            t = midpoints(-30.0, 5.0, 4_000)
            points, jacobian = np.exp(t)[:, None], np.exp(t)
        case "funnel":
            t, u = np.meshgrid(midpoints(-9.0, 9.0, 400), midpoints(-9.0, 9.0, 400))
            points = np.stack([t, u * np.exp(t / 2)], axis=-1).reshape(-1, 2)
            jacobian = np.exp(t / 2).reshape(-1)
        case "ring":
            radius, t = np.meshgrid(midpoints(0.0, 6.0, 20_000), midpoints(0.0, 2 * np.pi, 8))
            points = np.stack([radius * np.cos(t), radius * np.sin(t)], axis=-1).reshape(-1, 2)
            jacobian = radius.reshape(-1)
        case _ if target.energy.event_size == 1:
            t = midpoints(-12.0, 12.0, 4_000)
            points, jacobian = t[:, None], np.ones_like(t)
        case _:
            t, u = np.meshgrid(midpoints(-12.0, 12.0, 700), midpoints(-12.0, 16.0, 700))
            points, jacobian = np.stack([t, u], axis=-1).reshape(-1, 2), np.ones(t.size)
    spans = {"beta": 60.0, "gamma": 35.0, "funnel": 18.0**2, "ring": 6.0 * 2 * np.pi}
    default = 24.0 if target.energy.event_size == 1 else 24.0 * 28.0
    return points, jacobian * spans.get(target.name, default) / len(points)


@every_closed_form
def test_closed_forms_agree_with_numerical_integration(target):
    points, weights = quadrature(target)
    with float64():
        batch = points.reshape(-1, *target.energy.event_shape)
        values = np.asarray(jax.jit(jax.vmap(to_float64(target.energy)))(batch))
    mass = weights * np.exp(-values)
    mean = mass @ points / mass.sum()
    variance = mass @ (points - mean) ** 2 / mass.sum()
    np.testing.assert_allclose(np.log(mass.sum()), target.log_z, atol=1e-8)
    np.testing.assert_allclose(mean, target.mean, atol=1e-8)
    np.testing.assert_allclose(variance, target.variance, rtol=1e-7)


@every_target
def test_shapes_and_provenance(target):
    dim = target.energy.event_size
    for moment in (target.mean, target.variance):
        assert moment is None or moment.shape == (dim,)
    assert target.variance is None or np.all(target.variance > 0)
    assert target.derivation


def kinds(energy):
    """Type of an energy, and of what it is made of one energy of."""
    yield type(energy)
    if hasattr(energy, "energy"):
        yield from kinds(energy.energy)


def test_every_family_has_a_target_and_an_asymmetric_multimodal_one_is_there():
    adapters = {
        ebm.AffineEnergy,
        ebm.CallableConditionalEnergy,
        ebm.CallableEnergy,
        ebm.ConditionedEnergy,
        ebm.LikelihoodEnergy,
        ebm.SumEnergy,
        ebm.TemperedEnergy,
    }
    families = {
        member
        for member in vars(ebm).values()
        if isinstance(member, type)
        and not member.__name__.startswith("Abstract")
        # The ground truth of these is the table of all states, or the sum over hidden units.
        and not issubclass(
            member, (ebm.AbstractBlockwiseEnergy, ebm.AbstractCategoricalEnergy, ebm.Graph)
        )
    }
    # A conditional energy is a target at one of its conditions.
    covered = {kind for target in TARGETS.values() for kind in kinds(target.energy)}
    assert covered == families - adapters
    tilted = TARGETS["tilted_double_well_1d"]
    landscape = jax.vmap(tilted.energy)(jnp.linspace(-3.0, 3.0, 601)[:, None])
    inside = landscape[1:-1]
    assert int(jnp.sum((inside < landscape[:-2]) & (inside < landscape[2:]))) == 2
    assert abs(tilted.mean[0]) > 0.1


@pytest.mark.parametrize(
    ("a", "b", "quartic"),
    [(0.5, 0.0, 0.1), (1.0, 2.0, 0.5), (-2.5, 0.5, 0.8), (-3.0, -1.0, 0.5), (0.0, 0.3, 1.0)],
)
def test_quartic_series_against_adaptive_quadrature(a, b, quartic):
    def moment(power):
        return integrate.quad(
            lambda x: x**power * np.exp(-a * x**2 - b * x - quartic * x**4),
            -np.inf,
            np.inf,
            epsabs=1e-13,
            epsrel=1e-13,
        )[0]

    log_z, mean, variance = quartic_moments(a, b, quartic)
    np.testing.assert_allclose(log_z, np.log(moment(0)), atol=1e-11)
    np.testing.assert_allclose(mean, moment(1) / moment(0), atol=1e-11)
    np.testing.assert_allclose(variance, moment(2) / moment(0) - mean**2, rtol=1e-10)


def test_the_double_well_agrees_with_its_bessel_form():
    # h = 2 and c = 1.25, plus one spring.
    bessel = special.iv(-0.25, 1.0) + special.iv(0.25, 1.0)
    z = 0.5 * np.pi * 1.25 * np.exp(-1.0) * bessel * np.sqrt(2 * np.pi)
    np.testing.assert_allclose(TARGETS["double_well_2d"].log_z, np.log(z), atol=1e-13)


def test_the_quartic_reproduces_a_known_partition_function():
    log_z, _, variance = quartic_moments(0.5, 0.0, 0.1)
    np.testing.assert_allclose(np.exp(log_z), 2.1497059285906, rtol=1e-12)
    np.testing.assert_allclose(variance, 0.615527, atol=5e-7)


def test_two_targets_of_one_name_are_refused(monkeypatch):
    module = types.SimpleNamespace(TARGETS={"beta": lambda: TARGETS["beta"]})  # in every module
    monkeypatch.setattr(targets.importlib, "import_module", lambda name: module)
    with pytest.raises(ValueError, match="unique; got 'beta' twice"):
        discover()


def test_targets_are_plain_frozen_data():
    target = TARGETS["gamma"]
    assert isinstance(target, Target)
    with pytest.raises(AttributeError):
        target.log_z = 0.0
    assert jnp.ndim(target.log_z) == 0
