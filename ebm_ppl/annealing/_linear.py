"""The path along which lattices are annealed: their couplings and fields are turned on."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.annealing._path import AbstractPath
from ebm_ppl.annealing._uniform_states import UniformStates
from ebm_ppl.energies import AbstractBlockwiseEnergy


class LinearPath(AbstractPath):
    r"""Blockwise energies that are linear in their parameters, from all states alike.

    The energy at $\beta$ has all its couplings and fields times $\beta$,
    $$f_\beta(x) = e^{-E_{\beta \theta}(x)} = e^{-\beta E_\theta(x)}, \qquad Z_0 = \lvert \{x\} \rvert,$$
    so it is of the same class, and Gibbs sweeps serve everywhere on the path. Ising and Potts models and
    Boltzmann machines are such energies. In the words of physics $\beta$ is an inverse temperature.

    Args:
        energy: The energy at $\beta = 1$, which says `is_linear`.

    Raises:
        TypeError: If `energy` is no blockwise energy that is linear in its parameters.
        ValueError: If its states are not finitely many.

    Examples:
        >>> import jax.numpy as jnp
        >>> from ebm_ppl.annealing import LinearPath
        >>> from ebm_ppl.energies import Ising
        >>> path = LinearPath(Ising((3, 3), coupling=0.4))
        >>> print(f"{path.log_z_base:.4f}")  # 9 log 2
        6.2383
        >>> path.at(jnp.array(0.5)).coupling
        Array(0.2, dtype=float32)

    References:
        R. M. Neal (2001). Annealed importance sampling. *Statistics and Computing* 11, 125-139.
    """

    _energy: AbstractBlockwiseEnergy
    base: UniformStates

    def __init__(self, energy: Any) -> None:
        if not (isinstance(energy, AbstractBlockwiseEnergy) and energy.is_linear):
            raise TypeError(
                "`energy` must be a blockwise energy that says `is_linear`, such as Ising, Potts or "
                f"BoltzmannMachine; got {type(energy).__name__}. GeometricPath takes any energy."
            )
        self._energy = energy
        self.base = UniformStates(energy)

    @property
    def energy(self) -> AbstractBlockwiseEnergy:
        """The energy at the end of the path."""
        return self._energy

    @property
    def log_z_base(self) -> Scalar:
        """Log of the number of states."""
        return jnp.asarray(self.base.log_num_states)

    def sample_base(self, rng_key: PRNGKey, count: int) -> Float[Array, "count *event"]:
        """Draw states uniformly."""
        return jnp.asarray(self.base.sample(rng_key, (count,)), dtype=float)

    def at(self, inverse_temperature: Scalar) -> AbstractBlockwiseEnergy:
        r"""The energy with all parameters times $\beta$."""
        parameters, rest = eqx.partition(self._energy, eqx.is_inexact_array)
        scaled = jax.tree.map(
            lambda leaf: inverse_temperature.astype(leaf.dtype) * leaf, parameters
        )
        return eqx.combine(scaled, rest)

    def log_ratio(self, x: Event, start: Scalar, end: Scalar) -> Scalar:
        r"""Log weight of a step, $-(\beta' - \beta) E(x)$."""
        return -(end - start) * self._energy(x)
