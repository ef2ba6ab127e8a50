"""Independence sampler: balance on a grid, exact moves, and proposals that are refused."""

from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import numpyro.distributions as dist
import pytest

from ebm_ppl._precision import float64
from ebm_ppl._random import step_key
from ebm_ppl.samplers import IndependenceMetropolis, WhitenedTarget

pytestmark = pytest.mark.filterwarnings("ignore:Out-of-support values provided to log prob")
NORMAL = dist.Normal(0.0, 1.5).expand([2]).to_event(1)


def gumbel(z: jax.Array) -> jax.Array:
    """The standard Gumbel law: asymmetric, with a steep side and a slow one."""
    return jnp.sum(z + jnp.exp(-z))


@pytest.mark.parametrize(
    "proposal",
    [
        NORMAL,
        dist.StudentT(3.0, 0.5, 2.0).expand([2]).to_event(1),
        dist.MultivariateNormal(jnp.ones(2), jnp.array([[1.0, 0.5], [0.5, 2.0]])),
        dist.Uniform(-1.0, 2.0).expand([2]).to_event(1),  # half of the points are outside
    ],
    ids=lambda proposal: type(proposal).__name__,
)
def test_probability_flows_balance(proposal: dist.Distribution) -> None:
    kernel = IndependenceMetropolis(potential_fn=gumbel, proposal=proposal)
    points = np.random.default_rng(0).uniform(-2.0, 4.0, size=(32, 2))

    @jax.jit
    def flow_between(z: jax.Array) -> jax.Array:
        target = WhitenedTarget(gumbel, jnp.zeros(2), jnp.ones(2), uses_gradient=False)
        at = jax.vmap(target.evaluate_at)(z)
        pairs = jax.vmap(jax.vmap(kernel.log_acceptance, (None, 0)), (0, None))
        accept = jnp.exp(jnp.minimum(pairs(at, at), 0.0))
        inside = jax.vmap(proposal.support)(z)
        density = jnp.where(inside, jnp.exp(proposal.log_prob(z)), 0.0)
        # A pair both of whose ends are outside has no ratio, and no flow either.
        accept = jnp.where(inside[:, None] | inside, accept, 0.0)
        return jnp.exp(-at.potential_energy)[:, None] * density * accept

    with float64():
        flow = np.asarray(flow_between(jnp.asarray(points)))
    assert np.all(np.isfinite(flow))
    assert np.max(flow) > 0
    np.testing.assert_allclose(flow, flow.T, rtol=1e-12, atol=1e-16)


def test_a_proposal_that_is_the_target_is_always_accepted_and_draws_are_its_own() -> None:
    kernel = IndependenceMetropolis(
        potential_fn=lambda z: -NORMAL.log_prob(z["b"]), proposal=NORMAL
    )
    state = kernel.init(jax.random.key(0), 0, {"b": jnp.full(2, 1e6)})
    later = kernel.sample(state, (), {})
    assert later.accept_prob == 1.0
    # Far from the start the draw keeps its last digits: nothing is added to the start and taken off.
    key_proposal, _ = jax.random.split(step_key(state.rng_key, 0))
    np.testing.assert_array_equal(later.z["b"], NORMAL.sample(key_proposal))


def test_a_chain_outside_the_support_stays_and_says_so() -> None:
    proposal = dist.Uniform(-1.0, 1.0).expand([1]).to_event(1)
    kernel = IndependenceMetropolis(potential_fn=gumbel, proposal=proposal)
    state = kernel.sample(kernel.init(jax.random.key(0), 0, jnp.array([3.0])), (), {})
    assert state.z == 3.0
    assert state.accept_prob == 0.0
    assert bool(state.diverging)


class Silent(dist.Distribution):
    """Can be drawn from and has no density."""

    support = dist.constraints.real_vector

    def __init__(self) -> None:
        super().__init__((), (2,))

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        return jax.random.normal(key, (*sample_shape, 2))


@pytest.mark.parametrize(
    ("proposal", "message"),
    [
        ("normal", "`proposal` must be a continuous NumPyro distribution .*; got 'normal'"),
        (dist.Normal(0.0, 1.0), r"got Normal with batch shape \(\) and event shape \(\)"),
        (
            dist.Normal(jnp.zeros(2), 1.0),
            r"got Normal with batch shape \(2,\) and event shape \(\)",
        ),
        (dist.Poisson(jnp.ones(2)).to_event(1), "must be a continuous NumPyro distribution"),
        (Silent(), "`proposal` must have draws and a density; got Silent"),
    ],
)
def test_bad_proposals_are_refused(
    proposal: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A user has no run-time type checker, and gets these messages in its place.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        IndependenceMetropolis(potential_fn=gumbel, proposal=proposal)


def test_a_proposal_of_another_dimension_is_refused_at_the_start() -> None:
    kernel = IndependenceMetropolis(potential_fn=gumbel, proposal=NORMAL)
    with pytest.raises(ValueError, match=r"`proposal` must have event shape \(3,\).*got \(2,\)"):
        kernel.init(jax.random.key(0), 0, jnp.zeros(3))


@pytest.mark.parametrize("scale", [np.array([2.0, 0.5]), np.array([[2.0, 0.0], [1.0, 0.5]])])
def test_points_of_unconstrained_positions_are_those_of_whitened_ones(scale: np.ndarray) -> None:
    with float64():
        target = WhitenedTarget(gumbel, jnp.array([1.0, -1.0]), jnp.asarray(scale))
        expected = target.evaluate(jnp.array([0.3, -0.7]))
        point = target.evaluate_at(expected.z)
        for name, value in expected._asdict().items():
            np.testing.assert_allclose(getattr(point, name), value, rtol=1e-12, err_msg=name)
