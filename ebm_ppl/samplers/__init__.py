"""Markov kernels for NumPyro's `MCMC`, and the interfaces to write more of them."""

from ebm_ppl.samplers._contract import (
    AbstractEnergyKernel as AbstractEnergyKernel,
)
from ebm_ppl.samplers._contract import (
    AbstractKernel as AbstractKernel,
)
from ebm_ppl.samplers._contract import (
    AbstractMetropolisKernel as AbstractMetropolisKernel,
)
from ebm_ppl.samplers._contract import (
    AbstractUnadjustedKernel as AbstractUnadjustedKernel,
)
from ebm_ppl.samplers._contract import (
    KernelState as KernelState,
)
from ebm_ppl.samplers._contract import (
    Moved as Moved,
)
from ebm_ppl.samplers._contract import (
    Point as Point,
)
from ebm_ppl.samplers._contract import (
    Transition as Transition,
)
from ebm_ppl.samplers._contract import (
    WhitenedTarget as WhitenedTarget,
)
from ebm_ppl.samplers._contract import (
    run_short_chain as run_short_chain,
)
from ebm_ppl.samplers._warmup import AbstractWarmup as AbstractWarmup
from ebm_ppl.samplers._warmup import Adaptation as Adaptation
from ebm_ppl.samplers._warmup import AdaptationState as AdaptationState
from ebm_ppl.samplers._warmup import Observed as Observed
from ebm_ppl.samplers._warmup import Settings as Settings
from ebm_ppl.samplers.annealed_langevin import annealed_langevin as annealed_langevin
from ebm_ppl.samplers.block_gibbs import BlockGibbs as BlockGibbs
from ebm_ppl.samplers.chees_hmc import ChEESHMC as ChEESHMC
from ebm_ppl.samplers.gibbs_with_gradients import GibbsWithGradients as GibbsWithGradients
from ebm_ppl.samplers.independence import IndependenceMetropolis as IndependenceMetropolis
from ebm_ppl.samplers.langevin import Langevin as Langevin
from ebm_ppl.samplers.mala import MALA as MALA
from ebm_ppl.samplers.mams import MAMS as MAMS
from ebm_ppl.samplers.mclmc import MCLMC as MCLMC
from ebm_ppl.samplers.mcmc import MCMC as MCMC
from ebm_ppl.samplers.moves import Moves as Moves
from ebm_ppl.samplers.random_walk_metropolis import RandomWalkMetropolis as RandomWalkMetropolis
from ebm_ppl.samplers.replica_exchange import ReplicaExchange as ReplicaExchange
from ebm_ppl.samplers.replica_exchange import ReplicaExchangeState as ReplicaExchangeState
from ebm_ppl.samplers.underdamped_langevin import UnderdampedLangevin as UnderdampedLangevin
