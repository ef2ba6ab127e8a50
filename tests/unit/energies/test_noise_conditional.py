import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ebm_ppl._precision import float64, to_float64
from ebm_ppl.energies import (
    AbstractConditionalEnergy,
    AbstractEnergy,
    NeuralNoiseConditionalEnergy,
    PartlyFixedEnergy,
)

KEY = jax.random.key(0)
ENERGY = NeuralNoiseConditionalEnergy((2,), rng_key=KEY, width=8, depth=1, data_scale=1.5)
CONDITIONAL = NeuralNoiseConditionalEnergy(
    (2,), (3,), rng_key=KEY, width=8, depth=1, data_scale=1.5, class_free=True
)
X = np.array([0.7, -1.2], dtype=np.float32)
Y = np.array([0.5, -1.0, 2.0], dtype=np.float32)
SIGMA = 0.3


def test_value_is_the_normal_law_plus_the_scaled_network():
    sigma, scale = 0.3, 1.5
    total = np.hypot(sigma, scale)
    network = ENERGY.network(jnp.array([*(X / total), 4 * (sigma / total) ** 2], dtype=float))
    expected = np.sum(X**2) / (2 * total**2) + scale / total * network
    np.testing.assert_allclose(ENERGY(X, sigma=sigma), expected, rtol=1e-5)
    assert ENERGY.at(sigma=sigma)(X) == ENERGY(X, sigma=sigma)


@pytest.mark.parametrize("sigma", [30.0, 1e3])
def test_under_strong_noise_its_denoiser_is_preconditioned_as_by_karras_et_al(sigma):
    scale = 1.5
    with float64():
        exact = to_float64(ENERGY)
        x = jnp.asarray(X, dtype=float)
        total = np.hypot(sigma, scale)
        level = 4 * (sigma / total) ** 2
        skip, out, into = scale**2 / total**2, sigma * scale / total, 1 / total
        network = -jax.grad(lambda u: exact.network(jnp.append(u, level)))(into * x)
        denoised = x + sigma**2 * exact.at(sigma=sigma).score(x)
        # Their factor differs by σ / τ, that is, by less than s² / 2σ² relatively.
        bound = out * np.linalg.norm(network) * scale**2 / (2 * sigma**2)
        assert np.linalg.norm(denoised - skip * x - out * network) < bound


def test_it_is_linear_in_the_variance_of_weak_noise():
    """As the energy of data under noise is, by the heat equation."""
    with float64():
        exact = to_float64(ENERGY)
        silent, half, full = (exact(X, sigma=np.sqrt(variance)) for variance in (1e-14, 5e-5, 1e-4))
    np.testing.assert_allclose(half - silent, 0.5 * (full - silent), rtol=1e-3)
    assert abs(full - silent) > 1e-6


def test_single_precision_follows_double_over_ten_decades_of_noise():
    for sigma in 10.0 ** np.arange(-5, 6):
        x = np.float32(np.hypot(sigma, 1.5)) * X
        with float64():
            exact = to_float64(ENERGY).at(sigma=sigma).score(x)
        score = ENERGY.at(sigma=np.float32(sigma)).score(x)
        np.testing.assert_allclose(score, exact, rtol=1e-4, atol=1e-5 * np.linalg.norm(exact))


@pytest.mark.parametrize("sigma", [1e-2, 1.0, 1e2])
def test_the_quadratic_term_outgrows_the_network_at_every_level(sigma):
    total = np.hypot(sigma, 1.5)
    energy = jax.tree.map(lambda leaf: 10 * leaf, ENERGY).at(sigma=sigma)
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32)
    ratios = [jax.vmap(energy)(r * total * directions) / (0.5 * r**2) for r in (1e6, 1e8)]
    deviations = [float(jnp.max(jnp.abs(ratio - 1))) for ratio in ratios]
    assert deviations[1] < 0.1
    assert deviations[1] < 0.02 * deviations[0] + 1e-5


