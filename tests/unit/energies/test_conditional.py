import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from numpyro.distributions import constraints

from ebm_ppl import EnergyDistribution, energies, potential_fn
from ebm_ppl.energies import (
    ConditionalGaussian,
    FixedEnergy,
    Gaussian,
    LikelihoodEnergy,
    NeuralConditionalEnergy,
    NeuralEnergy,
    NeuralNoiseConditionalEnergy,
    from_conditional_callable,
)

KEY = jax.random.key(0)
A = np.array([[1.0, 0.5, -0.5], [-0.5, 1.0, 2.0]])
B = np.array([0.25, -1.0])
COVARIANCE = np.array([[1.5, -0.6], [-0.6, 0.8]])
Y = np.array([0.5, -1.0, 2.0])
NULL = np.array([0.0, 1.0, 0.0])
REGRESSION = ConditionalGaussian(A, B, COVARIANCE)
CLASS_FREE = ConditionalGaussian(A, B, COVARIANCE, null_condition=NULL)
POINTS = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)


class TestConditionalGaussian:
    def test_is_the_normal_law_of_linear_regression(self):
        normal = Gaussian(A @ Y + B, COVARIANCE)
        given = jax.vmap(REGRESSION.at(y=Y))(POINTS)
        np.testing.assert_allclose(given, jax.vmap(normal)(POINTS), rtol=1e-5)

    def test_under_guidance_is_normal_about_a_shifted_mean(self):
        shifted = Gaussian(A @ (Y + 1.5 * (Y - NULL)) + B, COVARIANCE)
        guided = CLASS_FREE.guided(1.5).at(y=Y)
        scores = jax.vmap(guided.score)(POINTS)
        np.testing.assert_allclose(scores, jax.vmap(shifted.score)(POINTS), rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"coefficients": [1.0, 2.0]}, r"Expected `coefficients` of shape .*; got \(2,\)"),
            ({"intercept": [1.0]}, r"Expected `intercept` of shape \(2,\); got \(1,\)"),
            ({"intercept": [1.0, np.nan]}, "`intercept` must be finite everywhere"),
            ({"covariance_matrix": [[1.0]]}, r"Expected `covariance_matrix` of shape \(2, 2\)"),
            ({"covariance_matrix": -COVARIANCE}, "`covariance_matrix` must be positive definite"),
            ({"null_condition": [1.0]}, r"Expected `null_condition` of shape \(3,\); got \(1,\)"),
        ],
    )
    def test_refuses_bad_arguments(self, arguments, message):
        good = {"coefficients": A, "intercept": B, "covariance_matrix": COVARIANCE}
        with pytest.raises(ValueError, match=message):
            ConditionalGaussian(**(good | arguments))


