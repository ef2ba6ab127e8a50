"""The decision of a sequential check: a screen and, only if it rejects, a confirmation on fresh chains."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax

from ebm_ppl.validation.checks import error_rates

CONFIRMATION_FACTOR = 4
"""Fresh chains of the confirmation for each chain of the screen."""

Stage = Callable[[jax.Array, int], Mapping[str, float]]
"""From a random key and a number of chains to the p-values of all tests."""


class Decision(NamedTuple):
    """What a sequential check came to.

    Attributes:
        tests: p-values of all tests of the stage that decided.
        p_value: Their joint p-value.
        sample_size: Number of chains behind it.
        rejected: Whether the check rejects.
    """

    tests: Mapping[str, float]
    p_value: float
    sample_size: int
    rejected: bool

    @property
    def worst(self) -> str:
        """Name of the test with the smallest p-value; one that broke comes first."""
        return min(self.tests, key=lambda name: error_rates.rank(self.tests[name]))


def screen_then_confirm(stage: Stage, rng_key: jax.Array, screen_chains: int) -> Decision:
    """Run the screen and, if it rejects without being certain, the confirmation.

    Args:
        stage: Runs chains and tests them.
        rng_key: Random key; the two stages use independent ones.
        screen_chains: Chains of the screen; `CONFIRMATION_FACTOR` times as many confirm.

    Returns:
        The decision, which rejects what is correct with probability at most `SEQUENTIAL_LEVEL`.
    """
    screen_key, confirmation_key = jax.random.split(rng_key)
    tests = stage(screen_key, screen_chains)
    p_value, sample_size = error_rates.bonferroni(tests), screen_chains
    rejected = p_value < error_rates.CERTAIN_LEVEL
    if not rejected and p_value < error_rates.SCREEN_LEVEL:
        sample_size = CONFIRMATION_FACTOR * screen_chains
        tests = stage(confirmation_key, sample_size)
        p_value = error_rates.bonferroni(tests)
        rejected = p_value < error_rates.CONFIRMATION_LEVEL
    return Decision(tests, p_value, sample_size, rejected)
