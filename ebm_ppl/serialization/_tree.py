"""Energies as trees of JSON values and numbered arrays, and back."""

import dataclasses
import reprlib
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ebm_ppl import energies
from ebm_ppl._checks import is_traced
from ebm_ppl._processes import on_host
from ebm_ppl.energies import (
    AbstractConditionalEnergy,
    AbstractEnergy,
    CallableConditionalEnergy,
    CallableEnergy,
    Graph,
)
from ebm_ppl.energies._network import Activation, Dense, Perceptron
from ebm_ppl.serialization._container import DTYPES, MalformedError

AnyEnergy: TypeAlias = AbstractEnergy | AbstractConditionalEnergy
"""An energy, at whatever conditions."""

MOST_LEVELS = 32
"""Most levels of energies within energies."""

MOST_ENERGIES = 1024
"""Most energies of a file, of which each takes 1 to 5 ms to evaluate abstractly."""

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
        edges = value.edges.astype(np.int32)  # a graph that fits into memory has fewer sites
        return {"sites": value.num_sites, "edges": _store(edges, arrays, where)}
    if isinstance(value, tuple):
        parts = enumerate(value)
        return {"tuple": [encode(part, arrays, f"{where}[{number}]") for number, part in parts]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(
        f"`{where}` must be an array, a number or a string to be saved; got {value!r}."
    )


def decode(
    tree: Any, arrays: Sequence[np.ndarray], as_leaf: Callable[[np.ndarray], Any] = jnp.asarray
) -> Any:
    """What `encode` wrote.

    Each array is used once, so that a file asks for no more memory than it holds.

    Args:
        tree: The tree.
        arrays: The arrays.
        as_leaf: Makes an energy's parameter of an array, or what stands for one while the file's claims
            are looked at.

    Returns:
        The energy, or whatever else the tree holds.

    Raises:
        MalformedError: If the tree names what this version of the package does not have, is nested more
            than `MOST_LEVELS` deep, or holds more than `MOST_ENERGIES`.
        ValueError: If it is no such tree, or names an array not once.
    """
    reader = _Reader(arrays, as_leaf)
    value = reader.read(tree, 0)
    if not all(reader.is_taken):
        raise ValueError("an array belongs to nothing")
    return value


class _Reader:
    """Reads a tree, and gives each array away once."""

    def __init__(self, arrays: Sequence[np.ndarray], as_leaf: Callable[[np.ndarray], Any]) -> None:
        self.arrays = arrays
        self.as_leaf = as_leaf
        self.is_taken = [False] * len(arrays)
        self.num_energies = 0

    def read(self, tree: Any, level: int) -> Any:
        if level > MOST_LEVELS:
            raise MalformedError(f"is nested more than {MOST_LEVELS} levels deep")
        match tree:
            case None | bool() | int() | float() | str():
                return tree
            case {"array": number, **rest} if not rest:
                return self.as_leaf(self.take(number))
            case {"tuple": [*parts], **rest} if not rest:
                return tuple(self.read(part, level + 1) for part in parts)
            case {"sites": sites, "edges": edges, **rest} if not rest:
                return Graph(sites, self.edges(edges))
            case {"network": {**sizes}, "leaves": [*numbers], **rest} if not rest:
                return self.network(sizes, numbers)
            case {"class": str(name), "fields": {**fields}, **rest} if not rest:
                self.num_energies += 1
                if self.num_energies > MOST_ENERGIES:
                    raise MalformedError(f"holds more than {MOST_ENERGIES} energies")
                cls = _class_of(name, fields)
                parts = {field: self.read(part, level + 1) for field, part in fields.items()}
                return _made(cls, **parts)
        raise ValueError("no tree that `encode` writes")

    def take(self, number: Any) -> np.ndarray:
        if type(number) is not int or not 0 <= number < len(self.arrays) or self.is_taken[number]:
            raise ValueError(f"an array is one of {len(self.arrays)}, and used once")
        self.is_taken[number] = True
        return self.arrays[number]

    def edges(self, edges: Any) -> np.ndarray:
        if isinstance(edges, list):
            if not all(type(site) is int for site in edges):
                raise ValueError("edges are numbers of sites")
            return np.array(edges, dtype=np.int64).reshape(-1, 2)
        table = self.take(edges)
        if table.dtype.kind != "i":
            raise ValueError("edges are numbers of sites")
        return table

    def network(self, sizes: dict[str, Any], numbers: list[Any]) -> Perceptron:
        *inner, last = [self.as_leaf(self.take(number)) for number in numbers]
        pairs = [*zip(inner[::2], inner[1::2], strict=True), (last, None)]
        layers = tuple(_made(Dense, weight=weight, bias=bias) for weight, bias in pairs)
        activation = _made(Activation, name=sizes["activation"])
        network = _made(Perceptron, layers=layers, activation=activation)
        if _sizes(network) != sizes:
            raise ValueError("a network has the sizes of its arrays")
        return network


def _class_of(name: str, fields: dict[str, Any]) -> type:
    cls = _registry().get(name)
    if cls is None:
        raise MalformedError(
            f"holds an energy {reprlib.repr(name)}, which this version does not know"
        )
    if {field.name for field in dataclasses.fields(cls)} != fields.keys():
        raise MalformedError(f"holds a {name} with other fields than this version's")
    return cls


def _made(cls: Any, **fields: Any) -> Any:
    """An instance by its fields, unchecked.

    Constructors take other arguments than what they store, and would round or refuse what training has made
    of it.
    """
    made = object.__new__(cls)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def _store(value: Any, arrays: list[np.ndarray], where: str) -> int:
    if is_traced(value):
        raise ValueError(f"`{where}` must be concrete to be saved; JAX traces it.")
    if str(value.dtype) not in DTYPES:
        raise ValueError(f"`{where}` must be of one of {', '.join(DTYPES)}; got {value.dtype}.")
    arrays.append(on_host(value))
    return len(arrays) - 1


def _network_sizes(network: Perceptron, where: str) -> dict[str, Any]:
    """The arguments that build a network; Equinox's own fields differ between its versions."""
    biases = [layer.bias is None for layer in network.layers]
    if not isinstance(network.activation, Activation) or biases != [False] * network.depth + [True]:
        raise ValueError(
            f"`{where}` must be a network of ebm_ppl's making to be saved; got another."
        )
    return _sizes(network)


def _sizes(network: Perceptron) -> dict[str, Any]:
    return {
        "in_size": network.in_size,
        "width": network.width,
        "depth": network.depth,
        "activation": network.activation.name,
    }


def _encode_leaves(network: Perceptron, arrays: list[np.ndarray], where: str) -> list[int]:
    return [_store(leaf, arrays, where) for leaf in jax.tree.leaves(network)]
