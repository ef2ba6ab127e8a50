"""The checks that a discrete energy calls for, and those of the kernels that sample it."""

from ebm_ppl._types import PRNGKey
from ebm_ppl.validation.cases import KernelCase
from ebm_ppl.validation.chains import ShortChainRunner
from ebm_ppl.validation.checks.enumeration import free_energy, has_free_energy, state_normalizer
from ebm_ppl.validation.checks.invariance import SCREEN_CHAINS
from ebm_ppl.validation.checks.state_balance import state_balance
from ebm_ppl.validation.checks.state_invariance import StateSubject, state_invariance
from ebm_ppl.validation.results import Question
from ebm_ppl.validation.subjects import Subject
from ebm_ppl.validation.suite.job import Checks


def energy_checks(subject: Subject) -> Checks:
    """The checks of a discrete energy, which has a table of its states."""
    table = subject.table
    assert table is not None  # the caller has looked
    yield "normaliser", lambda: state_normalizer(table, subject.log_z)
    if has_free_energy(table):
        yield "free energy", lambda: free_energy(table)


def correctness_checks(
    case: KernelCase,
    subject: Subject,
    rng_key: PRNGKey,
    *,
    question: Question = Question.CORRECTNESS,
    num_chains: int = SCREEN_CHAINS,
) -> Checks:
    """The checks that an exact kernel's claims call for, the cheapest first."""
    table = subject.table
    assert table is not None  # the caller has looked
    if case.metropolis:
        yield (
            "detailed balance",
            lambda: state_balance(case, subject.potential, table, question=question),
        )
    yield (
        "exact invariance",
        lambda: state_invariance(
            StateSubject(case, ShortChainRunner(case, subject.potential), table),
            rng_key,
            question=question,
            screen_chains=num_chains,
        ),
    )
