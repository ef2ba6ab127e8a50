"""What a kernel is: the mathematics of one chain on one side, all chains and NumPyro on the other."""

from ebm_ppl.samplers._contract.energy_kernel import AbstractEnergyKernel as AbstractEnergyKernel
from ebm_ppl.samplers._contract.energy_kernel import Moved as Moved
from ebm_ppl.samplers._contract.kernel import AbstractKernel as AbstractKernel
from ebm_ppl.samplers._contract.metropolis import (
    AbstractMetropolisKernel as AbstractMetropolisKernel,
)
from ebm_ppl.samplers._contract.metropolis import accept_or_stay as accept_or_stay
from ebm_ppl.samplers._contract.shared_trajectory import (
    AbstractSharedTrajectoryKernel as AbstractSharedTrajectoryKernel,
)
from ebm_ppl.samplers._contract.shared_trajectory import Followed as Followed
from ebm_ppl.samplers._contract.short_chain import run_recorded_chain as run_recorded_chain
from ebm_ppl.samplers._contract.short_chain import run_short_chain as run_short_chain
from ebm_ppl.samplers._contract.state import KernelState as KernelState
from ebm_ppl.samplers._contract.state import keys_like as keys_like
from ebm_ppl.samplers._contract.target import Point as Point
from ebm_ppl.samplers._contract.target import Settings as Settings
from ebm_ppl.samplers._contract.target import Transition as Transition
from ebm_ppl.samplers._contract.target import WhitenedTarget as WhitenedTarget
from ebm_ppl.samplers._contract.unadjusted import (
    AbstractUnadjustedKernel as AbstractUnadjustedKernel,
)