def test_levels_may_be_traced_and_mapped():
    sigmas = jnp.array([0.1, 1.0, 10.0])
    mapped = jax.jit(jax.vmap(lambda sigma: ENERGY.at(sigma=sigma).score(X)))(sigmas)
    one_by_one = [ENERGY.at(sigma=sigma).score(X) for sigma in sigmas]
    np.testing.assert_allclose(mapped, one_by_one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("event_shape", [(), (2, 3)])
def test_any_event_shape(event_shape):
    energy = NeuralNoiseConditionalEnergy(event_shape, rng_key=KEY, width=4, depth=1).at(sigma=1.0)
    assert energy.score(jnp.ones(event_shape)).shape == event_shape
    assert energy.support.event_dim == len(event_shape)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: ENERGY.at(sigma=0.0), "`sigma` must be a finite number above 0; got"),
        (lambda: ENERGY.at(sigma=[1.0]), r"Expected `sigma` of shape \(\); got \(1,\)"),
        (lambda: ENERGY(X, sigma=[1.0]), r"Expected `sigma` of shape \(\); got \(1,\)"),
        (lambda: ENERGY([1.0], sigma=1.0), r"Expected `x` of shape \(2,\); got \(1,\)"),
    ],
)
def test_bad_levels_and_points_are_refused(ask, message):
    with pytest.raises(ValueError, match=message):
        ask()


