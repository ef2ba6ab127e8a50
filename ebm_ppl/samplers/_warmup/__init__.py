"""What warm-up learns: step sizes, mass matrices, lengths of trajectories, and how fast flows forget."""

from ebm_ppl.samplers._warmup.adaptation import POOLED as POOLED
from ebm_ppl.samplers._warmup.adaptation import STAN as STAN
from ebm_ppl.samplers._warmup.adaptation import WARMUP_MEMORY as WARMUP_MEMORY
from ebm_ppl.samplers._warmup.adaptation import Adaptation as Adaptation
from ebm_ppl.samplers._warmup.adaptation import AdaptationState as AdaptationState
from ebm_ppl.samplers._warmup.adaptation import Pace as Pace
from ebm_ppl.samplers._warmup.flow import FlowSearch as FlowSearch
from ebm_ppl.samplers._warmup.flow import change_coordinates as change_coordinates
from ebm_ppl.samplers._warmup.flow import end_window as end_window
from ebm_ppl.samplers._warmup.flow import follow_errors as follow_errors
from ebm_ppl.samplers._warmup.flow import follow_memory as follow_memory
from ebm_ppl.samplers._warmup.flow import start_flow_search as start_flow_search
from ebm_ppl.samplers._warmup.mass_matrix import Matrix as Matrix
from ebm_ppl.samplers._warmup.mass_matrix import MomentsState as MomentsState
from ebm_ppl.samplers._warmup.mass_matrix import apply as apply
from ebm_ppl.samplers._warmup.mass_matrix import as_inverse_mass_matrix as as_inverse_mass_matrix
from ebm_ppl.samplers._warmup.mass_matrix import merge as merge
from ebm_ppl.samplers._warmup.mass_matrix import no_moments as no_moments
from ebm_ppl.samplers._warmup.mass_matrix import solve as solve
from ebm_ppl.samplers._warmup.trajectory_length import Proposal as Proposal
from ebm_ppl.samplers._warmup.trajectory_length import TrajectoryState as TrajectoryState
from ebm_ppl.samplers._warmup.trajectory_length import ascend as ascend
from ebm_ppl.samplers._warmup.trajectory_length import jitter as jitter
from ebm_ppl.samplers._warmup.trajectory_length import start_trajectory as start_trajectory
from ebm_ppl.samplers._warmup.trajectory_length import visit as visit
