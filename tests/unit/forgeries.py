"""Model files as a stranger may forge them: with a right checksum, and anything behind it."""

import copy
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

import ebm_ppl as ebm
from ebm_ppl import energies
from ebm_ppl.serialization._container import pack, unpack
from ebm_ppl.serialization._tree import encode

KEY = jax.random.key(0)
REGRESSION = energies.ConditionalGaussian([[1.0, 2.0]], [0.5], [[2.0]], null_condition=[0.0, 1.0])
NEURAL = energies.NeuralEnergy((2, 3), rng_key=KEY, width=3, depth=2)
GRAPH = energies.Graph(3, [(0, 1), (2, 1)])
HONEST = (
    energies.AffineEnergy(energies.Gaussian([0.5, 1.0], np.eye(2)), loc=[0.1, 2.0], scale=[0.3, 3.0]),
    energies.BoltzmannMachine([0.5, 0.1], 0.5, GRAPH),
    energies.ConditionedEnergy(energies.Funnel(dim=3), [0.5, 1.0], [2, 0]),
    energies.GaussianBernoulliRBM.random(KEY, 3, 2),
    energies.GaussianMixture([0.3, 0.7], [[-2.0], [2.0]], [[[1.0]], [[0.25]]]),
    energies.GraphIsing(0.5, [0.1, 0.2, 0.3], GRAPH),
    energies.Ising((4, 3), 0.5, 0.1),
    energies.LikelihoodEnergy(REGRESSION, [[1.0, 2.0], [3.0, 4.0]]),
    energies.NeuralConditionalEnergy((1,), (2,), rng_key=KEY, width=3, class_free=True),
    energies.NeuralNoiseConditionalEnergy((2,), (1,), rng_key=KEY, width=3, class_free=True)
    .guided(2.0)
    .at(y=[0.5]),
    energies.Potts(3, [0.8, -0.1], GRAPH),
    energies.SumEnergy(NEURAL, energies.TemperedEnergy(NEURAL, 0.5)),
    energies.TiltedDoubleWell(dim=2),
    REGRESSION.guided(0.5).at(y=[1.0, 2.0]),
)  # fmt: skip

HOSTILE: tuple[Any, ...] = (
    10**30, 2**63, 2**31, 10**9, 300_000, -1, 0, 1, 2, 3, 1.5, -0.0, 1e999, True, False, None, "", "silu",
    "x" * 10**5, "\x1b[31m\n", [], [1], [10**30], {}, {"array": 0}, {"array": -1}, {"array": 10**30},
    {"array": True}, {"tuple": []}, {"tuple": [10**9] * 8}, {"tuple": [2] * 10**4}, {"tuple": [0.5]},
    {"tuple": ["a"]}, {"sites": 10**9, "edges": []}, {"sites": 3, "edges": [0, 0]},
    {"sites": 10**30, "edges": [0, 10**20]}, {"sites": 2, "edges": ["a", None]},
    {"class": "Quartic", "fields": {}}, {"class": "DoubleWell", "fields": {"dim": 10**30}},
    {"network": {}, "leaves": []},
)  # fmt: skip


def honest(energy: Any) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Header and arrays of an energy's file."""
    arrays: list[np.ndarray] = []
    tree = encode(energy, arrays)
    return unpack(pack({"energy": tree, "metadata": {}}, arrays))


def sealed(header: dict[str, Any], blob: bytes) -> bytes:
    """A file of any header and any bytes behind it, with a right checksum."""
    text = json.dumps(header).encode()
    body = len(text).to_bytes(8, "little") + text + blob
    return b"ebm_ppl energy 1\n" + hashlib.sha256(body).digest() + body


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a header with every key in it."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in list(items):
        yield tree, key
        if isinstance(value, (dict, list)):
            yield from places(value)


def forged(draw_integer: Any) -> bytes:
    """An honest file with a few of its parts replaced, exchanged, repeated or left out.

    Args:
        draw_integer: Draws an integer below its argument.
    """
    header, arrays = honest(HONEST[draw_integer(len(HONEST))])
    header = copy.deepcopy(header)
    for _ in range(1 + draw_integer(2)):
        tree = header.get("energy")
        is_deep = (
            isinstance(tree, dict) and tree and draw_integer(8)
        )  # the layout is soon seen through
        spots = list(places(tree if is_deep else header))
        holder, key = spots[draw_integer(len(spots))]
        match draw_integer(5):
            case 0 | 1:
                holder[key] = copy.deepcopy(HOSTILE[draw_integer(len(HOSTILE))])
            case 2:
                other, place = spots[draw_integer(len(spots))]
                holder[key] = copy.deepcopy(other[place])
            case 3:
                del holder[key]
            case _:
                for _ in range(1 + draw_integer(40)):
                    holder[key] = {"tuple": [holder[key]]}
    blob = b"".join(array.tobytes() for array in arrays)
    match draw_integer(20):
        case 0:
            blob = blob[: draw_integer(len(blob) + 1)]
        case 1:
            blob += bytes(draw_integer(9))
    return sealed(header, blob)


def evaluated(energy: Any) -> jax.ShapeDtypeStruct:
    """What a first use of an energy gives, of whatever kind it is."""

    def value(energy: Any) -> Any:
        x = jax.numpy.zeros(energy.event_shape)
        if isinstance(energy, ebm.AbstractEnergy):
            return energy(x)
        y = None if energy.condition_shape is None else jax.numpy.zeros(energy.condition_shape)
        return energy(x, y, jax.numpy.ones(()) if energy.noise_conditional else None)

    return jax.eval_shape(value, energy)
