"""Moves: some steps of a kernel or of several, with settings that are given, scheduled or left open."""

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpyro.infer import HMC

import ebm_ppl as ebm
from ebm_ppl.energies import Quartic, RestrictedBoltzmannMachine
from ebm_ppl.partition import AnnealingSchedule, annealed_importance_sampling
from ebm_ppl.samplers import Moves, run_short_chain
from ebm_ppl.samplers._contract.target import Transition
from ebm_ppl.samplers.moves import as_moves

KEY = jax.random.key(0)


class Adding(ebm.RandomWalkMetropolis):
    """Adds its step size, whatever the energy; accepted in half of the cases, as it says."""

    def transition(self, rng_key, target, start, auxiliary, settings):
        end = target.evaluate(start.position + settings.step_size)
        return Transition(end, auxiliary, jnp.asarray(0.5), jnp.zeros((), bool))


def _flat(z):
    return 0.0 * jnp.sum(z)


def _end(moves, step=0):
    return float(jax.jit(lambda step: moves.run(_flat, jnp.zeros(()), KEY, step)[0])(step))


def test_one_kernel_is_a_short_chain():
    moves = Moves(ebm.MALA, num_steps=3, step_size=0.3)
    potential = ebm.potential_fn(Quartic())
    kernel = ebm.MALA(potential_fn=potential, step_size=0.3)
    np.testing.assert_array_equal(
        moves.run(potential, jnp.ones(()), KEY), run_short_chain(kernel, jnp.ones(()), 3, KEY)
    )


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        (Moves(Adding, step_size=1.0), 1.0),
        (Moves(Adding, 4, step_size=0.5), 2.0),
        (Moves(Moves(Adding, 4, step_size=0.5), 2), 4.0),
        (Moves([Moves(Adding, 4, step_size=0.5)], 2), 4.0),
        (Moves((Moves(Adding, 3, step_size=1.0), Moves(Adding, step_size=10.0)), 2), 26.0),
        (Moves((functools.partial(Adding, step_size=2.0), Moves(Adding, step_size=1.0))), 3.0),
        (as_moves(Moves(Adding, 2, step_size=1.0), 3), 6.0),
        (as_moves((Moves(Adding, step_size=1.0), Moves(Adding, 2, step_size=1.0)), 5), 15.0),
        (as_moves(Moves(Adding, lambda step: 2.0, step_size=1.0), 3), 6.0),
    ],
)
def test_every_turn_makes_its_steps(moves, expected):
    np.testing.assert_allclose(_end(moves), expected)


def test_turns_follow_one_another_in_the_order_given():
    """The second kernel starts where the first has led."""

    class Doubling(Adding):
        def transition(self, rng_key, target, start, auxiliary, settings):
            end = target.evaluate_at(2.0 * start.z)
            return Transition(end, auxiliary, jnp.asarray(0.5), jnp.zeros((), bool))

    one, double = Moves(Adding, step_size=1.0), Moves(Doubling)
    assert (_end(Moves((one, double), 2)), _end(Moves((double, one), 2))) == (6.0, 3.0)


@pytest.mark.parametrize(("step", "expected"), [(0, 1.0), (5, 15.0), (10, 40.0)])
def test_schedules_of_sizes_and_numbers_are_read_at_the_step(step, expected):
    """Sizes rise from 1 to 4, and numbers from 1 to 10, of which 5.5 is rounded to even."""
    sizes, numbers = (optax.linear_schedule(1.0, end, 10) for end in (4.0, 10.0))
    moves = Moves(Adding, numbers, step_size=sizes)
    np.testing.assert_allclose(_end(moves, step), expected)
    np.testing.assert_allclose(_end(Moves((moves, moves)), step), 2 * expected)


def test_a_number_of_steps_never_falls_below_one():
    moves = Moves(Adding, lambda step: 1.0 - step, step_size=1.0)
    assert _end(moves, step=5) == 1.0


def test_the_acceptance_probability_is_the_mean_over_turns():
    sure = functools.partial(ebm.RandomWalkMetropolis, step_size=1.0)
    for moves, expected in ((Moves(Adding, 3), 0.5), (Moves((Adding, sure), 2), 0.75)):
        accept_prob = jax.jit(lambda moves=moves: moves.run(_flat, jnp.zeros(()), KEY)[1])()
        np.testing.assert_allclose(accept_prob, expected)


def test_repeated_schedules_are_equal_and_compile_once():
    def numbers(step):
        return 2.0

    first, again = (as_moves(Moves(Adding, numbers), 3) for _ in range(2))
    assert first == again
    assert jax.tree.structure(first) == jax.tree.structure(again)
    assert as_moves(Moves(Adding, numbers), 1) == Moves(Adding, numbers)


