"""From a sampling run to the record that the report's pictures and tables read."""

import jax
import numpy as np

from ebm_ppl.quadrature import QuadratureDensity, StateTable
from ebm_ppl.samplers import AbstractKernel, ReplicaExchange
from ebm_ppl.validation.cases import KernelCase
from ebm_ppl.validation.results import CheckResult, Trace
from ebm_ppl.validation.sampling import NUM_BLOCKS, SamplingRun

TABLE_POINTS = 401
TABLE_TAIL = 1e-5
"""The tables of the truth run between these extreme quantiles."""
TRUTH_DRAWS = 4000


def trace(
    energy_name: str,
    case: KernelCase,
    run: SamplingRun,
    density: QuadratureDensity | None,
    mixing: CheckResult,
    table: StateTable | None = None,
) -> Trace:
    """Lay a run's draws beside the truth, and its figures in a table.

    Args:
        energy_name: Name of the energy.
        case: The kernel.
        run: Its run.
        density: Ground truth, or `None`.
        mixing: The verdict on the run, whose diagnostics are taken over.
        table: Ground truth of a discrete energy, or `None`.
    """
    ess = mixing.components.get("ess_bulk", np.nan)
    per_step = evaluations_per_step(run)
    diagnostics = {
        **{name: mixing.components.get(name, np.nan) for name in ("rhat", "ess_bulk", "ess_tail")},
        "ess_per_second": ess / NUM_BLOCKS / run.seconds,
        "ess_per_gradient": ess / (run.evaluations * per_step),
        "accept_prob": run.accept_prob,
        "step_size": run.step_size,
        "seconds": run.seconds,
        "num_chains": float(run.draws.shape[0]),
        "num_draws": float(run.draws.shape[0] * run.draws.shape[1]),
    }
    grid, table_density, table_cdf, energies = None, None, None, None
    if density is not None:
        marginals = [density.marginal(axis) for axis in range(density.dim)]
        ends = [m.quantile(np.array([TABLE_TAIL, 1 - TABLE_TAIL])) for m in marginals]
        grid = np.stack([np.linspace(low, high, TABLE_POINTS) for low, high in ends])
        table_density = np.stack([m.density(g) for m, g in zip(marginals, grid, strict=True)])
        table_cdf = np.stack([m.cdf(g) for m, g in zip(marginals, grid, strict=True)])
        draws = density.sample(jax.random.key(0), (TRUTH_DRAWS,))
        energies = -np.asarray(density.log_density(draws)) - density.log_z
    elif table is not None:
        numbers = table.number_of(table.sample(jax.random.key(0), (TRUTH_DRAWS,)))
        energies = -table.log_probs[numbers] - table.log_z
    return Trace(
        energy=energy_name,
        kernel=case.name,
        draws=run.draws,
        energies=run.energies,
        truth_grid=grid,
        truth_density=table_density,
        truth_cdf=table_cdf,
        truth_energy_draws=energies,
        diagnostics=diagnostics,
    )


def evaluations_per_step(run: SamplingRun) -> int:
    """Gradients (without any: energies) behind one counted evaluation of a kernel."""
    kernel = run.kernel
    if isinstance(kernel, (AbstractKernel, ReplicaExchange)):
        return max(kernel.gradient_evaluations_per_step, kernel.potential_evaluations_per_step)
    return 1
