"""Energies of one dimension share a kernel's programs, and get from them what they would get alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ebm_ppl.validation import cases, subjects
from ebm_ppl.validation.chains import ShortChainRunner
from ebm_ppl.validation.family import Member, in_families

NAMES = ("tilted_double_well_1d", "gamma", "gaussian", "boltzmann_machine", "potts_chain")


@pytest.fixture(scope="module")
def members() -> dict[str, Member]:
    potentials = [subjects.built_in()[name].potential for name in NAMES]
    return dict(zip(NAMES, in_families(potentials), strict=True))


def test_real_energies_of_one_dimension_are_a_family_and_discrete_ones_are_alone(
    members: dict[str, Member],
) -> None:
    families = [members[name].family for name in NAMES]
    assert families[0] is families[1]
    assert len({id(family) for family in families}) == 4
    assert [members[name].index for name in NAMES] == [0, 1, 0, 0, 0]


@pytest.mark.parametrize("name", NAMES[:2])
def test_a_member_is_the_potential_that_it_stands_for(
    members: dict[str, Member], name: str
) -> None:
    member = members[name]
    chosen = member.family.member(jnp.asarray(member.index))
    points = jnp.linspace(-2.0, 2.0, 9)
    potential = member.potential
    value, gradient = jax.vmap(jax.value_and_grad(chosen))(points[:, None])
    alone = jax.value_and_grad(lambda z: potential(z.reshape(potential.position_shape)))
    expected, expected_gradient = jax.vmap(alone)(points)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient[:, 0], expected_gradient, rtol=1e-5)


def test_chains_of_a_family_end_where_they_end_alone_and_in_one_program(
    members: dict[str, Member],
) -> None:
    case = cases.discover()["random-walk-metropolis"]
    start = np.linspace(-1.0, 1.0, 16)[:, None]
    for name in NAMES[:2]:
        member = members[name]
        shared = ShortChainRunner(case, member)
        alone = ShortChainRunner(case, member.potential)
        positions = start.reshape(16, *member.potential.position_shape)
        together = shared(jax.random.key(0), start, 0.5)
        apart = alone(jax.random.key(0), positions, 0.5)
        np.testing.assert_allclose(together.end, apart.end, rtol=1e-5, atol=1e-6)
        assert shared._run._cache_size() == 1
