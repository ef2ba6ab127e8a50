"""What the suite needs to know about a kernel to question it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from numpyro.infer.mcmc import MCMCKernel

from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.potentials import EnergyPotential

_DIVERGES = (
    "an explicit step without acceptance diverges where the curvature has no bound "
    "(Roberts & Tweedie, 1996)"
)
EXPLICIT_STEPS_DIVERGE: Mapping[str, str] = {"banana": _DIVERGES, "funnel": _DIVERGES}

KernelFactory: TypeAlias = Callable[[EnergyPotential], MCMCKernel]


@dataclasses.dataclass(frozen=True)
class KernelCase:
    """A kernel and its claims. The claims decide which checks it meets.

    Attributes:
        name: Name in reports and on the command line.
        make: Builds the kernel for a potential.
        exact: Whether it claims to leave the target invariant.
        bias_order: Claimed order of its stationary bias in the step size; `None` if exact.
        reversible: Whether a single transition claims to be reversible.
        reports_acceptance: Whether `accept_prob` is the probability that the chain moved.
        metropolis: Whether it exposes `propose` and `log_acceptance`, for detailed balance by quadrature;
            on states `log_proposal` and `propose`, for detailed balance over all states.
        batched: Whether `init` takes a batch of keys; otherwise the suite maps it with `jax.vmap`.
        adaptation_field: Field of its state that holds `step_size` and `inverse_mass_matrix`:
            `adapt_state` in NumPyro's kernels; `None` if the kernel has no step size to set.
        evaluations_field: State field that counts the energy (and gradient) evaluations of a transition;
            `None` if there is one a transition.
        num_transitions: Transitions between start and end in the exact invariance check.
        thinning: Steps between the draws that are kept in the mixing run.
        bias_step_size: Step size at which an order of bias is measured, beside its half.
        unsuited_for: Built-in energies that it cannot sample by its nature, each with the reason. The report
            names them as left out.
        discrete: Whether it moves on finitely many states, and not along real numbers.
        energies: Class of the energies that it is made for, where it reads their structure.
    """

    name: str
    make: KernelFactory
    exact: bool
    bias_order: int | None = None
    reversible: bool = True
    reports_acceptance: bool = True
    metropolis: bool = False
    batched: bool = True
    adaptation_field: str | None = "adaptation"
    evaluations_field: str | None = None
    num_transitions: int = 4
    thinning: int = 10
    bias_step_size: float | None = None
    unsuited_for: Mapping[str, str] = dataclasses.field(default_factory=dict)
    discrete: bool = False
    energies: type[AbstractEnergy] = AbstractEnergy

    def moves_on(self, energy: AbstractEnergy) -> bool:
        """Whether an energy's points are of the kind on which the kernel moves."""
        return bool(energy.support.is_discrete) == self.discrete

    def refusal(self, energy: AbstractEnergy) -> str:
        """Why the kernel cannot sample an energy by its nature, or an empty string."""
        if not self.moves_on(energy):
            return f"it moves {'on states' if self.discrete else 'along real numbers'}"
        if not isinstance(energy, self.energies):
            return f"it needs an {self.energies.__name__}, which knows its conditional laws"
        return ""

    def adaptation(self, state: Any) -> Any:
        """What the state holds of step size and mass matrix; `None` if there is no step size."""
        return None if self.adaptation_field is None else getattr(state, self.adaptation_field)

    def with_step_size(self, state: Any, step_size: jax.Array) -> Any:
        """The state with another step size for all its chains; as it is if there is none to set."""
        if self.adaptation_field is None:
            return state
        adaptation = self.adaptation(state)
        value = jnp.full_like(adaptation.step_size, step_size)
        changed = adaptation._replace(step_size=value)
        return state._replace(**{self.adaptation_field: changed})