def test_they_can_be_pickled():
    moves = Moves((ebm.MALA, Moves(ebm.RandomWalkMetropolis, 3, step_size=2.5)), 2)
    assert pickle.loads(pickle.dumps(moves)) == moves


class TestTuning:
    @pytest.mark.parametrize(
        ("moves", "is_tunable"),
        [
            (Moves(ebm.MALA), True),
            (Moves(HMC, 2), True),
            (Moves(functools.partial(HMC, num_steps=3)), True),
            (Moves(functools.partial(ebm.MALA, step_size=0.1)), False),
            (Moves(ebm.MALA, step_size=0.1), False),
            (Moves(ebm.BlockGibbs), False),
            (Moves((ebm.MALA, ebm.RandomWalkMetropolis)), False),
        ],
    )
    def test_is_of_one_kernel_whose_step_size_is_open(self, moves, is_tunable):
        assert moves.is_tunable == is_tunable

    def test_of_several_is_refused_on_a_path(self):
        kernels = (Moves(ebm.MALA, step_size=0.1), ebm.RandomWalkMetropolis)
        for kernel in (kernels, Moves(kernels), Moves((Moves(kernels), ebm.GibbsWithGradients))):
            with pytest.raises(ValueError, match="`kernel` must bring a step size for each of sev"):
                annealed_importance_sampling(Quartic(), KEY, kernel=kernel, schedule=4)


class TestOnAPath:
    """Whatever leaves the laws on a path invariant, at whatever step sizes, estimates log Z without bias."""

    LOG_Z = float(ebm.quadrature.normalize(Quartic()).log_z)

    @pytest.mark.parametrize(
        "kernel",
        [
            Moves(ebm.MALA, 2),
            Moves(ebm.MALA, step_size=lambda beta: 0.5 - 0.4 * beta),
            Moves(ebm.MALA, lambda beta: 1 + 2 * beta, step_size=0.2),
            (Moves(ebm.MALA, step_size=0.2), Moves(ebm.RandomWalkMetropolis, 2, step_size=1.5)),
        ],
        ids=["tuned", "sizes by temperature", "numbers by temperature", "turns"],
    )
    def test_estimates_hold(self, kernel):
        """Within 5.5 standard errors, so a false alarm below 4e-8."""
        found = annealed_importance_sampling(
            Quartic(), KEY, kernel=kernel, schedule=20, num_chains=400
        )
        assert abs(found.log_z - self.LOG_Z) < 5.5 * found.std_error < 0.2
        assert found.diagnostics["accept_prob"].min() > 0.5

    def test_a_kernel_without_step_size_refuses_those_of_a_schedule(self):
        machine = RestrictedBoltzmannMachine([[2.0], [-1.0]], [0.0, 0.5], [-0.5])
        schedule = AnnealingSchedule(jnp.linspace(0.0, 1.0, 4), jnp.full(3, 0.3))
        with pytest.raises(ValueError, match="`step_size` must be None for a kernel without such"):
            annealed_importance_sampling(machine, KEY, schedule=schedule)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Moves("mala"), "`kernel` must be a kernel class or callable; got 'mala'"),
        (lambda: Moves(0.1), "`kernel` must be a kernel class or callable; got 0.1"),
        (lambda: Moves((ebm.MALA, 3)), "`kernel` must be a kernel class or callable; got 3"),
        (lambda: Moves(()), "`kernel` must name at least one kernel"),
        (lambda: Moves(ebm.MALA, 0), "`num_steps` must be an integer of at least 1; got 0"),
        (lambda: Moves(ebm.MALA, 2.0), "`num_steps` must be an integer of at least 1; got 2.0"),
        (lambda: Moves(ebm.MALA, lambda step: step), "`num_steps` must be a finite number above 0"),
        (lambda: Moves(ebm.MALA, step_size=-1.0), "`step_size` must be a finite number above 0"),
        (
            lambda: Moves(ebm.MALA, step_size=lambda step: -1.0),
            "`step_size` must be a finite number above 0; got -1.0",
        ),
        (
            lambda: Moves(ebm.Langevin, noise_scale=0.0),
            "`noise_scale` must be a finite number above 0",
        ),
        (lambda: Moves(ebm.BlockGibbs, step_size=0.1), "`step_size` must be None for a kernel w"),
        (lambda: Moves(ebm.MALA, noise_scale=0.1), "`noise_scale` must be None for a kernel w"),
        (
            lambda: Moves((ebm.MALA, ebm.Langevin), step_size=0.1),
            "`step_size` must be given to each of the kernels that take turns",
        ),
        (lambda: as_moves(ebm.MALA, 0), "`num_steps` must be an integer of at least 1; got 0"),
    ],
)
def test_bad_settings_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()
