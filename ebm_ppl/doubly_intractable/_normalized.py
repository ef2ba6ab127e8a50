"""A NumPyro effect handler that gives the energies of a model their partition functions."""

from collections.abc import Callable
from typing import Any

from numpyro.distributions import (
    Distribution,
    ExpandedDistribution,
    Independent,
    MaskedDistribution,
)

from ebm_ppl._numpyro import Messenger
from ebm_ppl.distribution import EnergyDistribution, LogZ


class normalized(Messenger):  # noqa: N801 (NumPyro's handlers have names in lower case)
    r"""Give every energy in a model that has no normaliser this one.

    With a normaliser that can be traced, $\log p(x \mid \theta) = -E_\theta(x) - \log Z(\theta)$ can be
    evaluated and differentiated, and any kernel samples $p(\theta \mid x)$. The model's text stays free of
    the decision of how its likelihood is computed: the kernels `Exchange` and `NoisyMetropolis` take the
    same model as it is.

    Args:
        fn: The model.
        log_z: The normaliser, in one of the forms that `EnergyDistribution` takes. It must fit each energy
            that has none of its own.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import numpyro
        >>> import numpyro.distributions as dist
        >>> from numpyro.infer.util import log_density
        >>> import ebm_ppl as ebm
        >>> from ebm_ppl.doubly_intractable import normalized
        >>> def model(data):
        ...     a = numpyro.sample("a", dist.Normal())
        ...     with numpyro.plate("data", len(data)):
        ...         numpyro.sample("x", ebm.EnergyDistribution(ebm.energies.Quartic(a=a)), obs=data)
        >>> known = normalized(model, ebm.quadrature.QuadratureNormalizer(bounds=(-6.0, 6.0)))
        >>> data = jnp.array([0.5, -1.0])
        >>> density = jax.jit(lambda a: log_density(known, (data,), {}, {"a": a})[0])
        >>> print(f"{density(0.3):.4f}")
        -3.3999
    """

    def __init__(self, fn: Callable | None = None, log_z: LogZ = None) -> None:
        if log_z is None:
            raise ValueError("`log_z` must be a normaliser; got None.")
        super().__init__(fn)
        self.log_z = log_z

    def process_message(self, msg: Any) -> None:
        """Replace the distribution of a sample site."""
        if msg["type"] == "sample":
            msg["fn"] = with_log_z(msg["fn"], self.log_z)


def with_log_z(distribution: Any, log_z: LogZ) -> Any:
    """The same distribution with a normaliser for the energy in it, if it lacks one.

    Args:
        distribution: A NumPyro distribution, whatever plates and masks have made of it.
        log_z: The normaliser.

    Returns:
        The distribution; the same object if nothing is to be done.
    """
    if isinstance(distribution, EnergyDistribution):
        if distribution.log_z is not None:
            return distribution
        return EnergyDistribution(
            distribution.energy, log_z, validate_args=distribution._validate_args
        )
    if not isinstance(distribution, (ExpandedDistribution, Independent, MaskedDistribution)):
        return distribution
    base = with_log_z(distribution.base_dist, log_z)
    if base is distribution.base_dist:
        return distribution
    return _rebuilt(distribution, base)


def _rebuilt(distribution: Distribution, base: Distribution) -> Distribution:
    if isinstance(distribution, Independent):
        return Independent(base, distribution.reinterpreted_batch_ndims)
    if isinstance(distribution, MaskedDistribution):
        return MaskedDistribution(base, distribution._mask)
    return ExpandedDistribution(base, distribution.batch_shape)