class TestAt:
    def test_is_an_energy_like_any_other(self):
        given = REGRESSION.at(y=Y)
        assert isinstance(given, energies.AbstractEnergy)
        assert given.event_shape == (2,)
        assert given.support is constraints.real_vector
        # The mean is computed by quadrature.
        np.testing.assert_allclose(EnergyDistribution(given).mean, A @ Y + B, rtol=1e-5)
        assert potential_fn(given)(jnp.asarray(POINTS[0])) == REGRESSION(POINTS[0], Y)

    def test_takes_conditions_that_are_mapped_and_traced(self):
        conditions = jnp.stack([Y, 2 * Y, -Y])
        one_by_one = [REGRESSION.at(y=y)(POINTS[0]) for y in conditions]
        mapped = jax.jit(jax.vmap(lambda y: REGRESSION.at(y=y)(POINTS[0])))(conditions)
        np.testing.assert_allclose(mapped, one_by_one, rtol=1e-5)
        batch = jax.vmap(lambda y: REGRESSION.at(y=y))(conditions)
        again = jax.vmap(lambda energy: energy(POINTS[0]))(batch)
        np.testing.assert_allclose(again, one_by_one, rtol=1e-5)

    def test_of_no_condition_is_the_null_condition(self):
        assert CLASS_FREE.at(kept=False)(POINTS[0]) == CLASS_FREE(POINTS[0], NULL)

    @pytest.mark.parametrize("kept", [True, False])
    @pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["plain", "traced"])
    def test_keeps_or_drops_the_condition(self, kept, transform):
        value = transform(lambda kept: CLASS_FREE.at(y=Y, kept=kept)(POINTS[0]))(kept)
        expected = CLASS_FREE(POINTS[0], Y if kept else NULL)
        np.testing.assert_allclose(value, expected, rtol=1e-6)

    def test_a_dropped_condition_trains_the_null_condition_and_nothing_else_does(self):
        def slope(kept):
            gradient = jax.grad(lambda energy: energy.at(y=Y, kept=kept)(POINTS[0]))(CLASS_FREE)
            return gradient.null_condition

        expected = jax.grad(lambda y: CLASS_FREE(POINTS[0], y))(jnp.asarray(NULL, dtype=float))
        np.testing.assert_allclose(slope(jnp.array(False)), expected, rtol=1e-6)
        np.testing.assert_array_equal(slope(jnp.array(True)), 0.0)

    def test_a_dropped_condition_may_be_anything(self):
        nothing = np.full(3, np.nan)
        value, gradient = jax.value_and_grad(
            lambda energy: energy.at(y=nothing, kept=jnp.array(False))(POINTS[0])
        )(CLASS_FREE)
        assert value == CLASS_FREE(POINTS[0], NULL)
        assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(gradient))

    @pytest.mark.parametrize(
        "ask",
        [
            lambda: REGRESSION.at(kept=False),
            lambda: REGRESSION.at(y=Y, kept=True),
            lambda: REGRESSION.guided(1.0).at(y=Y),
        ],
        ids=["at none", "at kept", "guided"],
    )
    def test_without_a_null_condition_nothing_is_dropped(self, ask):
        with pytest.raises(ValueError, match="`null_condition` of ConditionalGaussian must be an"):
            ask()

    @pytest.mark.parametrize(
        ("ask", "message"),
        [
            (lambda: REGRESSION.at(y=[1.0]), r"Expected `y` of shape \(3,\); got \(1,\)"),
            (lambda: REGRESSION(POINTS[0], [1.0]), r"Expected `y` of shape \(3,\); got \(1,\)"),
            (lambda: REGRESSION([1.0], Y), r"Expected `x` of shape \(2,\); got \(1,\)"),
            (
                lambda: REGRESSION(POINTS[0]),
                r"`y` must be of shape \(3,\) for ConditionalGaussian, an energy E\(x \| y\); got None",
            ),
            (
                lambda: REGRESSION(POINTS[0], Y, 0.5),
                r"`sigma` must be None for ConditionalGaussian, an energy E\(x \| y\); got 0.5",
            ),
            (lambda: REGRESSION.at(y=Y, sigma=0.5), "`sigma` must be None for ConditionalGaussian"),
            (lambda: REGRESSION.at(), "`y` or `sigma` must be given to fix an energy at it"),
            (
                lambda: CLASS_FREE.at(kept=True),
                "`y` must be given unless `kept` is False; got None",
            ),
            (lambda: FixedEnergy(REGRESSION), "`y` must be of shape"),
            (lambda: CLASS_FREE.at(y=1.0, kept=True), r"Expected `y` of shape \(3,\); got \(\)"),
            (lambda: CLASS_FREE.at(y=Y, kept=[True]), r"Expected `kept` of shape \(\); got \(1,\)"),
            (
                lambda: CLASS_FREE.guided(1.0).at(y=[1.0]),
                r"Expected `y` of shape \(3,\); got \(1,\)",
            ),
            (lambda: CLASS_FREE.guided(np.inf).at(y=Y), "`scale` must be finite everywhere"),
        ],
    )
    def test_refuses_other_shapes(self, ask, message):
        with pytest.raises(ValueError, match=message):
            ask()

    def test_integers_become_real_and_reals_keep_their_precision(self):
        assert CLASS_FREE.at(y=[1, 0, 0]).y.dtype == jnp.float32
        assert CLASS_FREE.at(y=jnp.ones(3, dtype=jnp.bfloat16)).y.dtype == jnp.bfloat16

    def test_a_constant_condition_stays_concrete_under_tracing(self):
        @jax.jit
        def build(x):
            energy = REGRESSION.at(y=Y)
            assert not isinstance(energy.y, jax.core.Tracer)
            return energy(x)

        build(POINTS[0])


