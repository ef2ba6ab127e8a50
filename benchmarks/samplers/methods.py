"""The samplers of the benchmark."""

import importlib.util
from typing import Any

from numpyro.infer import NUTS

from benchmarks.samplers import blackjax_microcanonical, with_blackjax
from benchmarks.samplers._method import Method
from benchmarks.samplers.with_numpyro import numpyro_kernel, one_after_another
from ebm_ppl.samplers import MALA, MAMS, MCLMC, ChEESHMC, ReplicaExchange


def _nuts(potential: Any) -> NUTS:
    return NUTS(potential_fn=potential)


def _chees(potential: Any) -> ChEESHMC:
    return ChEESHMC(potential_fn=potential)


def _dense_chees(potential: Any) -> ChEESHMC:
    return ChEESHMC(potential_fn=potential, dense_mass=True)


def _mams(potential: Any) -> MAMS:
    return MAMS(potential_fn=potential)


def _dense_mams(potential: Any) -> MAMS:
    return MAMS(potential_fn=potential, dense_mass=True)


def _mclmc(potential: Any) -> MCLMC:
    return MCLMC(potential_fn=potential)


def _dense_mclmc(potential: Any) -> MCLMC:
    return MCLMC(potential_fn=potential, dense_mass=True)


def _careful_mclmc(potential: Any) -> MCLMC:
    return MCLMC(potential_fn=potential, dense_mass=True, energy_variance=5e-5)


def _mala(potential: Any) -> MALA:
    return MALA(potential_fn=potential)


def _replicas(potential: Any) -> ReplicaExchange:
    return ReplicaExchange(ChEESHMC(potential_fn=potential), num_replicas=5)


def _fitted_replicas(potential: Any) -> ReplicaExchange:
    return ReplicaExchange(ChEESHMC(potential_fn=potential), num_replicas=3, adapt_base=True)


MODES = ("quartic", "double-well", "mixture", "separate")
"""Targets with separate modes."""

METHODS = [
    Method("ebm_ppl", "ChEESHMC", 64, 400, 600, numpyro_kernel(_chees)),
    Method("ebm_ppl", "ChEESHMC, dense", 64, 400, 600, numpyro_kernel(_dense_chees)),
    Method("ebm_ppl", "ChEESHMC, dense", 256, 200, 400, numpyro_kernel(_dense_chees)),
    Method("ebm_ppl", "MAMS", 64, 400, 600, numpyro_kernel(_mams)),
    Method("ebm_ppl", "MAMS, dense", 64, 400, 600, numpyro_kernel(_dense_mams), is_quick=False),
    Method("ebm_ppl", "MCLMC", 64, 400, 6000, numpyro_kernel(_mclmc), thinning=10, is_quick=False),
    Method(
        "ebm_ppl",
        "MCLMC, dense",
        64,
        400,
        2000,
        numpyro_kernel(_dense_mclmc),
        thinning=4,
        is_quick=False,
    ),
    Method(
        "ebm_ppl",
        "MCLMC, dense, V = 5e-5",
        64,
        400,
        2000,
        numpyro_kernel(_careful_mclmc),
        thinning=4,
    ),
    Method("ebm_ppl", "MALA", 64, 400, 2000, numpyro_kernel(_mala), thinning=4),
    Method("ebm_ppl", "ReplicaExchange", 64, 200, 400, numpyro_kernel(_replicas), MODES),
    Method(
        "ebm_ppl", "ReplicaExchange, fitted", 64, 200, 400, numpyro_kernel(_fitted_replicas), MODES
    ),
    Method("ebm_ppl", "ChEESHMC", 4, 1000, 1000, numpyro_kernel(_chees)),
    Method("ebm_ppl", "MAMS", 4, 1000, 1000, numpyro_kernel(_mams)),
    Method("NumPyro", "NUTS, one by one", 4, 1000, 1000, one_after_another(_nuts)),
    Method("NumPyro", "NUTS", 4, 1000, 1000, numpyro_kernel(_nuts)),
    Method("NumPyro", "NUTS", 64, 400, 600, numpyro_kernel(_nuts)),
    Method("NumPyro", "NUTS", 256, 200, 400, numpyro_kernel(_nuts), is_quick=False),
]
if importlib.util.find_spec("blackjax") is not None:
    more_than_one_coordinate = (
        "double-well",
        "gaussian",
        "mixture",
        "separate",
        "rosenbrock",
        "logistic",
    )
    mclmc, adjusted = (
        with_blackjax.in_one_batch(sample)
        for sample in (blackjax_microcanonical.mclmc, blackjax_microcanonical.adjusted)
    )
    METHODS += [
        Method("BlackJAX", "MALA", 64, 400, 2000, with_blackjax.mala, thinning=4),
        Method("BlackJAX", "ChEES", 64, 400, 600, with_blackjax.chees),
        Method("BlackJAX", "MCLMC", 64, 1500, 6000, mclmc, more_than_one_coordinate, thinning=10),
        Method(
            "BlackJAX",
            "adjusted MCLMC",
            64,
            600,
            600,
            adjusted,
            more_than_one_coordinate,
            is_quick=False,
        ),
        Method("BlackJAX", "NUTS, one by one", 4, 1000, 1000, with_blackjax.nuts),
    ]
