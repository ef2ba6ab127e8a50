"""Training without knowing the partition function: one loop, one objective a file."""

from ebm_ppl.trainers import recipes as recipes
from ebm_ppl.trainers._base import AbstractObjective as AbstractObjective
from ebm_ppl.trainers._base import Model as Model
from ebm_ppl.trainers._base import Prepared as Prepared
from ebm_ppl.trainers._batch import Batch as Batch
from ebm_ppl.trainers._batch import Condition as Condition
from ebm_ppl.trainers._batch import at as at
from ebm_ppl.trainers._batch import energies_of as energies_of
from ebm_ppl.trainers._batch import per_example as per_example
from ebm_ppl.trainers._callback import Callback as Callback
from ebm_ppl.trainers._callback import FitProgress as FitProgress
from ebm_ppl.trainers._centring import centred as centred
from ebm_ppl.trainers._checkpoint import Checkpoint as Checkpoint
from ebm_ppl.trainers._checkpoint import CheckpointWarning as CheckpointWarning
from ebm_ppl.trainers._data import as_batch as as_batch
from ebm_ppl.trainers._fisher_scoring import FisherScoring as FisherScoring
from ebm_ppl.trainers._fisher_scoring import fisher_scoring as fisher_scoring
from ebm_ppl.trainers._fit import Fit as Fit
from ebm_ppl.trainers._fit import fit as fit
from ebm_ppl.trainers._held_out import Validation as Validation
from ebm_ppl.trainers._history import History as History
from ebm_ppl.trainers._preconditioning import scale_by_fisher as scale_by_fisher
from ebm_ppl.trainers._schedule import polyak_averaging as polyak_averaging
from ebm_ppl.trainers._standard_errors import StandardErrors as StandardErrors
from ebm_ppl.trainers._standard_errors import standard_errors as standard_errors
from ebm_ppl.trainers._step import Trainer as Trainer
from ebm_ppl.trainers._step import TrainState as TrainState
from ebm_ppl.trainers._units import Units as Units
from ebm_ppl.trainers.annealed_denoising_score_matching import (
    AnnealedDenoisingScoreMatching as AnnealedDenoisingScoreMatching,
)
from ebm_ppl.trainers.conditional_noise_contrastive import (
    ConditionalNoiseContrastive as ConditionalNoiseContrastive,
)
from ebm_ppl.trainers.contrastive_divergence import ContrastiveDivergence as ContrastiveDivergence
from ebm_ppl.trainers.denoising_score_matching import (
    DenoisingScoreMatching as DenoisingScoreMatching,
)
from ebm_ppl.trainers.exact_maximum_likelihood import (
    ExactMaximumLikelihood as ExactMaximumLikelihood,
)
from ebm_ppl.trainers.fisher_score_matching import FisherScoreMatching as FisherScoreMatching
from ebm_ppl.trainers.flow_contrastive import Adversary as Adversary
from ebm_ppl.trainers.flow_contrastive import FlowContrastive as FlowContrastive
from ebm_ppl.trainers.newton import newton as newton
from ebm_ppl.trainers.noise_contrastive import NoiseContrastive as NoiseContrastive
from ebm_ppl.trainers.persistent_cd import PersistentCD as PersistentCD
from ebm_ppl.trainers.ranking_noise_contrastive import (
    RankingNoiseContrastive as RankingNoiseContrastive,
)
from ebm_ppl.trainers.replay_buffer import ReplayBufferCD as ReplayBufferCD
from ebm_ppl.trainers.replica_exchange_cd import ReplicaExchangeCD as ReplicaExchangeCD
from ebm_ppl.trainers.score_matching import ScoreMatching as ScoreMatching
from ebm_ppl.trainers.sliced_score_matching import SlicedScoreMatching as SlicedScoreMatching
