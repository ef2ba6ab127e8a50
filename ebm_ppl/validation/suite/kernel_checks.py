"""Which checks follow from what a kernel claims."""

from ebm_ppl._types import PRNGKey
from ebm_ppl.samplers import AbstractMetropolisKernel, AbstractUnadjustedKernel
from ebm_ppl.validation.cases import KernelCase
from ebm_ppl.validation.chains import ShortChainRunner
from ebm_ppl.validation.checks.adaptation import frozen_adaptation
from ebm_ppl.validation.checks.bias_order import bias_order
from ebm_ppl.validation.checks.detailed_balance import detailed_balance
from ebm_ppl.validation.checks.invariance import SCREEN_CHAINS, InvarianceSubject, exact_invariance
from ebm_ppl.validation.family import Member
from ebm_ppl.validation.results import CheckResult, Question
from ebm_ppl.validation.subjects import Subject
from ebm_ppl.validation.suite import states
from ebm_ppl.validation.suite.job import Checks, key_for

STEP_FACTORS = (0.5, 1.0, 2.0)


def correctness_checks(
    case: KernelCase,
    subject: Subject,
    step_size: float,
    rng_key: PRNGKey,
    *,
    question: Question = Question.CORRECTNESS,
    num_chains: int = SCREEN_CHAINS,
    member: Member | None = None,
) -> Checks:
    """The checks that an exact kernel's claims call for, the cheapest first."""
    if subject.is_discrete:
        yield from states.correctness_checks(
            case, subject, rng_key, question=question, num_chains=num_chains
        )
        return
    density, potential = subject.density, subject.potential
    assert density is not None  # for the type checker; the caller has looked

    def balance() -> CheckResult:
        kernel = case.make(potential)
        assert isinstance(kernel, AbstractMetropolisKernel)
        return detailed_balance(kernel, potential, density, step_size, question=question)

    def invariance() -> CheckResult:
        runner = ShortChainRunner(case, member or potential)
        steps = [factor * step_size for factor in STEP_FACTORS]
        return exact_invariance(
            InvarianceSubject(case, runner, density, steps),
            rng_key,
            question=question,
            screen_chains=num_chains,
        )

    if case.metropolis:
        yield "detailed balance", balance
    yield "exact invariance", invariance


def claim_checks(case: KernelCase, subject: Subject, seed: int, question: Question) -> Checks:
    """The checks of a kernel that do not depend on the energy."""
    if case.adaptation_field is not None:
        key = key_for(seed, case.name, "claims")
        yield (
            "frozen adaptation",
            lambda: frozen_adaptation(case, subject.potential, key, question=question),
        )
    if case.bias_order is not None:
        yield "order of bias", lambda: _bias_order(case, subject, question)


def _bias_order(case: KernelCase, subject: Subject, question: Question) -> CheckResult:
    kernel, density = case.make(subject.potential), subject.density
    assert isinstance(kernel, AbstractUnadjustedKernel)  # `case` claims it
    assert density is not None  # the reference target is one-dimensional
    assert case.bias_step_size is not None
    return bias_order(kernel, subject.potential, density, case.bias_step_size, question=question)
