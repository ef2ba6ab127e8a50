"""Validation of energies and kernels against ground truth, with stated error rates.

`run` asks the questions and returns a `Report`; the command line `ebm-ppl validate` does the same.
The names below load on first use: the command line answers before JAX is imported.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