class TestGuided:
    @pytest.mark.parametrize(("scale", "condition"), [(0.0, Y), (-1.0, NULL)])
    def test_has_the_two_laws_as_limits(self, scale, condition):
        value = CLASS_FREE.guided(scale).at(y=Y)(POINTS[0])
        np.testing.assert_allclose(value, CLASS_FREE(POINTS[0], condition), rtol=1e-5)

    def test_is_the_combination_of_both_energies(self):
        kept, dropped = CLASS_FREE(POINTS[0], Y), CLASS_FREE(POINTS[0], NULL)
        value = jax.jit(lambda scale: CLASS_FREE.guided(scale).at(y=Y)(POINTS[0]))(2.0)
        np.testing.assert_allclose(value, 3 * kept - 2 * dropped, rtol=1e-5)

    def test_keeps_the_confinement_of_a_network(self):
        energy = NeuralConditionalEnergy((2,), (3,), rng_key=KEY, confinement=0.5, class_free=True)
        guided = energy.guided(3.0).at(y=Y)
        far = 1e6 * POINTS[0]
        np.testing.assert_allclose(guided(far) / (0.25 * np.sum(far**2)), 1.0, rtol=1e-3)


class TestNeuralConditionalEnergy:
    def test_is_a_network_of_both_and_confines_the_point_alone(self):
        energy = NeuralConditionalEnergy((2,), (3,), rng_key=KEY, confinement=0.5)
        joint = NeuralEnergy((5,), rng_key=KEY, confinement=0.0)
        expected = joint(np.concatenate([POINTS[0], Y])) + 0.25 * np.sum(POINTS[0] ** 2)
        np.testing.assert_allclose(energy(POINTS[0], Y), expected, rtol=1e-5)

    @pytest.mark.parametrize(("event_shape", "condition_shape"), [((), ()), ((2, 3), (4,))])
    def test_takes_any_shapes(self, event_shape, condition_shape):
        energy = NeuralConditionalEnergy(event_shape, condition_shape, rng_key=KEY, width=4)
        given = energy.at(y=jnp.ones(condition_shape))
        assert given(jnp.ones(event_shape)).shape == ()
        assert given.support.event_dim == len(event_shape)

    def test_has_a_null_condition_only_if_asked(self):
        assert NeuralConditionalEnergy((1,), (2,), rng_key=KEY).null_condition is None
        energy = NeuralConditionalEnergy((1,), (2,), rng_key=KEY, class_free=True)
        np.testing.assert_array_equal(energy.null_condition, np.zeros(2))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"event_shape": (0,)}, "`event_shape` must be an integer of at least 1; got 0"),
            ({"condition_shape": (0,)}, "`condition_shape` must be an integer of at least 1"),
            ({"width": 0}, "`width` must be an integer of at least 1"),
            ({"activation": "relu"}, "`activation` must be one of 'silu', .*; got 'relu'"),
            ({"confinement": -0.5}, "`confinement` must be a number in"),
        ],
    )
    def test_refuses_bad_arguments(self, arguments, message):
        good = {"event_shape": (2,), "condition_shape": (1,), "rng_key": KEY}
        with pytest.raises(ValueError, match=message):
            NeuralConditionalEnergy(**(good | arguments))


