"""`EnergyDistribution` as a NumPyro distribution, alone and inside models."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro import handlers
from numpyro.contrib.control_flow import scan
from numpyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO, log_likelihood
from numpyro.infer.autoguide import AutoNormal
from numpyro.infer.util import log_density
from scipy import stats

import ebm_ppl as ebm
from ebm_ppl.energies import (
    DoubleWell,
    Funnel,
    Gamma,
    Gaussian,
    Quartic,
    TiltedDoubleWell,
    from_callable,
    from_logdensity,
)
from ebm_ppl.quadrature import QuadratureNormalizer, enumerate_states, normalize

pytestmark = pytest.mark.usefixtures("light_compilation")

NORMAL = Gaussian([0.5, -1.0], [[1.0, 0.3], [0.3, 0.5]])
SHAPELESS = from_callable(lambda x: 0.5 * jnp.sum(x**2), (2,))
KS_LEVEL = 1e-8
"""False-alarm rate of each Kolmogorov-Smirnov test here; 20,000 draws see a distance of 0.036 with 99%."""


@pytest.fixture(scope="module")
def normal_density():
    return normalize(NORMAL)


def test_log_prob_is_normalised_and_batched(normal_density):
    distribution = ebm.EnergyDistribution(NORMAL, log_z=normal_density)
    x = jax.random.normal(jax.random.key(0), (3, 4, 2))
    expected = stats.multivariate_normal([0.5, -1.0], [[1.0, 0.3], [0.3, 0.5]]).logpdf(x)
    assert distribution.log_prob(x).shape == (3, 4)
    np.testing.assert_allclose(distribution.log_prob(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "log_z",
    [
        lambda density: density,
        lambda density: density.log_z,
        lambda density: jnp.asarray(density.log_z),
        lambda density: lambda energy: jnp.asarray(density.log_z),
        lambda density: QuadratureNormalizer.for_energy(NORMAL),
    ],
    ids=["density", "float", "array", "callable", "normalizer"],
)
def test_every_form_of_normaliser_gives_the_same_density(log_z, normal_density):
    distribution = ebm.EnergyDistribution(NORMAL, log_z=log_z(normal_density))
    leaves, structure = jax.tree.flatten(distribution)
    rebuilt = jax.tree.unflatten(structure, leaves)
    expected = -NORMAL(jnp.zeros(2)) - normal_density.log_z
    for one in (distribution, rebuilt):
        np.testing.assert_allclose(one.log_prob(jnp.zeros(2)), expected, rtol=1e-4)


def _found_twice(kind):
    energy = {"real": Gamma(2.0, 1.0), "discrete": ebm.energies.Ising((3, 3), 0.3)}
    energies = energy[kind], jax.tree.map(jnp.array, energy[kind])
    normalise = {"real": normalize, "discrete": enumerate_states}[kind]
    return [ebm.EnergyDistribution(one, log_z=normalise(one)) for one in energies]


@pytest.mark.parametrize("kind", ["real", "discrete"])
def test_equal_laws_are_equal_pytrees(kind):
    one, other = _found_twice(kind)
    assert jax.tree.structure(one) == jax.tree.structure(other)
    chosen = jax.lax.cond(True, lambda: one, lambda: other)
    np.testing.assert_allclose(chosen.mean, one.mean)


def test_laws_of_different_parameters_are_different_pytrees():
    first, second = (ebm.EnergyDistribution(Gamma(2.0, rate)).with_table() for rate in (1.0, 2.0))
    assert jax.tree.structure(first) != jax.tree.structure(second)


def test_without_a_normaliser_log_prob_is_minus_the_energy():
    x = jnp.array([0.1, 0.2])
    assert ebm.EnergyDistribution(NORMAL).log_prob(x) == -NORMAL(x)


@pytest.mark.parametrize("log_z", [jnp.nan, np.inf, "one", "1"])
def test_a_bad_normaliser_is_refused(log_z):
    with pytest.raises(ValueError, match="`log_z` must be finite everywhere"):
        ebm.EnergyDistribution(NORMAL, log_z=log_z)


def test_scan_stacks_parameters_and_is_refused():
    """All steps together would count as one energy, and as many times as there are steps."""

    def log_joint(energy, log_z):
        distribution = ebm.EnergyDistribution(energy, log_z=log_z)

        def step(carry, _):
            return carry, numpyro.sample("x", distribution)

        values = {"x": jnp.ones((3, 2))}
        return log_density(lambda: scan(step, 0.0, None, length=3), (), {}, values)[0]

    for energy, log_z in ((NORMAL, None), (NORMAL, 2.0), (SHAPELESS, 2.0)):
        with pytest.raises(NotImplementedError, match="must not be a site within NumPyro's `scan`"):
            log_joint(energy, log_z)
    assert log_joint(SHAPELESS, None) == -3 * SHAPELESS(jnp.ones(2))


def test_the_wrong_event_shape_is_named():
    with pytest.raises(ValueError, match=r"\(2,\); got \(3,\)"):
        ebm.EnergyDistribution(NORMAL).log_prob(jnp.zeros(3))


def test_values_outside_the_support_draw_numpyros_warning():
    distribution = ebm.EnergyDistribution(Gamma(2.0, 1.0), validate_args=True)
    with pytest.warns(UserWarning, match="Out-of-support"):
        distribution.log_prob(jnp.array(-1.0))


def test_draws_follow_the_density():
    draws = ebm.EnergyDistribution(Gamma(3.0, 2.0)).sample(jax.random.key(1), (20_000,))
    assert stats.kstest(draws, stats.gamma(3.0, scale=0.5).cdf).pvalue > KS_LEVEL
    # the same test sees a rate that is 10% off, so it can fail
    assert stats.kstest(draws, stats.gamma(3.0, scale=0.55).cdf).pvalue < KS_LEVEL


def test_draws_under_jit_follow_the_density_of_traced_parameters():
    @jax.jit
    def draw(rate):
        normalizer = QuadratureNormalizer(bounds=(1e-3, 30.0))
        distribution = ebm.EnergyDistribution(Gamma(3.0, rate), log_z=normalizer)
        return distribution.sample(jax.random.key(2), (20_000,))

    assert stats.kstest(draw(2.0), stats.gamma(3.0, scale=0.5).cdf).pvalue > KS_LEVEL


def test_drawing_does_not_change_the_pytree():
    distribution = ebm.EnergyDistribution(TiltedDoubleWell(dim=1))
    before = jax.tree.structure(distribution)
    assert distribution.sample(jax.random.key(0), (2, 3)).shape == (2, 3, 1)
    assert jax.tree.structure(distribution) == before


def test_a_grid_cannot_draw_in_many_dimensions():
    with pytest.raises(NotImplementedError, match="at most 2 coordinates; Funnel has 3"):
        ebm.EnergyDistribution(Funnel(dim=3)).sample(jax.random.key(0))


def test_traced_parameters_cannot_be_drawn_from_without_a_grid():
    def draw(a):
        return ebm.EnergyDistribution(Quartic(a=a), log_z=0.0).sample(jax.random.key(0))

    with pytest.raises(NotImplementedError, match="those of Quartic are traced"):
        jax.jit(draw)(1.0)


def test_moments_and_entropy(normal_density):
    distribution = ebm.EnergyDistribution(NORMAL)
    np.testing.assert_allclose(distribution.mean, [0.5, -1.0], atol=1e-5)
    np.testing.assert_allclose(distribution.variance, [1.0, 0.5], rtol=1e-5)
    exact = stats.multivariate_normal([0.5, -1.0], [[1.0, 0.3], [0.3, 0.5]]).entropy()
    np.testing.assert_allclose(distribution.entropy(), exact, rtol=1e-5)


def test_expand_and_to_event():
    expanded = ebm.EnergyDistribution(Gamma(2.0, 1.0), log_z=0.0).expand([3, 2])
    assert expanded.sample(jax.random.key(0), (5,)).shape == (5, 3, 2)
    assert expanded.to_event(1).log_prob(jnp.ones((3, 2))).shape == (3,)


def test_vmap_over_distributions():
    def log_prob(a, x):
        return ebm.EnergyDistribution(Quartic(a=a), log_z=0.0).log_prob(x)

    a, x = jnp.arange(3.0), jnp.ones(3)
    np.testing.assert_allclose(jax.vmap(log_prob)(a, x), [-(k + 1.0) for k in range(3)])


def _noisy(y=None):
    x = numpyro.sample("x", ebm.EnergyDistribution(TiltedDoubleWell(dim=1)))
    numpyro.sample("y", dist.Normal(x[0], 0.5), obs=y)


def test_predictive_draws_from_the_prior():
    draws = Predictive(_noisy, num_samples=7)(jax.random.key(0))
    assert draws["x"].shape == (7, 1)
    assert draws["y"].shape == (7,)


def test_log_likelihood_inside_a_model():
    with numpyro.handlers.seed(rng_seed=0):
        likelihood = log_likelihood(_noisy, {"x": jnp.zeros((4, 1))}, y=0.5)
    np.testing.assert_allclose(likelihood["y"], dist.Normal(0.0, 0.5).log_prob(0.5), rtol=1e-6)


def test_svi_fits_a_guide_to_an_energy():
    """The best normal for a normal target is itself; the optimum is exact, so no error rate is needed."""
    model = ebm.as_model(Gaussian([1.0, -2.0], [[0.25, 0.0], [0.0, 4.0]]))
    guide = AutoNormal(model)
    svi = SVI(model, guide, optax.adam(0.05), Trace_ELBO(num_particles=16))
    result = svi.run(jax.random.key(0), 1500, progress_bar=False)
    np.testing.assert_allclose(result.params["x_auto_loc"], [1.0, -2.0], atol=0.15)
    np.testing.assert_allclose(result.params["x_auto_scale"], [0.5, 2.0], rtol=0.1)


def _parametric(data, log_z=None):
    a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    with numpyro.plate("data", len(data)):
        numpyro.sample("x", ebm.EnergyDistribution(Quartic(a=a), log_z=log_z), obs=data)


@pytest.mark.parametrize(
    "kernel", [NUTS, ebm.MALA, ebm.RandomWalkMetropolis], ids=lambda kernel: kernel.__name__
)
def test_random_parameters_without_a_normaliser_raise(kernel):
    mcmc = MCMC(kernel(_parametric), num_warmup=2, num_samples=2, progress_bar=False)
    with pytest.raises(ebm.DoublyIntractableError, match=r"Quartic.*log_z=QuadratureNormalizer"):
        mcmc.run(jax.random.key(0), jnp.zeros(3))


@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize("adapter", [from_callable, from_logdensity], ids=lambda f: f.__name__)
def test_random_values_in_a_closure_without_a_normaliser_raise(adapter, is_compiled):
    def model(data):
        b = numpyro.sample("b", dist.LogNormal(0.0, 1.0))
        energy = adapter(lambda x: b * x**2, ())
        with numpyro.plate("data", 3):
            numpyro.sample("x", ebm.EnergyDistribution(energy), obs=data)

    def density(b, data):
        return log_density(model, (data,), {}, {"b": b})[0]

    density = jax.jit(density) if is_compiled else jax.grad(density)
    with pytest.raises(ebm.DoublyIntractableError, match="log_z=QuadratureNormalizer"):
        density(1.0, jnp.zeros(3))


@pytest.mark.parametrize(
    "kernel", [NUTS, ebm.RandomWalkMetropolis], ids=lambda kernel: kernel.__name__
)
def test_constants_of_a_compiled_model_need_no_normaliser(kernel):
    def model():
        numpyro.sample("x", ebm.EnergyDistribution(Gaussian(jnp.zeros(2), jnp.eye(2))))
        centre = jnp.ones(2)
        energy = from_callable(lambda x: jnp.sum((x - centre) ** 2), (2,))
        numpyro.sample("y", ebm.EnergyDistribution(energy))

    mcmc = MCMC(kernel(model), num_warmup=2, num_samples=2, progress_bar=False)
    mcmc.run(jax.random.key(0))
    compiled = jax.jit(lambda values: log_density(model, (), {}, values)[0])
    np.testing.assert_allclose(compiled({"x": jnp.ones(2), "y": jnp.zeros(2)}), -3.0)


def _mixture(log_z):
    narrow = ebm.EnergyDistribution(from_callable(lambda x: 0.5 * x**2, ()), log_z)
    components = [narrow, dist.Normal(5.0, 1.0)]
    return dist.MixtureGeneral(
        dist.Categorical(probs=jnp.ones(2) / 2), components, support=dist.constraints.real
    )


def test_a_mixture_weighs_densities_and_needs_their_normalisers():
    at = jnp.array([0.0, 5.0])
    with pytest.raises(ValueError, match=r"`log_z` must be given .* within a MixtureGeneral"):
        _mixture(None).log_prob(at)
    with pytest.raises(ValueError, match="within a MixtureGeneral"):
        _mixture(None).expand([2]).to_event(1).log_prob(at)
    same = _mixture(0.5 * np.log(2 * np.pi)).log_prob(at)
    np.testing.assert_allclose(same[0], same[1], rtol=1e-5)


def test_an_inflated_law_needs_a_normaliser():
    bit = from_callable(lambda x: 0.7 * x, (), dist.constraints.boolean)
    law = dist.ZeroInflatedDistribution(ebm.EnergyDistribution(bit), gate=0.5)
    with pytest.raises(ValueError, match="within a ZeroInflated"):
        law.log_prob(0)


def test_laws_that_pass_a_density_on_need_none():
    at = jnp.array([0.3, -0.2])
    law = ebm.EnergyDistribution(NORMAL)
    for one in (law.expand([1]), law.expand([1]).to_event(1), law.mask(True)):
        np.testing.assert_allclose(one.log_prob(at), -NORMAL(at))
    swapped = dist.TransformedDistribution(law, dist.transforms.PermuteTransform(jnp.array([1, 0])))
    np.testing.assert_allclose(swapped.log_prob(at), -NORMAL(at[::-1]))


def test_constants_in_a_closure_need_no_normaliser():
    centre = jnp.ones(3)
    law = ebm.EnergyDistribution(from_callable(lambda x: jnp.sum((x - centre) ** 2), (3,)))
    np.testing.assert_allclose(jax.jit(law.log_prob)(jnp.zeros(3)), -3.0)


def test_optimised_parameters_without_a_normaliser_raise():
    def model(data):
        a = numpyro.param("a", 1.0)
        numpyro.sample("x", ebm.EnergyDistribution(Quartic(a=a)).expand([len(data)]), obs=data)

    svi = SVI(model, lambda data: None, optax.adam(0.1), Trace_ELBO())
    with pytest.raises(ebm.DoublyIntractableError):
        svi.run(jax.random.key(0), 2, jnp.zeros(3), progress_bar=False)


def test_constants_built_inside_a_compiled_model_are_fixed_parameters():
    def model():
        return numpyro.sample("x", ebm.EnergyDistribution(DoubleWell(dim=1, barrier_height=1.0)))

    slope = jax.jit(jax.grad(lambda x: log_density(model, (), {}, {"x": x})[0]))
    energy = DoubleWell(dim=1, barrier_height=1.0)
    np.testing.assert_allclose(slope(jnp.ones(1) / 2), -jax.grad(energy)(jnp.ones(1) / 2))


def test_a_normaliser_whose_grid_loses_the_mass_rejects_instead_of_truncating():
    with handlers.seed(rng_seed=0):
        normalizer = QuadratureNormalizer(bounds=(-1.0, 1.0))
        distribution = ebm.EnergyDistribution(Quartic(a=0.1, gamma=-4.0), log_z=normalizer)
        assert distribution.log_prob(jnp.array(0.0)) == -jnp.inf
