"""Short runs of kernels, and what they are compared by."""

from typing import Any

import jax
import numpy as np
from numpyro.infer import MCMC
from numpyro.infer.mcmc import MCMCKernel


def run(kernel: MCMCKernel, key: Any = 0, *args: Any, **options: Any) -> MCMC:
    """Run two vectorised chains for a few steps, unless told otherwise, with a key or the seed of one."""
    fields = options.pop("extra_fields", ())
    start = options.pop("init_params", None)
    defaults = {
        "num_warmup": 0,
        "num_samples": 20,
        "num_chains": 2,
        "chain_method": "vectorized",
        "progress_bar": False,
    }
    mcmc = MCMC(kernel, **{**defaults, **options})
    key = jax.random.key(key) if isinstance(key, int) else key
    mcmc.run(key, *args, init_params=start, extra_fields=fields)
    return mcmc


def draws(mcmc: MCMC) -> Any:
    return mcmc.get_samples(group_by_chain=True)


def assert_close(left: Any, right: Any, tolerance: float = 1e-4) -> None:
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
