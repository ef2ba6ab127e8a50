"""One model text: the handler gives energies their partition functions, whatever plates make of them."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer.util import log_density
from scipy.integrate import simpson

import ebm_ppl as ebm
from ebm_ppl.doubly_intractable import normalized
from ebm_ppl.energies import Quartic
from ebm_ppl.quadrature import QuadratureNormalizer

NORMALIZER = QuadratureNormalizer(bounds=(-6.0, 6.0))
DATA = jnp.array([0.5, -1.0, 0.2])


def in_a_plate(a):
    with numpyro.plate("data", len(DATA)):
        numpyro.sample("x", ebm.EnergyDistribution(Quartic(a=a)), obs=DATA)


def as_one_event(a):
    numpyro.sample("x", ebm.EnergyDistribution(Quartic(a=a)).expand([3]).to_event(1), obs=DATA)


def masked(a):
    law = ebm.EnergyDistribution(Quartic(a=a)).expand([4]).mask(jnp.arange(4) < 3)
    numpyro.sample("x", law, obs=jnp.append(DATA, 7.0))


def _exact(a):
    x = np.linspace(-10.0, 10.0, 4001)
    quartic = Quartic()
    b, coefficient = float(quartic.b), float(np.exp(quartic.gamma))
    energy = lambda x: a * x**2 + b * x + coefficient * x**4  # noqa: E731
    log_z = np.log(simpson(np.exp(-energy(x)), x=x))
    return -np.sum(energy(np.asarray(DATA, np.float64))) - 3 * log_z


@pytest.mark.parametrize("likelihood", [in_a_plate, as_one_event, masked])
def test_the_log_density_has_its_partition_function(likelihood):
    def model():
        likelihood(numpyro.sample("a", dist.Normal()))

    known = normalized(model, NORMALIZER)
    density = jax.jit(lambda a: log_density(known, (), {}, {"a": a})[0])
    expected = _exact(0.3) + float(dist.Normal().log_prob(0.3))
    assert abs(float(density(0.3)) - expected) < 1e-4
    with pytest.raises(ebm.DoublyIntractableError):
        jax.jit(lambda a: log_density(model, (), {}, {"a": a})[0])(0.3)


def test_what_has_a_normaliser_keeps_it_and_other_sites_are_left_alone():
    def model():
        numpyro.sample("x", ebm.EnergyDistribution(Quartic(), log_z=2.0), obs=jnp.asarray(0.0))
        numpyro.sample("y", dist.Normal(), obs=jnp.asarray(0.0))

    expected = -2.0 + float(dist.Normal().log_prob(0.0))
    assert abs(float(log_density(normalized(model, 5.0), (), {}, {})[0]) - expected) < 1e-6


def test_a_normaliser_is_needed():
    with pytest.raises(ValueError, match="`log_z` must be a normaliser; got None"):
        normalized(in_a_plate)
