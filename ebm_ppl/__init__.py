r"""Energy-based models as first-class citizens of NumPyro.

An energy $E$ stands for the density $p(x) = \exp(-E(x)) / Z$. It becomes a NumPyro potential function
(`potential_fn`), a NumPyro model (`as_model`) or a NumPyro distribution (`EnergyDistribution`), and every
kernel, NumPyro's and those of this package, samples it inside `numpyro.infer.MCMC`.
"""

from ebm_ppl import doubly_intractable as doubly_intractable
from ebm_ppl import energies as energies
from ebm_ppl import partition as partition
from ebm_ppl import quadrature as quadrature
from ebm_ppl import samplers as samplers
from ebm_ppl import serialization as serialization
from ebm_ppl import streaming as streaming
from ebm_ppl import trainers as trainers
from ebm_ppl._errors import DoublyIntractableError as DoublyIntractableError
from ebm_ppl._errors import NonFiniteEnergyError as NonFiniteEnergyError
from ebm_ppl._errors import NotNormalizableError as NotNormalizableError
from ebm_ppl._errors import TrainingDivergedError as TrainingDivergedError
from ebm_ppl.distribution import EnergyDistribution as EnergyDistribution
from ebm_ppl.energies import AbstractConditionalEnergy as AbstractConditionalEnergy
from ebm_ppl.energies import AbstractEnergy as AbstractEnergy
from ebm_ppl.energies import AbstractNoiseConditionalEnergy as AbstractNoiseConditionalEnergy
from ebm_ppl.partition import EnumerationNormalizer as EnumerationNormalizer
from ebm_ppl.potentials import as_model as as_model
from ebm_ppl.potentials import potential_fn as potential_fn
from ebm_ppl.quadrature import QuadratureNormalizer as QuadratureNormalizer
from ebm_ppl.samplers import MALA as MALA
from ebm_ppl.samplers import MAMS as MAMS
from ebm_ppl.samplers import MCLMC as MCLMC
from ebm_ppl.samplers import BlockGibbs as BlockGibbs
from ebm_ppl.samplers import ChEESHMC as ChEESHMC
from ebm_ppl.samplers import GibbsWithGradients as GibbsWithGradients
from ebm_ppl.samplers import IndependenceMetropolis as IndependenceMetropolis
from ebm_ppl.samplers import Langevin as Langevin
from ebm_ppl.samplers import RandomWalkMetropolis as RandomWalkMetropolis
from ebm_ppl.samplers import ReplicaExchange as ReplicaExchange
from ebm_ppl.samplers import UnderdampedLangevin as UnderdampedLangevin
from ebm_ppl.serialization import load_energy as load_energy
from ebm_ppl.serialization import save_energy as save_energy
from ebm_ppl.trainers import AnnealedDenoisingScoreMatching as AnnealedDenoisingScoreMatching
from ebm_ppl.trainers import Checkpoint as Checkpoint
from ebm_ppl.trainers import ConditionalNoiseContrastive as ConditionalNoiseContrastive
from ebm_ppl.trainers import ContrastiveDivergence as ContrastiveDivergence
from ebm_ppl.trainers import DenoisingScoreMatching as DenoisingScoreMatching
from ebm_ppl.trainers import ExactMaximumLikelihood as ExactMaximumLikelihood
from ebm_ppl.trainers import FisherScoreMatching as FisherScoreMatching
from ebm_ppl.trainers import FlowContrastive as FlowContrastive
from ebm_ppl.trainers import NoiseContrastive as NoiseContrastive
from ebm_ppl.trainers import PersistentCD as PersistentCD
from ebm_ppl.trainers import RankingNoiseContrastive as RankingNoiseContrastive
from ebm_ppl.trainers import ReplayBufferCD as ReplayBufferCD
from ebm_ppl.trainers import ReplicaExchangeCD as ReplicaExchangeCD
from ebm_ppl.trainers import ScoreMatching as ScoreMatching
from ebm_ppl.trainers import SlicedScoreMatching as SlicedScoreMatching
from ebm_ppl.trainers import Validation as Validation
from ebm_ppl.trainers import fit as fit
