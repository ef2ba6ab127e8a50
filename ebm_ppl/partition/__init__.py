"""Partition functions: sums over all states where they are possible, estimates with error bars where not."""

from ebm_ppl.partition._estimate import HeavyTailWarning as HeavyTailWarning
from ebm_ppl.partition._estimate import LogPartitionEstimate as LogPartitionEstimate
from ebm_ppl.partition._estimate import SmallSampleWarning as SmallSampleWarning
from ebm_ppl.partition._estimate import estimate_from_log_weights as estimate_from_log_weights
from ebm_ppl.partition._pareto import pareto_k as pareto_k
from ebm_ppl.partition.enumeration import EnumerationNormalizer as EnumerationNormalizer
