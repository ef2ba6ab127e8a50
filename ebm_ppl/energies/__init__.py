"""Energies: the analytic ones, neural ones, adapters for a user's own, and compositions."""

from ebm_ppl.energies._base import AbstractEnergy as AbstractEnergy
from ebm_ppl.energies._base import as_parameter as as_parameter
from ebm_ppl.energies._graph import Graph as Graph
from ebm_ppl.energies.adapters import CallableEnergy as CallableEnergy
from ebm_ppl.energies.adapters import from_callable as from_callable
from ebm_ppl.energies.adapters import from_logdensity as from_logdensity
from ebm_ppl.energies.adapters import from_nnx as from_nnx
from ebm_ppl.energies.affine import AffineEnergy as AffineEnergy
from ebm_ppl.energies.banana import Banana as Banana
from ebm_ppl.energies.beta import Beta as Beta
from ebm_ppl.energies.blockwise import AbstractBlockwiseEnergy as AbstractBlockwiseEnergy
from ebm_ppl.energies.blockwise import AbstractLatentEnergy as AbstractLatentEnergy
from ebm_ppl.energies.blockwise import AbstractLinearEnergy as AbstractLinearEnergy
from ebm_ppl.energies.boltzmann_machine import BoltzmannMachine as BoltzmannMachine
from ebm_ppl.energies.categorical import AbstractCategoricalEnergy as AbstractCategoricalEnergy
from ebm_ppl.energies.composite import SumEnergy as SumEnergy
from ebm_ppl.energies.composite import TemperedEnergy as TemperedEnergy
from ebm_ppl.energies.conditional import AbstractConditionalEnergy as AbstractConditionalEnergy
from ebm_ppl.energies.conditional_callable import (
    CallableConditionalEnergy as CallableConditionalEnergy,
)
from ebm_ppl.energies.conditional_callable import (
    from_conditional_callable as from_conditional_callable,
)
from ebm_ppl.energies.conditional_gaussian import ConditionalGaussian as ConditionalGaussian
from ebm_ppl.energies.conditional_neural import NeuralConditionalEnergy as NeuralConditionalEnergy
from ebm_ppl.energies.conditioned import ConditionedEnergy as ConditionedEnergy
from ebm_ppl.energies.double_well import DoubleWell as DoubleWell
from ebm_ppl.energies.double_well import TiltedDoubleWell as TiltedDoubleWell
from ebm_ppl.energies.fixed import FixedEnergy as FixedEnergy
from ebm_ppl.energies.fixed import PartlyFixedEnergy as PartlyFixedEnergy
from ebm_ppl.energies.funnel import Funnel as Funnel
from ebm_ppl.energies.gamma import Gamma as Gamma
from ebm_ppl.energies.gaussian import Gaussian as Gaussian
from ebm_ppl.energies.gaussian_bernoulli_rbm import GaussianBernoulliRBM as GaussianBernoulliRBM
from ebm_ppl.energies.gaussian_mixture import GaussianMixture as GaussianMixture
from ebm_ppl.energies.graph_ising import GraphIsing as GraphIsing
from ebm_ppl.energies.guided import GuidedEnergy as GuidedEnergy
from ebm_ppl.energies.ising import Ising as Ising
from ebm_ppl.energies.likelihood import LikelihoodEnergy as LikelihoodEnergy
from ebm_ppl.energies.neural import NeuralEnergy as NeuralEnergy
from ebm_ppl.energies.noise_conditional_neural import (
    NeuralNoiseConditionalEnergy as NeuralNoiseConditionalEnergy,
)
from ebm_ppl.energies.potts import Potts as Potts
from ebm_ppl.energies.quartic import Quartic as Quartic
from ebm_ppl.energies.restricted_boltzmann_machine import (
    RestrictedBoltzmannMachine as RestrictedBoltzmannMachine,
)
from ebm_ppl.energies.ring import Ring as Ring
