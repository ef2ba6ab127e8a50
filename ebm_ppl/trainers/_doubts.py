"""What a fit can be doubted for: an energy or data that teach nothing, and runs that did nothing."""

import warnings
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ebm_ppl._checks import is_traced
from ebm_ppl._processes import on_host, spans
from ebm_ppl.trainers._base import Model
from ebm_ppl.trainers._batch import Batch
from ebm_ppl.trainers.newton import NewtonState

LEAST_ACCEPTANCE = 0.01
"""Mean acceptance of a healthy chain is above a tenth; below this the model moves and its chains do not."""

_LONGEST_STEP = 3.0  # fresh noise alone moves the minimum by one

_STACKLEVEL = 3  # where `fit` was called


def check_parameters(model: Model) -> None:
    """Refuse a model without parameters, and warn of an energy that has none beside what is learned.

    Raises:
        ValueError: If there is nothing to train.
    """
    if _num_parameters(model.energy) > 0:
        return
    cause = (
        f"{type(model.energy).__name__} holds no floating-point array. The arrays that a plain function "
        "closes over are constants: give `energies.from_callable` an Equinox module, or `from_nnx` a Flax "
        "one, so that they are leaves of the energy"
    )
    if _num_parameters(model.learned) == 0:
        raise ValueError(f"`energy` must have parameters to train; {cause}.")
    warnings.warn(
        f"The energy has no parameters to train, only log Z is learned: {cause}.",
        stacklevel=_STACKLEVEL,
    )


def warn_of_constant_data(energy: Any, data: Batch) -> None:
    """Warn of continuous data of which a column does not vary: their likelihood has no maximum."""
    if is_traced(data) or energy.support.is_discrete:
        return
    x = data.x if spans(data.x) else np.asarray(data.x)
    columns = x.reshape(data.num_examples, -1)
    constant = np.flatnonzero(on_host((columns == columns[0]).all(axis=0)))
    if len(constant) == 0:
        return
    named = (
        f"{len(constant)} of {columns.shape[1]} columns of the data, column {constant[0]} first,"
    )
    what = "There is one example, which has" if len(columns) == 1 else f"{named} have"
    warnings.warn(
        f"{what} no spread: the likelihood of an energy that can be as narrow grows for ever, and scores say "
        "nothing of a width. Leave constant columns out, or give more data.",
        stacklevel=_STACKLEVEL,
    )


def warn_of_idle_energy(before: Any, after: Any, num_taken: int) -> None:
    """Warn if no parameter of the energy has changed."""
    pairs = list(zip(_parameters(before), _parameters(after), strict=True))
    if pairs and all(np.array_equal(on_host(old), on_host(new)) for old, new in pairs):
        warnings.warn(
            f"No parameter of the energy changed in {num_taken} steps: the loss has no gradient in them, or "
            "the learning rate is too small for their precision.",
            RuntimeWarning,
            stacklevel=_STACKLEVEL,
        )


def warn_of_frozen_chains(metrics: Mapping[str, np.ndarray]) -> None:
    """Warn if the chains of the negative phase hardly moved in the second half of the fit."""
    values = metrics.get("accept_prob")
    if values is None:
        return
    mean = float(np.mean(values[len(values) // 2 :]))
    if mean < LEAST_ACCEPTANCE:
        warnings.warn(
            f"The chains of the negative phase accept {mean:.2g} of their moves: they stay where they are, "
            "and the energy has not learned the law of the data. Take a smaller step, such as "
            "`functools.partial(MALA, step_size=...)` at about a tenth of the data's spread squared, or fit "
            "with `standardise=True`.",
            RuntimeWarning,
            stacklevel=_STACKLEVEL,
        )


def warn_of_unfinished_newton(optimizer_state: Any, model: Model, num_examples: int) -> None:
    """Warn if Newton's method ended with a step of more than three standard errors a parameter.

    For a loss of `num_examples` examples that is minus a log likelihood, the squared length of a step in
    standard errors is the number of examples times its decrement.
    """
    nodes = jax.tree.leaves(optimizer_state, is_leaf=lambda node: isinstance(node, NewtonState))
    states = [node for node in nodes if isinstance(node, NewtonState)]
    squared = [num_examples * float(state.decrement) / _num_parameters(model) for state in states]
    if any(value > _LONGEST_STEP**2 for value in squared):
        warnings.warn(
            f"Newton's method has not converged: the last step was {max(squared) ** 0.5:.2g} "
            "standard errors a parameter long. Take more steps, or begin nearer; noise of the loss that "
            "is drawn anew in each step has to be small.",
            RuntimeWarning,
            stacklevel=_STACKLEVEL,
        )


def warn_of_evaluations(values: np.ndarray) -> None:
    """Warn of evaluations on held-out data that are not finite, which compare with nothing."""
    num_bad = int(np.sum(~np.isfinite(values)))
    if num_bad:
        consequence = (
            "the validation chose nothing, and the parameters are the last"
            if num_bad == len(values)
            else "these were passed over"
        )
        warnings.warn(
            f"{num_bad} of {len(values)} evaluations on held-out data were not finite: {consequence}. Look "
            "at the metric, or at held-out points at which the energy is not finite.",
            RuntimeWarning,
            stacklevel=_STACKLEVEL,
        )


def _parameters(tree: Any) -> list[Any]:
    return jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))


def _num_parameters(tree: Any) -> int:
    return sum(leaf.size for leaf in _parameters(tree))
