"""What users of NumPyro's NUTS are used to, asked of every kernel with the same calls."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.infer import MCMC, NUTS
from numpyro.infer.mcmc import MCMCKernel
from numpyro.util import nested_attrgetter

import ebm_ppl as ebm
from ebm_ppl import samplers
from ebm_ppl.samplers import MALA, AbstractEnergyKernel, AbstractKernel, ChEESHMC
from tests.contract.runs import run

KERNELS = [
    kernel
    for kernel in vars(samplers).values()
    if inspect.isclass(kernel)
    and issubclass(kernel, AbstractKernel)
    and not inspect.isabstract(kernel)
]
OF_NUTS = [
    name for name in inspect.signature(NUTS).parameters if not name.endswith(("model", "fn"))
]
OF_NUTS.append("kinetic_fn")
FIELDS = (
    *("num_steps", "potential_energy", "accept_prob", "mean_accept_prob", "diverging", "i"),
    *("adapt_state.step_size", "adapt_state.inverse_mass_matrix"),
    *("adapt_state.mass_matrix_sqrt", "adapt_state.mass_matrix_sqrt_inv"),
)
DRAWS_MOMENTA = {"ChEESHMC", "MAMS", "NUTS"}
LATTICE = ebm.energies.Ising((2, 2), 0.3, periodic=False)

of_every_kernel = pytest.mark.parametrize("cls", [*KERNELS, NUTS], ids=lambda cls: cls.__name__)
pytestmark = pytest.mark.usefixtures("light_compilation")


def standard(z: jax.Array) -> jax.Array:
    return 0.5 * jnp.sum(z**2)


def make(cls: Any, **options: Any) -> MCMCKernel:
    if issubclass(cls, AbstractEnergyKernel):
        return cls(potential_fn=ebm.potential_fn(LATTICE), **options)
    if "proposal" in inspect.signature(cls).parameters:
        options["proposal"] = dist.Normal(0.0, 1.0).expand([2]).to_event(1)
    return cls(potential_fn=standard, **options)


def state_of(cls: Any) -> Any:
    start = jnp.ones((2, 2)) if issubclass(cls, AbstractEnergyKernel) else jnp.zeros(2)
    return make(cls).init(jax.random.key(0), 0, start, (), {})


@of_every_kernel
def test_fields_are_there(cls: Any) -> None:
    nested_attrgetter(*FIELDS)(state_of(cls))


@of_every_kernel
def test_energy_is_there_or_refused(cls: Any) -> None:
    state = state_of(cls)
    if cls.__name__ in DRAWS_MOMENTA:
        assert np.shape(nested_attrgetter("energy")(state)) == ()
        return
    with pytest.raises(ValueError, match="`energy` is a field of kernels that draw a momentum"):
        nested_attrgetter("energy")(state)


@pytest.mark.parametrize("cls", KERNELS, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("name", ["height", "adapt_state.height"])
def test_unknown_fields_are_answered_with_the_known_ones(cls: Any, name: str) -> None:
    known = "potential_energy" if name == "height" else "step_size"
    with pytest.raises(ValueError, match=rf"must name fields of .*{known}.*; got 'height'"):
        nested_attrgetter(name)(state_of(cls))


@pytest.mark.parametrize("cls", [MALA, NUTS])
def test_unknown_fields_are_answered_for_kernels_of_numpyro_too(cls: Any) -> None:
    mcmc = ebm.MCMC(make(cls), num_warmup=0, num_samples=1, progress_bar=False)
    for name in ("height", "adapt_state.height"):
        with pytest.raises(ValueError, match=r"must name fields of .*; got 'height'"):
            mcmc.run(jax.random.key(0), init_params=jnp.zeros(2), extra_fields=(name,))


@pytest.mark.parametrize("cls", KERNELS, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("name", OF_NUTS)
def test_options_are_taken_or_refused_with_the_reason(cls: Any, name: str) -> None:
    default = inspect.signature(NUTS).parameters[name].default
    value = 1.5 if name == "trajectory_length" else default
    if name in inspect.signature(cls).parameters:
        assert isinstance(make(cls, **{name: value}), cls)
        return
    with pytest.raises(ValueError, match=rf"{cls.__name__} has no `{name}`: .+\."):
        make(cls, **{name: value})


@of_every_kernel
def test_blocks_of_sites_are_those_of_nuts(cls: Any) -> None:
    blocks = {("w",): jnp.eye(1), ("y", "x"): jnp.array([[2.0, 0.9], [0.9, 1.0]])}
    if "dense_mass" in inspect.signature(cls).parameters:
        assert isinstance(make(cls, dense_mass=list(blocks), inverse_mass_matrix=blocks), cls)
        return
    with pytest.raises(ValueError, match="has no `dense_mass`"):
        make(cls, dense_mass=list(blocks))


def test_subclasses_may_hand_on_what_they_are_given() -> None:
    class Handing(MALA):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)

    assert isinstance(make(Handing, step_size=0.1, dense_mass=True), Handing)


def test_options_that_nobody_has_are_unexpected() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'height'"):
        make(MALA, height=1.0)


def test_fields_of_a_run_are_those_of_its_trajectories() -> None:
    """Energies lie above the potential by half a chi-square number, whose mean is 1 in two dimensions."""
    options = {"init_params": jnp.zeros((2, 2)), "extra_fields": ("energy", "num_steps")}
    mcmc = run(ChEESHMC(potential_fn=standard), **options, num_samples=200)
    fields = mcmc.get_extra_fields(group_by_chain=True)
    potential = jax.vmap(jax.vmap(standard))(mcmc.get_samples(group_by_chain=True))
    kinetic = fields["energy"][:, 1:] - potential[:, :-1]
    assert np.all(kinetic > -1e-5)
    assert 0.5 < float(kinetic.mean()) < 1.5  # ten standard errors
    assert np.all(fields["num_steps"] >= 1)


@pytest.mark.parametrize("dense", [False, True])
def test_roots_of_mass_matrices_are_those_of_nuts(dense: bool) -> None:
    matrix = jnp.array([[2.0, 0.9], [0.9, 1.0]]) if dense else jnp.array([4.0, 0.25])
    options = {"inverse_mass_matrix": matrix, "dense_mass": dense}
    keys, start = jax.random.split(jax.random.key(0)), jnp.zeros((2, 2))
    ours, theirs = (
        make(cls, **options).init(keys, 0, start, (), {}).adapt_state for cls in (MALA, NUTS)
    )
    for name in ("mass_matrix_sqrt", "mass_matrix_sqrt_inv"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cls", [MALA, samplers.RandomWalkMetropolis, NUTS])
def test_steps_of_a_large_energy_error_diverge_along_gradients_alone(cls: Any) -> None:
    kernel = cls(potential_fn=lambda z: 1e4 * jnp.sum(z**2), step_size=10.0, adapt_step_size=False)
    mcmc = MCMC(kernel, num_warmup=0, num_samples=5, progress_bar=False)
    mcmc.run(jax.random.key(0), init_params=jnp.full(2, 0.1))
    is_blind = cls is samplers.RandomWalkMetropolis
    assert bool(np.all(mcmc.get_extra_fields()["diverging"])) != is_blind


@pytest.mark.parametrize("shape", [(), (3,)])
def test_discrete_sites_are_summed_over_as_those_of_numpyro(shape: tuple[int, ...]) -> None:
    probs = jnp.array([0.2, 0.5, 0.3])
    energy = ebm.energies.from_callable(
        lambda x: -jnp.log(probs)[x.astype(int)], (), dist.constraints.integer_interval(0, 2)
    )
    ours = ebm.EnergyDistribution(energy, log_z=0.0).expand(shape)
    theirs = dist.Categorical(probs).expand(shape)
    assert ours.has_enumerate_support == theirs.has_enumerate_support
    for expand in (False, True):
        states = ours.enumerate_support(expand)
        np.testing.assert_array_equal(states, theirs.enumerate_support(expand))
        numbers = states.astype(int)  # by which NumPyro's law looks probabilities up
        np.testing.assert_allclose(ours.log_prob(states), theirs.log_prob(numbers), rtol=1e-5)
