"""Newton's method: one step on a quadratic, descent from afar, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ebm_ppl._precision import float64
from ebm_ppl.trainers import newton

NEWTON = newton()


def minimise(fn, start, num_steps):
    """Values along the way and the last parameters."""

    @jax.jit
    def step(params):
        value, gradient = jax.value_and_grad(fn)(params)
        updates, _ = NEWTON.update(
            gradient, NEWTON.init(params), params, value=value, grad=gradient, value_fn=fn
        )
        return optax.apply_updates(params, updates), value

    values = []
    for _ in range(num_steps):
        start, value = step(start)
        values.append(float(value))
    return start, np.array(values)


def test_one_step_solves_a_quadratic_whatever_the_units():
    matrix = np.array([[2.0, 0.3], [0.3, 1.0]])
    units = np.array([1e-6, 1e6])
    with float64():

        def quadratic(params):
            z = (params["x"] - jnp.array([3.0, -1.0])) * units
            return 0.5 * z @ matrix @ z + 0 * params["unused"]

        end, _ = minimise(quadratic, {"x": jnp.zeros(2), "unused": jnp.asarray(7.0)}, 1)
    np.testing.assert_allclose(end["x"], [3.0, -1.0], rtol=1e-3)
    assert float(end["unused"]) == 7.0


def test_converges_quadratically_from_afar():
    with float64():

        def softened(x):  # convex, with a Hessian that vanishes far away
            return jnp.sum(jnp.log(jnp.cosh(x - jnp.array([1.0, -2.0]))))

        end, values = minimise(softened, jnp.array([15.0, -20.0]), 40)
    np.testing.assert_allclose(end, [1.0, -2.0], atol=1e-12)
    assert np.all(np.diff(values) <= 1e-12)


def test_leads_downhill_where_the_loss_is_not_convex():
    with float64():

        def rosenbrock(x):
            return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2

        end, values = minimise(rosenbrock, jnp.array([-1.2, 1.0]), 40)
        np.testing.assert_allclose(end, [1.0, 1.0], atol=1e-10)
        assert np.all(np.diff(values) <= 1e-12)

        def two_wells(x):
            return jnp.sum((x**2 - 1) ** 2)

        end, _ = minimise(two_wells, jnp.array([0.1, -0.01]), 20)
        np.testing.assert_allclose(end, [1.0, -1.0], atol=1e-10)


def test_steps_back_from_where_the_loss_is_not_finite():
    def barrier(x):
        return jnp.where(x > 0, x - jnp.log(jnp.where(x > 0, x, 1.0)), jnp.inf)

    end, _ = minimise(barrier, jnp.asarray(50.0), 40)
    np.testing.assert_allclose(end, 1.0, rtol=1e-3)


def test_does_not_move_where_no_step_helps():
    # A slope that the function itself does not have.
    gradient = jnp.array([1.0])
    updates, _ = NEWTON.update(
        gradient, NEWTON.init(gradient), gradient, value=jnp.asarray(0.0), value_fn=_climbs
    )
    assert float(updates[0]) == 0.0


def test_stays_where_nothing_bends():
    at = jnp.array([1.0, -2.0])
    flat = minimise(lambda x: 0.0 * jnp.sum(x), at, 1)[0]
    np.testing.assert_array_equal(flat, at)


def _climbs(x):
    return jnp.sum(1.0 + (x - 1.0) ** 2)


@pytest.mark.parametrize("damping", [0.0, 1.0, -1.0])
def test_refuses_damping_outside_its_bounds(damping):
    with pytest.raises(ValueError, match="`damping` must be a number in"):
        newton(damping)


def test_refuses_large_models_and_missing_arguments():
    with pytest.raises(ValueError, match="at most 1000 entries for Newton's method; got 1001"):
        NEWTON.init({"x": jnp.zeros((7, 143))})
    with pytest.raises(ValueError, match="`value_fn` must be given"):
        NEWTON.update(jnp.zeros(1), NEWTON.init(jnp.zeros(1)), jnp.zeros(1), value=jnp.zeros(()))
