"""An answer is right, comes with a warning or a refusal, or is silently wrong."""

import enum
import warnings
from collections.abc import Callable


class Answer(enum.Enum):
    """What became of one question."""

    RIGHT = "right"
    SAID_SO = "refused or warned of"
    WRONG = "silently wrong"


_NOT_ABOUT_THE_ANSWER = ("There are not enough devices", "encountered in")
"""Parts of warnings that NumPyro gives whatever the target, and NumPy of any number that it computes."""


def answer_to(ask: Callable[[], bool]) -> Answer:
    """Ask a question, and listen to what is said.

    Args:
        ask: Asks, and says whether the answer was right within the error that it stated. A refusal is one of
            the package's errors, which are all `ValueError` or `ArithmeticError`; anything else is a crash,
            which is passed on.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            if ask():
                return Answer.RIGHT
        except (ValueError, ArithmeticError):
            return Answer.SAID_SO
    return Answer.SAID_SO if any(map(_warns, said)) else Answer.WRONG


def _warns(said: warnings.WarningMessage) -> bool:
    """Whether a warning is about the answer."""
    text = str(said.message)
    is_meant = issubclass(said.category, (UserWarning, RuntimeWarning))
    return is_meant and not any(part in text for part in _NOT_ABOUT_THE_ANSWER)
