"""Energies as trees of JSON values and numbered arrays, and back."""

import dataclasses
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ebm_ppl import energies
from ebm_ppl._checks import is_traced
from ebm_ppl.energies import (
    AbstractConditionalEnergy,
    AbstractEnergy,
    AbstractNoiseConditionalEnergy,
    AbstractNoisyConditionalEnergy,
    CallableConditionalEnergy,
    CallableEnergy,
    Graph,
)
from ebm_ppl.energies._network import Activation, Perceptron, scalar_network
from ebm_ppl.serialization._container import DTYPES, MalformedError

AnyEnergy: TypeAlias = (
    AbstractEnergy
    | AbstractConditionalEnergy
    | AbstractNoiseConditionalEnergy
    | AbstractNoisyConditionalEnergy
)
"""An energy of any kind."""

_CODE = (CallableEnergy, CallableConditionalEnergy)


def _registry() -> dict[str, type]:
    """The classes that a file may name: the energies that the package exports, but for callables."""
    return {
        name: member
        for name, member in vars(energies).items()
        if isinstance(member, type)
        and issubclass(member, AnyEnergy)
        and member not in _CODE
        and not name.startswith("Abstract")
    }


def encode(value: Any, arrays: list[np.ndarray], where: str = "energy") -> Any:
    """Write a value as JSON can hold it; arrays go to the end of `arrays`, and their numbers stay.

    Args:
        value: An energy, or a part of one.
        arrays: The arrays so far; grows.
        where: The path to `value`, for messages.

    Raises:
        ValueError: If a part of the energy is neither an energy of the package nor plain data.
    """
    if isinstance(value, (jax.Array, np.ndarray)):
        return {"array": _store(value, arrays, where)}
    if isinstance(value, Perceptron):
        return {
            "network": _network_sizes(value, where),
            "leaves": _encode_leaves(value, arrays, where),
        }
    if isinstance(value, eqx.Module):
        if _registry().get(type(value).__name__) is not type(value):
            reason = (
                "what it computes is code" if isinstance(value, _CODE) else "it is not ebm_ppl's"
            )
            raise ValueError(
                f"`{where}` cannot be saved: it is a {type(value).__name__}, and {reason}; a model file "
                "holds the energies of ebm_ppl.energies alone."
            )
        fields = {
            field.name: encode(getattr(value, field.name), arrays, f"{where}.{field.name}")
            for field in dataclasses.fields(value)
        }
        return {"class": type(value).__name__, "fields": fields}
    if isinstance(value, Graph):
        return {"sites": value.num_sites, "edges": value.edges.ravel().tolist()}
    if isinstance(value, tuple):
        parts = enumerate(value)
        return {"tuple": [encode(part, arrays, f"{where}[{number}]") for number, part in parts]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(
        f"`{where}` must be an array, a number or a string to be saved; got {value!r}."
    )


def decode(tree: Any, arrays: list[np.ndarray]) -> Any:
    """What `encode` wrote.

    Raises:
        MalformedError: If the tree names what this version of the package does not have.
        KeyError, TypeError, IndexError, ValueError: If it is no such tree.
    """
    if isinstance(tree, list):
        raise ValueError("a list is written as the parts of something")
    if not isinstance(tree, dict):
        return tree
    if "array" in tree:
        return jnp.asarray(arrays[tree["array"]])
    if "tuple" in tree:
        return tuple(decode(part, arrays) for part in tree["tuple"])
    if "edges" in tree:
        return Graph(tree["sites"], np.reshape(tree["edges"], (-1, 2)))
    if "network" in tree:
        return _decode_network(tree, arrays)
    cls = _registry().get(tree["class"])
    if cls is None:
        raise MalformedError(f"holds an energy {tree['class']!r}, which this version does not know")
    names = {field.name for field in dataclasses.fields(cls)}
    if names != tree["fields"].keys():
        raise MalformedError(f"holds a {cls.__name__} with other fields than this version's")
    # Constructors take other arguments than what they store, and would round or refuse what training
    # has made of it.
    energy = object.__new__(cls)
    for name, value in tree["fields"].items():
        object.__setattr__(energy, name, decode(value, arrays))
    return energy


def _store(value: Any, arrays: list[np.ndarray], where: str) -> int:
    if is_traced(value):
        raise ValueError(f"`{where}` must be concrete to be saved; JAX traces it.")
    if str(value.dtype) not in DTYPES:
        raise ValueError(f"`{where}` must be of one of {', '.join(DTYPES)}; got {value.dtype}.")
    arrays.append(np.asarray(value))
    return len(arrays) - 1


def _network_sizes(network: Perceptron, where: str) -> dict[str, Any]:
    """The arguments that build a network; Equinox's own fields differ between its versions."""
    name = network.activation.name if isinstance(network.activation, Activation) else "another"
    sizes = {
        "in_size": network.in_size,
        "width": network.width,
        "depth": network.depth,
        "activation": name,
    }
    if name == "another" or jax.tree.structure(_blank(sizes)) != jax.tree.structure(network):
        raise ValueError(
            f"`{where}` must be a network of ebm_ppl's making to be saved; got another."
        )
    return sizes


def _encode_leaves(network: Perceptron, arrays: list[np.ndarray], where: str) -> list[int]:
    return [_store(leaf, arrays, where) for leaf in jax.tree.leaves(network)]


def _decode_network(tree: dict[str, Any], arrays: list[np.ndarray]) -> Perceptron:
    leaves = [jnp.asarray(arrays[number]) for number in tree["leaves"]]
    if tree["network"]["depth"] > len(leaves):  # or a forged depth might keep us busy for ever
        raise ValueError("a network has arrays for every layer")
    return jax.tree.unflatten(jax.tree.structure(_blank(tree["network"])), leaves)


def _blank(sizes: dict[str, Any]) -> Perceptron:
    """A network without numbers."""
    return eqx.filter_eval_shape(
        lambda key: scalar_network(rng_key=key, **sizes), jax.random.key(0)
    )
