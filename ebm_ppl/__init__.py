r"""Energy-based models as first-class citizens of NumPyro.

An energy $E$ stands for the density $p(x) = \exp(-E(x)) / Z$. It becomes a NumPyro potential function
(`potential_fn`), a NumPyro model (`as_model`) or a NumPyro distribution (`EnergyDistribution`), and every
kernel, NumPyro's and those of this package, samples it inside `numpyro.infer.MCMC`.

The names below load on first use: the command line answers before JAX is imported.
"""

import lazy_loader

# What is public stands in the stub beside this file, which type checkers read, too.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