class TestWithACondition:
    """The same family with a condition among the network's inputs."""

    def test_value_has_the_condition_among_the_inputs(self):
        total = np.hypot(SIGMA, 1.5)
        inputs = jnp.array([*(X / total), 4 * SIGMA**2 / total**2, *Y], dtype=float)
        expected = np.sum(X**2) / (2 * total**2) + 1.5 / total * CONDITIONAL.network(inputs)
        np.testing.assert_allclose(CONDITIONAL(X, Y, SIGMA), expected, rtol=1e-5)

    def test_a_condition_without_weight_has_no_say(self):
        first, last = CONDITIONAL.network.layers
        leaves = [first.weight[:3], first.bias, last.weight]
        plain = jax.tree.unflatten(jax.tree.structure(ENERGY), leaves)
        value = CONDITIONAL(X, jnp.zeros(3), SIGMA)
        np.testing.assert_allclose(value, plain(X, sigma=SIGMA), rtol=1e-5)

    @pytest.mark.parametrize(
        "fix",
        [
            lambda energy: energy.at(y=Y, sigma=SIGMA),
            lambda energy: energy.at(y=Y).at(sigma=SIGMA),
            lambda energy: energy.at(sigma=SIGMA).at(y=Y),
        ],
        ids=["at once", "condition first", "level first"],
    )
    @pytest.mark.parametrize("scale", [None, 0.0, 2.0])
    def test_condition_and_level_are_fixed_in_any_order(self, fix, scale):
        kept, dropped = CONDITIONAL(X, Y, SIGMA), CONDITIONAL(X, np.zeros(3), SIGMA)
        energy = CONDITIONAL if scale is None else CONDITIONAL.guided(scale)
        fixed = fix(energy)
        assert isinstance(fixed, AbstractEnergy)
        assert fixed.support.event_dim == 1
        expected = kept if scale is None else (1 + scale) * kept - scale * dropped
        np.testing.assert_allclose(fixed(X), expected, rtol=1e-5)

    def test_what_is_left_open_is_of_the_same_family(self):
        under_noise, at_level = CONDITIONAL.at(y=Y), CONDITIONAL.at(sigma=SIGMA)
        assert isinstance(under_noise, AbstractConditionalEnergy)
        assert isinstance(at_level, AbstractConditionalEnergy)
        assert (under_noise.condition_shape, under_noise.noise_conditional) == (None, True)
        assert (at_level.condition_shape, at_level.noise_conditional) == ((3,), False)
        assert under_noise.null_condition is None
        np.testing.assert_array_equal(at_level.null_condition, np.zeros(3))
        assert under_noise.event_shape == at_level.event_shape == (2,)

    def test_guidance_commutes_with_fixing_the_level(self):
        first = CONDITIONAL.guided(2.0).at(y=Y, sigma=SIGMA)(X)
        then = CONDITIONAL.at(sigma=SIGMA).guided(2.0).at(y=Y)(X)
        np.testing.assert_allclose(first, then, rtol=1e-6)

    def test_guidance_leaves_the_law_without_condition_as_it_is(self):
        guided = CONDITIONAL.guided(2.0).at(kept=False, sigma=SIGMA)
        np.testing.assert_allclose(guided(X), CONDITIONAL(X, np.zeros(3), SIGMA), rtol=1e-5)

    @pytest.mark.parametrize("kept", [True, False])
    def test_keeps_or_drops_the_condition_of_each_example(self, kept):
        def energy(y, kept, sigma):
            return CONDITIONAL.at(y=y, kept=kept, sigma=sigma)(X)

        values = jax.jit(jax.vmap(energy))(
            jnp.stack([Y, Y]), jnp.array([kept, not kept]), jnp.array([0.1, 10.0])
        )
        null = np.zeros(3)
        expected = [
            CONDITIONAL(X, Y if kept else null, 0.1),
            CONDITIONAL(X, null if kept else Y, 10.0),
        ]
        np.testing.assert_allclose(values, expected, rtol=1e-5)
        dropped = CONDITIONAL.at(kept=False).at(sigma=SIGMA)
        assert dropped(X) == CONDITIONAL(X, null, SIGMA)

    @pytest.mark.parametrize(
        ("ask", "message"),
        [
            (lambda: CONDITIONAL(X, [1.0], 1.0), r"Expected `y` of shape \(3,\); got \(1,\)"),
            (lambda: CONDITIONAL(X, Y, [1.0]), r"Expected `sigma` of shape \(\); got \(1,\)"),
            (
                lambda: CONDITIONAL(X, Y),
                r"`sigma` must be a positive number for .*E_sigma\(x \| y\)",
            ),
            (lambda: CONDITIONAL(X, sigma=1.0), r"`y` must be of shape \(3,\) for"),
            (lambda: CONDITIONAL.at(y=[1.0]), r"Expected `y` of shape \(3,\); got \(1,\)"),
            (lambda: CONDITIONAL.guided(np.nan), "`scale` must be finite everywhere"),
            (
                lambda: ENERGY.at(kept=False),
                "`null_condition` of NeuralNoiseConditionalEnergy must",
            ),
            (lambda: ENERGY.guided(1.0), "`null_condition` of NeuralNoiseConditionalEnergy must"),
            (lambda: ENERGY.at(y=Y), r"`y` must be None for .*, an energy E_sigma\(x\); got"),
            (lambda: CONDITIONAL.at(y=Y).at(y=Y), r"`y` must be None for PartlyFixedEnergy"),
            (
                lambda: PartlyFixedEnergy(ENERGY, sigma=1.0),
                r"`energy` must be an E_sigma\(x \| y\) to be fixed in part; got",
            ),
            (
                lambda: PartlyFixedEnergy(CONDITIONAL, Y, 1.0),
                "Exactly one of `y` and `sigma` must be given; got both",
            ),
        ],
    )
    def test_bad_arguments_are_refused(self, ask, message):
        with pytest.raises(ValueError, match=message):
            ask()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"condition_shape": (0,)}, "`condition_shape` must be an integer of at least 1; got 0"),
        ({"class_free": True}, "`class_free` must be False where `condition_shape` is None"),
        ({"event_shape": (0,)}, "`event_shape` must be an integer of at least 1; got 0"),
        ({"depth": 0}, "`depth` must be an integer of at least 1"),
        ({"activation": "relu"}, "`activation` must be one of 'silu', .*; got 'relu'"),
        ({"data_scale": 0.0}, "`data_scale` must be a finite number above 0; got 0.0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        NeuralNoiseConditionalEnergy(**({"event_shape": (2,), "rng_key": KEY} | arguments))
