"""Sections of a report on what is questioned by itself, and not on energies: one for each kind."""

import dataclasses

from ebm_ppl.validation.results import Question


@dataclasses.dataclass(frozen=True)
class Section:
    """What a report says around the verdicts on one kind.

    Attributes:
        question: Under which its rows stand.
        link: What leads there.
        heading: The question in words.
        lead: What the checks ask.
        column: Heading of the names.
        ending: How the sentence ends that counts the checks.
    """

    question: Question
    link: str
    heading: str
    lead: str
    column: str
    ending: str


SECTIONS = (
    Section(
        question=Question.TRAINING,
        link="Training",
        heading="Does training follow its theory?",
        lead="Whether the gradient that a fit follows is, on average, the one that theory gives: by "
        "quadrature on the line, in closed form in the plane. Then whether chains keep the weights of modes, "
        "and whether whole fits recover parameters within their own standard errors.",
        column="objective",
        ending="checks of training passed",
    ),
    Section(
        question=Question.ESTIMATION,
        link="Estimates",
        heading="Are estimates of log Z honest?",
        lead="Whether many runs on problems with a known partition function estimate it without the bias "
        "that they disclaim, whether their errors are as large as they say, and whether their intervals hold "
        "the truth.",
        column="estimator",
        ending="checks of estimates of log Z passed",
    ),
)
"""In the order of a report."""
