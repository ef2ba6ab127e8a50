"""An energy as a NumPyro distribution, with an explicit normaliser."""

import copy
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float
from numpyro.distributions import (
    Distribution,
    ExpandedDistribution,
    Independent,
    MaskedDistribution,
    MixtureSameFamily,
    TransformedDistribution,
)
from numpyro.distributions.constraints import Constraint

from ebm_ppl._checks import check_finite, check_shape, is_traced
from ebm_ppl._dependence import depends_on_argument
from ebm_ppl._errors import DoublyIntractableError
from ebm_ppl._numpyro import asking_laws, promote_batch_shape, validate_sample
from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.energies._described import in_place_of_energy
from ebm_ppl.energies._states import StateSpace
from ebm_ppl.energies._unbatched import check_one_law
from ebm_ppl.quadrature import (
    GridTable,
    QuadratureDensity,
    QuadratureNormalizer,
    StateTable,
    enumerate_states,
    normalize,
)
from ebm_ppl.quadrature._known import KnownLaw
from ebm_ppl.quadrature._states import MOST_STATES, tabulated_space

LogZ: TypeAlias = Any
"""A normaliser: `None`, a number, an object with a `log_z` attribute, or a callable `energy -> log_z`."""


_PASSING_ON = (
    ExpandedDistribution,
    Independent,
    MaskedDistribution,
    MixtureSameFamily,
    TransformedDistribution,
)
"""Laws in whose density that of their base is a factor: a family of equal energies is one, too."""


