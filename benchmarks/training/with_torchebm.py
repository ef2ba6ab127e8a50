"""TorchEBM: its losses and sampler in the training loop of its guide."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchebm.core import BaseModel
from torchebm.losses import (
    ContrastiveDivergence,
    DenoisingScoreMatching,
    ScoreMatching,
    SlicedScoreMatching,
)
from torchebm.samplers import LangevinDynamics

from benchmarks.training import problem

PACKAGES = ("torchebm", "torch")


class _Energy(BaseModel):
    """An MLP 2-128-128-1."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(2, problem.WIDTH),
            nn.SiLU(),
            nn.Linear(problem.WIDTH, problem.WIDTH),
            nn.SiLU(),
            nn.Linear(problem.WIDTH, 1, bias=False),
        )

    def forward(self, x: Float[Tensor, "num_points 2"]) -> Float[Tensor, " num_points"]:
        return self.network(x).squeeze(-1)


def contrastive_divergence(energy: _Energy) -> nn.Module:
    """CD-10 without the default penalty on the size of energies, which nobody else computes."""
    return ContrastiveDivergence(
        model=energy,
        sampler=LangevinDynamics(model=energy, step_size=problem.LANGEVIN_STEP_SIZE),
        k_steps=problem.NUM_LANGEVIN_STEPS,
        energy_reg_weight=0.0,
    )


def persistent_cd(energy: _Energy) -> nn.Module:
    """A buffer as large as a batch is a fixed set of chains, all of which move in every step."""
    return ContrastiveDivergence(
        model=energy,
        sampler=LangevinDynamics(model=energy, step_size=problem.LANGEVIN_STEP_SIZE),
        k_steps=problem.NUM_LANGEVIN_STEPS,
        energy_reg_weight=0.0,
        persistent=True,
        buffer_size=problem.BATCH_SIZE,
        init_steps=0,
        new_sample_ratio=0.0,
    )


def denoising_score_matching(energy: _Energy) -> nn.Module:
    """One noise scale."""
    return DenoisingScoreMatching(model=energy, noise_scale=problem.NOISE_SCALE)


def sliced_score_matching(energy: _Energy) -> nn.Module:
    """One sign vector per example."""
    return SlicedScoreMatching(model=energy, n_projections=1)


def score_matching(energy: _Energy) -> nn.Module:
    """The exact trace of the Hessian."""
    return ScoreMatching(model=energy, hessian_method="exact")


_LOSSES = {
    function.__name__: function
    for function in (
        contrastive_divergence,
        persistent_cd,
        denoising_score_matching,
        sliced_score_matching,
        score_matching,
    )
}


def start(objective: str) -> Callable[[int], float]:
    """Build the trainer of one objective.

    Returns:
        Function that takes a number of steps and returns their mean loss.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = torch.from_numpy(problem.data())
    energy = _Energy()
    loss_function = _LOSSES[objective](energy)
    optimizer = torch.optim.Adam(energy.parameters(), lr=problem.LEARNING_RATE)

    def run(num_steps: int) -> float:
        total = torch.zeros(())
        for _ in range(num_steps):
            batch = data[torch.randint(len(data), (problem.BATCH_SIZE,))]
            value = loss_function(batch)
            loss = value[0] if isinstance(value, tuple) else value
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
        return float(total) / num_steps

    return run
