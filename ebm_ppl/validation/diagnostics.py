"""Convergence diagnostics of ArviZ, the same on its 0.23 and 1.x lines. Nothing else imports ArviZ.

References:
    Vehtari, A., Gelman, A., Simpson, D., Carpenter, B., and Bürkner, P.-C. (2021). Rank-normalization,
        folding, and localization: an improved R-hat for assessing convergence of MCMC. Bayesian Analysis 16.
"""

import contextlib
import dataclasses
import importlib.metadata
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

_IMPORT = threading.Lock()


def _arviz() -> Any:
    """ArviZ, whose import takes seconds and, on its 0.23 line, announces the next line with a warning.

    It has no type here, since its two lines have other signatures.
    """
    with _IMPORT, _without_announcement():
        import arviz

    return arviz


@contextlib.contextmanager
def _without_announcement() -> Iterator[None]:
    """Let ArviZ 0.23 note that it has warned today where nobody else does.

    It does so in the user's cache, at its first import of a day: where that cannot be written the import
    fails, and two processes at once break each other.
    """
    if "arviz" in sys.modules or not importlib.metadata.version("arviz").startswith("0."):
        yield
        return
    import platformdirs

    found = platformdirs.user_cache_dir
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        platformdirs.user_cache_dir = lambda *_, **__: folder
        try:
            yield
        finally:
            platformdirs.user_cache_dir = found


@dataclasses.dataclass(frozen=True)
class Convergence:
    """Diagnostics of one scalar quantity over several chains.

    Attributes:
        rhat: Rank-normalised split R-hat, the larger of its bulk and folded forms.
        ess_bulk: Effective sample size of the bulk.
        ess_tail: Smaller effective sample size of the 5% and 95% quantiles.
        ess_mean: Effective sample size of the mean.
        mcse_mean: Monte Carlo standard error of the mean.
    """

    rhat: float
    ess_bulk: float
    ess_tail: float
    ess_mean: float
    mcse_mean: float


def effective_size(draws: Float[np.ndarray, "chains samples"]) -> float:
    """Effective sample size of the mean of one scalar quantity.

    Args:
        draws: The quantity along each chain.
    """
    arviz = _arviz()
    return float(arviz.ess(np.asarray(draws, dtype=np.float64), method="mean"))


def convergence(draws: Float[np.ndarray, "chains samples"]) -> Convergence:
    """Diagnose one scalar quantity.

    Args:
        draws: The quantity along each chain.
    """
    arviz = _arviz()
    values = np.asarray(draws, dtype=np.float64)
    ess_mean = effective_size(values)
    return Convergence(
        rhat=float(arviz.rhat(values, method="rank")),
        ess_bulk=float(arviz.ess(values, method="bulk")),
        ess_tail=float(arviz.ess(values, method="tail", prob=(0.05, 0.95))),
        ess_mean=ess_mean,
        mcse_mean=float(np.std(values, ddof=1) / np.sqrt(ess_mean)),
    )
