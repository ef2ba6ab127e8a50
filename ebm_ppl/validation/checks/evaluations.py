"""What a step costs: the potentials and gradients that it evaluates, against those that a kernel claims."""

import time
from collections import Counter
from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp

from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.samplers import AbstractKernel
from ebm_ppl.validation.cases._base import KernelCase
from ebm_ppl.validation.results import CheckResult, Question, Verdict


def evaluations(
    case: KernelCase,
    potential: EnergyPotential,
    rng_key: jax.Array,
    *,
    question: Question = Question.CORRECTNESS,
) -> CheckResult | None:
    """Check that a step evaluates as many potentials and gradients as its class says.

    They are counted while one step runs, those in loops each time. Efficiencies are told by them: a kernel
    that claims too few looks cheaper than it is.

    Args:
        case: The kernel.
        potential: Potential of the target.
        rng_key: Random key.
        question: Recorded in the result.

    Returns:
        The result; `None` for a kernel without such claims, which is no `AbstractKernel`.
    """
    began = time.perf_counter()
    calls: Counter[str] = Counter()
    counted = cast(EnergyPotential, _Counted(potential, calls))  # it looks like one
    kernel = case.make(counted)
    if not isinstance(kernel, AbstractKernel):
        return None
    state = kernel.init(rng_key, 0, jnp.zeros(potential.position_shape), (), {})
    jax.effects_barrier()
    calls.clear()
    new = jax.jit(lambda state: kernel.sample(state, (), {}))(state)
    jax.block_until_ready(new.z)
    jax.effects_barrier()
    claimed = {
        "gradient": kernel.gradient_evaluations_per_step,
        "potential": kernel.potential_evaluations_per_step,
    }
    wrong = [name for name, count in claimed.items() if calls[name] != count]
    found = ", ".join(
        f"{calls[name]} of the {name} where {claimed[name]} is claimed" for name in wrong
    )
    return CheckResult(
        check="evaluations",
        question=question,
        verdict=Verdict.FAIL if wrong else Verdict.PASS,
        statistic=float(sum(abs(calls[name] - claimed[name]) for name in wrong)),
        statistic_name="evaluations in a step beside those claimed",
        bound=0.0,
        sample_size=1,
        detectable="one evaluation more or less",
        false_alarm_rate=0.0,
        detail=f"a step makes {found}" if wrong else "",
        seconds=time.perf_counter() - began,
    )


class _Counted(eqx.Module):
    """The same potential, which counts how often it and its gradient are computed."""

    potential: EnergyPotential
    calls: Counter[str] = eqx.field(static=True)

    @property
    def energy(self) -> AbstractEnergy:
        """The energy, whose structure a kernel may read."""
        return self.potential.energy

    @property
    def position_shape(self) -> tuple[int, ...]:
        """Shape of an unconstrained position."""
        return self.potential.position_shape

    def __call__(self, z: Event) -> Scalar:
        """Potential energy of one unconstrained position."""

        def count(name: str) -> None:
            jax.debug.callback(lambda: self.calls.update([name]))

        @jax.custom_vjp
        def counted(z: Event) -> Scalar:
            count("potential")
            return self.potential(z)

        def forward(z: Event) -> tuple[Scalar, Event]:
            return counted(z), z

        def backward(z: Event, cotangent: Scalar) -> tuple[Event]:
            count("gradient")
            return (cotangent * jax.grad(self.potential)(z),)

        counted.defvjp(forward, backward)
        return counted(z)