class EnergyDistribution(Distribution):
    r"""The distribution $p(x) = \exp(-E(x)) / Z$ of an energy.

    How it is normalised is explicit:

    | `log_z` | `log_prob(x)` | the energy's parameters |
    | --- | --- | --- |
    | `None` | $-E(x)$, unnormalised | must be fixed |
    | a number | $-E(x) - \log Z$ | fixed, or $Z$ does not depend on them |
    | an object with `log_z` (`StateTable`) | $-E(x) - \log Z$ | as when $Z$ was estimated |
    | a callable (`QuadratureNormalizer`) | $-E_\theta(x) - \log Z(\theta)$ | may be random |

    Without a normaliser, parameters that JAX traces (because they are random in a model, or optimised)
    raise `DoublyIntractableError`: their posterior needs $\log Z(\theta)$, and leaving it out would give
    a wrong posterior without a sign. Constants that a compiled model makes are no such parameters.

    With fixed parameters $Z$ is a constant that no draw depends on, as long as the density is a factor of
    the joint one. Draws do depend on it where other laws weigh the density: a mixture or an inflated law is
    refused without a normaliser; a mask or a scale that hangs on a random value is not seen, and needs one
    too, as do the evidence and any comparison of models.

    Args:
        energy: The energy.
        log_z: Its log partition function, in one of the forms above.
        validate_args: Whether NumPyro checks that values lie in the support.

    Raises:
        TypeError: If `energy` is not an `AbstractEnergy`.
        ValueError: If a numeric `log_z` is not a finite scalar, or `energy` holds several laws at once, as
            what `jax.vmap` returns does, or is not one number.

    Examples:
        >>> import jax
        >>> from ebm_ppl import EnergyDistribution, quadrature
        >>> from ebm_ppl.energies import Gaussian
        >>> energy = Gaussian(loc=[0.0], covariance_matrix=[[1.0]])
        >>> normal = EnergyDistribution(energy, log_z=quadrature.normalize(energy))
        >>> print(f"{normal.log_prob(jax.numpy.array([0.0])):.4f}")
        -0.9189
        >>> normal.sample(jax.random.key(0), (3,)).shape
        (3, 1)
    """

    pytree_data_fields = ("energy", "log_z")
    pytree_aux_fields = ("_density", "_ranks")

    # Computed on first use and kept out of the pytree, so that drawing never changes its structure.
    _computed: QuadratureDensity | StateTable | None = None
    _table: GridTable | None = None

    def __init__(
        self, energy: AbstractEnergy, log_z: LogZ = None, *, validate_args: bool | None = None
    ) -> None:
        if not isinstance(energy, AbstractEnergy):
            raise TypeError(
                f"`energy` must be an AbstractEnergy; got {in_place_of_energy(energy)}."
            )
        check_one_law(energy)
        self.energy = energy
        self.log_z = _as_normalizer(log_z)
        is_law = isinstance(log_z, (QuadratureDensity, StateTable))
        self._density = KnownLaw(log_z) if is_law else None
        self._ranks = self._current_ranks()
        super().__init__((), tuple(energy.event_shape), validate_args=validate_args)

    @property
    def support(self) -> Constraint:
        """The energy's support."""
        return self.energy.support

    @property
    def has_rsample(self) -> bool:
        r"""Whether draws have gradients in the energy's parameters.

        They do for one or two real coordinates and a `QuadratureNormalizer`, whose grid gives the
        distribution function $F_\theta$ of
        $\partial x / \partial \theta = -(\partial F_\theta / \partial \theta) / p_\theta$
        (Figurnov, Mohamed & Mnih 2018).
        """
        is_tabulated = isinstance(self.log_z, QuadratureNormalizer)
        return is_tabulated and not self.support.is_discrete and self.energy.event_size <= 2

    @property
    def has_enumerate_support(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        r"""Whether NumPyro may enumerate the states: one coordinate with the values $0, \dots, K - 1$.

        Its samplers (`DiscreteGibbs`, `DiscreteHMCGibbs`, `MixedHMC`) propose just these integers, $K$ the
        number of states, to each coordinate by itself: spins, intervals that begin elsewhere and vectors they
        would sample wrongly, so here it is false for all of those, and NumPyro refuses them. So it is above
        $2^{20}$ states, which are too many for memory. `enumerate_support` gives the states of all others.
        """
        space = StateSpace.of(self.energy) if self.event_shape == () else None
        return space is not None and space.is_counted_from_zero and space.total <= MOST_STATES

    def enumerate_support(self, expand: bool = True) -> Array:  # noqa: ARG002
        r"""All states of one event, to sum over: $\sum_x p(x) f(x)$.

        Args:
            expand: As with NumPyro's laws, whether states are repeated over the batch shape. This law has
                none; that of `expand([n])` on scalar events repeats them, or not.

        Returns:
            The states, of shape `(num_states, *event_shape)` and the precision of draws; vectors and arrays
            in the order of their digits, of which the last changes fastest.

        Raises:
            ValueError: If the number of states is not finite, or above $2^{20}$: all are held in memory.

        Examples:
            >>> import jax
            >>> from ebm_ppl import EnergyDistribution
            >>> from ebm_ppl.energies import BoltzmannMachine, Graph
            >>> pair = EnergyDistribution(BoltzmannMachine(2.0, 0.0, Graph.complete(2)))
            >>> states = pair.enumerate_support()
            >>> states.tolist()
            [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
            >>> print(f"{jax.nn.logsumexp(pair.log_prob(states)):.4f}")  # log Z = log(3 + e²)
            2.3408
        """
        space = tabulated_space(self.energy)
        return space.states(jnp.arange(space.total))

    def log_normalizer(self) -> Scalar:
        r"""The log partition function $\log Z$ in use; 0 where there is none and none is needed.

        Raises:
            DoublyIntractableError: If there is none although the energy's parameters are traced.
        """
        if self.log_z is None:
            if depends_on_argument(self.energy):
                raise DoublyIntractableError(type(self.energy).__name__)
            return jnp.zeros(())
        if callable(self.log_z):
            return jnp.asarray(self.log_z(self.energy))
        return jnp.asarray(self.log_z)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:  # pyright: ignore[reportIncompatibleMethodOverride]
        r"""Log density $-E(x) - \log Z$; without a normaliser, $-E(x)$.

        Args:
            value: Points of the support, of shape `batch + event_shape`.

        Returns:
            Log densities, of shape `batch`.

        Raises:
            ValueError: If the trailing axes of `value` are not `event_shape`.
            DoublyIntractableError: As `log_normalizer` does.
            ValueError: If there is no normaliser although a mixture weighs this density against others.
        """
        if self.log_z is None:
            _refuse_weighing(type(self.energy).__name__, asking_laws())
        value = jnp.asarray(value)
        split = value.ndim - len(self.event_shape)
        check_shape("value (event axes)", np.empty(value.shape[max(split, 0) :]), self.event_shape)
        points = value.reshape((-1, *self.event_shape))
        energies = jax.vmap(self.energy)(points).reshape(value.shape[:split])
        if (
            self.log_z is None
            and is_traced(energies)
            and _closes_over(self.energy, depends_on_argument)
        ):
            raise DoublyIntractableError(type(self.energy).__name__)
        return -energies - self.log_normalizer()

    def sample(self, key: PRNGKey | None, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw exactly, by inverse transform on a quadrature grid or the table of all states.

        Draws may be differentiated in the energy's parameters where `has_rsample`.

        Args:
            key: Random key.
            sample_shape: Leading shape of the draws.

        Returns:
            Draws of shape `sample_shape + event_shape`.

        Raises:
            ValueError: If `key` is `None`.
            NotImplementedError: If the energy has more than two real coordinates, or its parameters are
                traced and `log_z` is not a `QuadratureNormalizer`; run an MCMC kernel there. Also if draws
                are differentiated in the energy's parameters although `has_rsample` is `False`.
        """
        if key is None:
            raise ValueError("`key` must be a random key; got None.")
        if self.support.is_discrete:
            draws = self._table_of_states("sample").sample(key, tuple(sample_shape))
        else:
            draws = _draw(self._grid_table(), key, tuple(sample_shape))
        if self.has_rsample or not is_traced(self.energy):
            return draws
        return _without_gradient(draws, eqx.filter(self.energy, eqx.is_inexact_array))

    @property
    def mean(self) -> Float[Array, "..."]:
        """Mean of shape `event_shape`, by quadrature or over all states.

        For fixed parameters, and at most three real coordinates.
        """
        return jnp.asarray(self._law("mean").mean(), dtype=float).reshape(self.event_shape)

    @property
    def variance(self) -> Float[Array, "..."]:
        """Variance of each coordinate, of shape `event_shape` (limits as for `mean`)."""
        return jnp.asarray(self._law("variance").variance(), dtype=float).reshape(self.event_shape)

    def entropy(self) -> Scalar:
        """Entropy in nats, differential for real coordinates (limits as for `mean`)."""
        return jnp.asarray(self._law("entropy").entropy(), dtype=float)

    def with_table(self) -> "EnergyDistribution":
        """Copy whose draws, moments and entropy are ready, also where JAX traces it as an argument.

        Raises:
            NotImplementedError: As `sample` and `mean` do.
        """
        ready = copy.copy(self)
        ready._density = KnownLaw(self._law("sample"))
        return ready

    def _current_ranks(self) -> tuple[int, ...]:
        """Number of axes of each array that it is made of."""
        leaves = jax.tree.leaves((self.energy, self.log_z))
        return tuple(getattr(leaf, "ndim", 0) for leaf in leaves)

    def _grid_table(self) -> GridTable:
        self._refuse_dimension("sample", most=2)
        if isinstance(self.log_z, QuadratureNormalizer):
            return GridTable.from_normalizer(self.energy, self.log_z)
        if self._table is None:
            density = self._quadrature("sample")
            with jax.ensure_compile_time_eval():
                self._table = GridTable.from_density(density)
        return self._table

    def _law(self, purpose: str) -> QuadratureDensity | StateTable:
        """What is known of the normalised law, found on first use."""
        is_discrete = self.support.is_discrete
        return self._table_of_states(purpose) if is_discrete else self._quadrature(purpose)

    def _table_of_states(self, purpose: str) -> StateTable:
        known = self._density.law if self._density else self._computed
        if not isinstance(known, StateTable):
            self._refuse_traced(purpose)
            self._computed = known = enumerate_states(self.energy)
        return known

    def _quadrature(self, purpose: str) -> QuadratureDensity:
        known = self._density.law if self._density else self._computed
        if isinstance(known, QuadratureDensity):
            return known
        self._refuse_dimension(purpose, most=3)
        self._refuse_traced(purpose)
        with jax.ensure_compile_time_eval():
            self._computed = known = normalize(self.energy)
        return known

    def _refuse_dimension(self, purpose: str, most: int) -> None:
        if self.energy.event_size > most:
            raise NotImplementedError(
                f"`{purpose}` needs a quadrature grid of at most {most} coordinates; "
                f"{type(self.energy).__name__} has {self.energy.event_size}. Run an MCMC kernel."
            )

    def _refuse_traced(self, purpose: str) -> None:
        if is_traced(self.energy) or _closes_over(self.energy, is_traced):
            raise NotImplementedError(
                f"`{purpose}` needs fixed parameters, or log_z=QuadratureNormalizer(...); those of "
                f"{type(self.energy).__name__} are traced by JAX."
            )


@promote_batch_shape.register  # pyright: ignore[reportArgumentType, reportCallIssue]
def _refuse_stacked(distribution: EnergyDistribution) -> EnergyDistribution:
    """Within NumPyro's `scan`, which stacks the arrays of all steps, one energy would be the sum of all."""
    if distribution._current_ranks() != distribution._ranks:
        raise NotImplementedError(
            f"An EnergyDistribution of {type(distribution.energy).__name__} must not be a site within "
            "NumPyro's `scan`, which stacks the arrays that it is made of; use a `plate`, or add "
            "`numpyro.factor` of its `log_prob` for observed values."
        )
    return distribution


@eqx.filter_jit
def _draw(table: GridTable, key: PRNGKey, sample_shape: tuple[int, ...]) -> Array:
    """Draw from a table; compiled once for each size of table and shape of draws."""
    return table.sample(key, sample_shape)


@jax.custom_jvp
def _without_gradient(draws: Array, parameters: Any) -> Array:  # noqa: ARG001
    """The draws; whoever differentiates them in the parameters is refused, for they would get 0."""
    return draws


@_without_gradient.defjvp
def _refuse_gradient(primals: Any, tangents: Any) -> NoReturn:
    raise NotImplementedError(
        "`sample` must have `has_rsample` where its draws are differentiated in the energy's parameters, as "
        "in a guide of SVI; this law has False, and its gradient would be 0 in silence. Give "
        "`log_z=QuadratureNormalizer(...)`, for one or two real coordinates, or apply "
        "`jax.lax.stop_gradient` to the energy that is drawn from."
    )


def _closes_over(energy: AbstractEnergy, quality: Callable[[Any], bool]) -> bool:
    """Whether an energy reads values with a quality that are no parameters of it, as a closure does."""
    jaxpr = jax.make_jaxpr(energy)(jnp.zeros(energy.event_shape))
    return any(map(quality, jaxpr.consts))


def _refuse_weighing(energy: str, laws: list[Distribution]) -> None:
    """Refuse to be weighed against other densities without a normaliser."""
    harmless = (EnergyDistribution, *_PASSING_ON)
    for law in laws:
        if not isinstance(law, harmless):
            raise ValueError(
                f"`log_z` must be given to the EnergyDistribution of {energy} within a {type(law).__name__}, "
                "which weighs densities against each other, so that its law depends on Z; got None. Give "
                "log_z=quadrature.normalize(energy), an estimate of `ebm_ppl.partition`, or log_z=0.0 if "
                "exp(-E) is normalised as it is."
            )


def _as_normalizer(log_z: LogZ) -> Any:
    """Bring a normaliser into a form that is a pytree: `None`, a scalar array, or a callable pytree."""
    if log_z is None:
        return None
    if hasattr(log_z, "log_z"):
        log_z = log_z.log_z
    elif callable(log_z):
        return log_z if jax.tree.leaves(log_z) != [log_z] else jax.tree_util.Partial(log_z)
    check_finite("log_z", log_z)
    check_shape("log_z", log_z, ())
    return jnp.asarray(log_z, dtype=float)
