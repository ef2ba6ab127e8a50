"""All that this package uses of NumPyro beyond what NumPyro documents.

A release of NumPyro may move any of it, and then only this file has to follow. The attributes of kernels and
of MCMC stand in `KERNEL_ATTRIBUTES`, `MCMC_PARTS` and `MCMC_READS`, which tests hold against the installed
NumPyro.
"""

import copy
import functools
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpyro
from numpyro.distributions import Distribution
from numpyro.infer import HMC
from numpyro.infer.mcmc import MCMCKernel

try:
    from numpyro.distributions.batch_util import promote_batch_shape as promote_batch_shape
    from numpyro.distributions.util import validate_sample as validate_sample
    from numpyro.infer.gibbs import GIBBS_SITES_KWARG as GIBBS_SITES_KWARG
    from numpyro.infer.hmc_util import build_adaptation_schedule as build_adaptation_schedule
    from numpyro.infer.mcmc import _collect_and_postprocess, _get_progbar_desc_str
    from numpyro.primitives import Messenger as Messenger
    from numpyro.util import identity as identity
    from numpyro.util import is_prng_key as is_prng_key
except ImportError as error:
    raise ImportError(
        f"ebm_ppl does not know NumPyro {numpyro.__version__}, which has moved what it needs: {error}"
    ) from error

collect_and_postprocess = _collect_and_postprocess
progress_phase = _get_progbar_desc_str

KERNEL_ATTRIBUTES = {
    "HMC": (
        *("_model", "_potential_fn", "_init_strategy", "_postprocess_fn"),
        *("_init_fn", "_sample_fn", "_potential_fn_gen", "_forward_mode_differentiation"),
    ),
    "BarkerMH": ("_model", "_potential_fn", "_init_strategy", "_postprocess_fn"),
}
"""Attributes of NumPyro's kernels that the functions below read or set, by class."""

MCMC_PARTS = ("_single_chain_mcmc", "_get_cached_fns", "_collection_params", "_jit_model_args")
"""Parts of MCMC that its subclass here replaces, calls or reads."""

MCMC_READS = "_sample_fn"
"""Attribute by which MCMC learns whether `init` has to run before a resumed run may sample."""

_WRAPPERS = 8
"""Calls that may lie between two distributions: type checkers wrap each function in up to three."""


MODELS = threading.RLock()
"""Held while a model runs: NumPyro's handlers stand on one stack for all threads and would mix models."""


def in_turn(function: Callable) -> Callable:
    """The same function, which runs a model and waits until no other thread runs one."""

    @functools.wraps(function)
    def alone(*args: Any, **kwargs: Any) -> Any:
        with MODELS:
            return function(*args, **kwargs)

    return alone


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


def asking_laws() -> list[Distribution]:
    """The distributions on whose behalf the caller, a `log_prob` of NumPyro's kind, was called.

    A mixture asks its components, an expanded law its base. NumPyro hands nothing down that would say so.

    Returns:
        The distributions from the innermost outwards, the caller's own first.
    """
    laws: list[Distribution] = []
    frame, strangers = sys._getframe(1), 0
    while frame is not None and strangers < _WRAPPERS:
        law = frame.f_locals.get("self")
        strangers = 0 if isinstance(law, Distribution) else strangers + 1
        if isinstance(law, Distribution) and not any(law is known for known in laws):
            laws.append(law)
        frame = frame.f_back
    return laws


def run_has_ended() -> bool:
    """Whether `MCMC` is being handed the last state of a run by the call that this one is part of.

    Its loop hands a state back once, or with a progress bar after every step, and then copies those of
    chains that ran one after the other. NumPyro calls no kernel after a run.
    """
    frame = sys._getframe(1)
    while frame is not None:
        module, name = frame.f_globals.get("__name__"), frame.f_code.co_name
        if (module, name) == ("numpyro.util", "fori_collect"):
            step = frame.f_locals.get("i")
            return step is None or step == frame.f_locals["upper"] - 1
        if (module, name) == ("ebm_ppl.samplers.mcmc", "_run"):
            return frame.f_locals["last"] == frame.f_locals["upper"]
        if module == "numpyro.infer.mcmc" and name in ("_laxmap", "run"):
            return name == "run"
        frame = frame.f_back
    return False


def warn_whoever_runs(message: str, runner: tuple[str, str] | None = None) -> None:
    """Warn in the place where `MCMC` or another runner was told to run.

    Args:
        message: What a `RuntimeWarning` says.
        runner: Module and name of a function that runs chains, beside those of `MCMC`.
    """
    user = frame = sys._getframe(1)
    was_run = False
    while frame is not None:
        is_run = (frame.f_globals.get("__name__"), frame.f_code.co_name) in (*_RUNS, runner)
        if was_run and not is_run:
            user = frame
        was_run, frame = is_run, frame.f_back
    warnings.warn_explicit(
        message,
        RuntimeWarning,
        user.f_code.co_filename,
        user.f_lineno,
        user.f_globals.get("__name__"),
        user.f_globals.setdefault("__warningregistry__", {}),
    )


_RUNS = {
    ("numpyro.infer.mcmc", "run"),
    ("numpyro.infer.mcmc", "warmup"),
}