class TestCallable:
    def test_is_the_function(self):
        energy = from_conditional_callable(lambda x, y: jnp.sum(x) * y, (2,), ())
        assert jax.tree.leaves(energy) == []
        assert energy([1.0, 2.0], 3.0) == 9.0
        assert energy.at(y=3.0)([1.0, 2.0]) == 9.0

    def test_the_arrays_of_a_pytree_are_parameters(self):
        energy = from_conditional_callable(REGRESSION, (2,), (3,), null_condition=NULL)
        assert len(jax.tree.leaves(energy)) == 4
        assert energy(POINTS[0], Y) == REGRESSION(POINTS[0], Y)
        assert energy.at(kept=False)(POINTS[0]) == REGRESSION(POINTS[0], NULL)

    def test_the_support_covers_the_event(self):
        energy = from_conditional_callable(
            lambda x, y: jnp.sum(x) * y, (2,), (), constraints.positive
        )
        assert energy.at(y=1.0).support.event_dim == 1

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((3.0, (1,), ()), "`fn` must be callable; got 3.0"),
            ((jnp.add, 2, ()), "`event_shape` must be a tuple of integers; got 2"),
            ((jnp.add, (2,), 2), "`condition_shape` must be a tuple of integers; got 2"),
            ((jnp.add, (2,), (), "real"), "`support` must be a NumPyro constraint"),
            ((jnp.add, (2,), (), None, [1.0]), r"Expected `null_condition` of shape \(\)"),
            ((jnp.add, (2,), (), None, np.nan), "`null_condition` must be finite everywhere"),
            (
                (jnp.add, (2,), None, None, 1.0),
                "`null_condition` must be None where `condition_shape`",
            ),
            (
                (jnp.add, (2,)),
                "`condition_shape` must be a tuple of integers or `noise_conditional`",
            ),
            (
                (jnp.add, (2,), (), None, None, 1),
                "`noise_conditional` must be True or False; got 1",
            ),
        ],
    )
    def test_refuses_bad_arguments(self, arguments, message, monkeypatch):
        # A user has no run-time type checker, and gets these messages in its place.
        monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        with pytest.raises(ValueError, match=message):
            from_conditional_callable(*arguments)

    def test_takes_levels_of_noise_alone_and_beside_a_condition(self):
        under_noise = from_conditional_callable(
            lambda x, sigma: jnp.sum(x) / sigma, (2,), noise_conditional=True
        )
        assert under_noise.at(sigma=2.0)([1.0, 3.0]) == 2.0
        both = from_conditional_callable(
            lambda x, y, sigma: jnp.sum(x) * y / sigma, (2,), (), noise_conditional=True
        )
        assert both.at(y=3.0, sigma=2.0)([1.0, 3.0]) == 6.0
        with pytest.raises(ValueError, match=r"fn\(x, sigma\)` of shape \(\); got \(2,\)"):
            from_conditional_callable(lambda x, sigma: x, (2,), noise_conditional=True)(
                [1.0, 2.0], sigma=1.0
            )

    def test_refuses_a_result_that_is_no_scalar(self):
        energy = from_conditional_callable(lambda x, y: x, (2,), ())
        with pytest.raises(ValueError, match=r"fn\(x, y\)` of shape \(\); got \(2,\)"):
            energy([1.0, 2.0], 3.0)


def test_a_likelihood_is_of_an_energy_under_a_condition_alone():
    term = NeuralNoiseConditionalEnergy((1,), (1,), rng_key=KEY)
    with pytest.raises(ValueError, match=r"`energy` must be an energy E\(x \| y\) of a param"):
        LikelihoodEnergy(term, [[1.0]])


@pytest.mark.parametrize("observations", [1.0, [1.0, 2.0], [[1.0, 2.0]], np.zeros((0, 1))])
def test_observations_of_a_likelihood_have_the_shape_of_a_condition(observations):
    term = ConditionalGaussian([[1.0]], [0.0], [[1.0]])
    with pytest.raises(
        ValueError, match=r"`observations` of shape \(num_observations >= 1, 1\); got"
    ):
        LikelihoodEnergy(term, observations)
