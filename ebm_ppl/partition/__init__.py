"""Partition functions: sums over all states where they are possible, estimates with error bars where not."""

from ebm_ppl.partition._annealed_importance import (
    annealed_importance_sampling as annealed_importance_sampling,
)
from ebm_ppl.partition._bridge import bridge_sampling as bridge_sampling
from ebm_ppl.partition._estimate import EdgeWarning as EdgeWarning
from ebm_ppl.partition._estimate import HeavyTailWarning as HeavyTailWarning
from ebm_ppl.partition._estimate import LogPartitionEstimate as LogPartitionEstimate
from ebm_ppl.partition._estimate import MissedModeWarning as MissedModeWarning
from ebm_ppl.partition._estimate import ResolutionWarning as ResolutionWarning
from ebm_ppl.partition._estimate import SlowMixingWarning as SlowMixingWarning
from ebm_ppl.partition._estimate import SmallSampleWarning as SmallSampleWarning
from ebm_ppl.partition._estimate import estimate_from_log_weights as estimate_from_log_weights
from ebm_ppl.partition._exchange_estimate import exchange_estimate as exchange_estimate
from ebm_ppl.partition._fit_base import fit_base as fit_base
from ebm_ppl.partition._importance import importance_sampling as importance_sampling
from ebm_ppl.partition._pareto import pareto_k as pareto_k
from ebm_ppl.partition._pilot import AnnealingSchedule as AnnealingSchedule
from ebm_ppl.partition._pilot import adaptive_schedule as adaptive_schedule
from ebm_ppl.partition._reverse_annealed_importance import (
    reverse_annealed_importance_sampling as reverse_annealed_importance_sampling,
)
from ebm_ppl.partition._sequential import sequential_monte_carlo as sequential_monte_carlo
from ebm_ppl.partition._thermodynamic import SlowExchangeWarning as SlowExchangeWarning
from ebm_ppl.partition._thermodynamic import thermodynamic_integration as thermodynamic_integration
from ebm_ppl.partition.enumeration import EnumerationNormalizer as EnumerationNormalizer
