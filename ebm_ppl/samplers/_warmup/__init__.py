"""What warm-up learns: step sizes, mass matrices, lengths of trajectories, and how fast flows forget."""

from ebm_ppl.samplers._warmup.adaptation import POOLED as POOLED
from ebm_ppl.samplers._warmup.adaptation import STAN as STAN
from ebm_ppl.samplers._warmup.adaptation import WARMUP_MEMORY as WARMUP_MEMORY
from ebm_ppl.samplers._warmup.adaptation import Adaptation as Adaptation
from ebm_ppl.samplers._warmup.adaptation import Pace as Pace
from ebm_ppl.samplers._warmup.adaptation import distance_itself as distance_itself
from ebm_ppl.samplers._warmup.early import follow_acceptance as follow_acceptance
from ebm_ppl.samplers._warmup.mass_matrix import Matrix as Matrix
from ebm_ppl.samplers._warmup.mass_matrix import MomentsState as MomentsState
from ebm_ppl.samplers._warmup.mass_matrix import apply as apply
from ebm_ppl.samplers._warmup.mass_matrix import as_inverse_mass_matrix as as_inverse_mass_matrix
from ebm_ppl.samplers._warmup.mass_matrix import check_unstructured as check_unstructured
from ebm_ppl.samplers._warmup.mass_matrix import merge as merge
from ebm_ppl.samplers._warmup.mass_matrix import no_moments as no_moments
from ebm_ppl.samplers._warmup.mass_matrix import solve as solve
from ebm_ppl.samplers._warmup.microcanonical import UNITS_OF_ROUNDING as UNITS_OF_ROUNDING
from ebm_ppl.samplers._warmup.microcanonical import FlowSettings as FlowSettings
from ebm_ppl.samplers._warmup.microcanonical import FlowWarmup as FlowWarmup
from ebm_ppl.samplers._warmup.trajectory import Trajectory as Trajectory
from ebm_ppl.samplers._warmup.trajectory import TrajectorySettings as TrajectorySettings
from ebm_ppl.samplers._warmup.trajectory import TrajectoryWarmup as TrajectoryWarmup
from ebm_ppl.samplers._warmup.trajectory_length import Proposal as Proposal
from ebm_ppl.samplers._warmup.warmup import AbstractWarmup as AbstractWarmup
from ebm_ppl.samplers._warmup.warmup import AdaptationState as AdaptationState
from ebm_ppl.samplers._warmup.warmup import Observed as Observed
from ebm_ppl.samplers._warmup.warmup import Settings as Settings
