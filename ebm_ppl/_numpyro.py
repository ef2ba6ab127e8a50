"""All that this package uses of NumPyro beyond what NumPyro documents.

A release of NumPyro may move any of it, and then only this file has to follow. The attributes of kernels and
of MCMC stand in `KERNEL_ATTRIBUTES` and `MCMC_READS`, which a test holds against the installed NumPyro.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpyro
from numpyro.infer import HMC
from numpyro.infer.mcmc import MCMCKernel

try:
    from numpyro.distributions.batch_util import promote_batch_shape as promote_batch_shape
    from numpyro.distributions.util import validate_sample as validate_sample
    from numpyro.infer.gibbs import GIBBS_SITES_KWARG as GIBBS_SITES_KWARG
    from numpyro.infer.hmc_util import build_adaptation_schedule as build_adaptation_schedule
    from numpyro.primitives import Messenger as Messenger
    from numpyro.util import identity as identity
    from numpyro.util import is_prng_key as is_prng_key
except ImportError as error:
    raise ImportError(
        f"ebm_ppl does not know NumPyro {numpyro.__version__}, which has moved what it needs: {error}"
    ) from error

KERNEL_ATTRIBUTES = {
    "HMC": (
        *("_model", "_potential_fn", "_init_strategy", "_postprocess_fn"),
        *("_init_fn", "_sample_fn", "_potential_fn_gen", "_forward_mode_differentiation"),
    ),
    "BarkerMH": ("_model", "_potential_fn", "_init_strategy", "_postprocess_fn"),
}
"""Attributes of NumPyro's kernels that the functions below read or set, by class."""

MCMC_READS = "_sample_fn"
"""Attribute by which MCMC learns whether `init` has to run before a resumed run may sample."""


def with_potential(kernel: MCMCKernel, potential_fn: Callable) -> MCMCKernel:
    """A copy of a kernel of NumPyro for another potential function, as if it had never run."""
    changed: Any = copy.copy(kernel)
    changed._model, changed._potential_fn = None, potential_fn
    changed._postprocess_fn = None
    if isinstance(kernel, HMC):
        changed._init_fn = changed._sample_fn = changed._potential_fn_gen = None
    return changed


def parts(kernel: Any) -> tuple[Callable | None, Callable | None, Callable]:
    """Model, potential function and strategy to start from of a kernel of NumPyro."""
    model = kernel._model
    return model, None if model else kernel._potential_fn, kernel._init_strategy


def differentiates_forward(kernel: Any) -> bool:
    """Whether a kernel of NumPyro takes gradients in forward mode."""
    return bool(getattr(kernel, "_forward_mode_differentiation", False))
