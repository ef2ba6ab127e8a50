"""The support of spins, which are −1 or +1."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions.constraints import Constraint


class SpinConstraint(Constraint):
    """Numbers that are −1 or +1."""

    is_discrete = True

    def __call__(self, x: Any) -> Any:
        """Whether each number is −1 or +1."""
        xp = jnp if isinstance(x, jax.Array) else np
        return xp.equal(x, -1) | xp.equal(x, 1)

    def feasible_like(self, prototype: Any) -> Any:
        """All spins up."""
        return jnp.ones_like(prototype)

    def eq(self, other: object, static: bool = False) -> bool:  # noqa: ARG002
        """Whether the other is this constraint too."""
        return isinstance(other, SpinConstraint)

    def __hash__(self) -> int:
        return hash(SpinConstraint)

    def tree_flatten(self) -> tuple[tuple[()], tuple[tuple[()], dict[str, Any]]]:
        """No arrays, and nothing else to remember."""
        return (), ((), {})

    def __repr__(self) -> str:
        return "spin"


spin = SpinConstraint()
