"""Options of NumPyro's kernels that those of this package do not have, each with the reason."""

import inspect
from collections.abc import Iterable

_REASONS = {
    "adapt_mass_matrix": "it has no mass matrix",
    "adapt_step_size": "no acceptance probability tells how long its steps should be",
    "dense_mass": "it has no mass matrix",
    "find_heuristic_step_size": (
        "where warm-up tunes a step size, it searches from `step_size` on, and anew in each window"
    ),
    "forward_mode_differentiation": (
        "gradients, where there are any, are taken in reverse mode; replace `lax.while_loop` in the "
        "potential by `lax.scan`, or take NumPyro's NUTS"
    ),
    "init_strategy": "its chains start at `init_params`, or at states drawn uniformly",
    "inverse_mass_matrix": "it has no mass matrix",
    "kinetic_fn": "the law of its momenta, where it has any, follows from the mass matrix",
    "max_tree_depth": "it builds no tree; `max_num_steps` of ChEESHMC bounds a trajectory",
    "num_steps": "the number of its steps is not free; `max_num_steps` of ChEESHMC bounds a trajectory",
    "regularize_mass_matrix": "where warm-up estimates a mass matrix, it always shrinks it, as Stan does",
    "step_size": "it has no step size",
    "target_accept_prob": "there is no acceptance probability that it could be tuned to",
    "trajectory_length": "it follows no trajectory; ChEESHMC and MAMS do",
}
"""Why a kernel has no option of this name that NumPyro's HMC or NUTS has."""


def refuse_options(kernel: type, options: Iterable[str]) -> None:
    """Refuse options that NumPyro's kernels have and this one has not.

    Args:
        kernel: Class of the kernel.
        options: Names of the keyword arguments that it is given.

    Raises:
        ValueError: With the reason, for the first of them.
    """
    parameters = inspect.signature(kernel.__init__).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return  # a subclass that hands on what it is given knows what that is
    for name in options:
        if name in _REASONS and name not in parameters:
            raise ValueError(f"{kernel.__name__} has no `{name}`: {_REASONS[name]}.")
