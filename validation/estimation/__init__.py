"""Theory of estimators without a partition function, in one dimension and double precision.

For each objective: its population gradient at any parameter under any law of the data, hence what it
converges to and what it loses there, and its asymptotic covariance, hence its efficiency. Everything is
quadrature on NumPy arrays and shares no code with the objectives that it is held against.
"""

from validation.estimation._base import AbstractEstimator as AbstractEstimator
from validation.estimation.asymptotics import Efficiency as Efficiency
from validation.estimation.asymptotics import asymptotic_covariance as asymptotic_covariance
from validation.estimation.asymptotics import efficiency as efficiency
from validation.estimation.asymptotics import well_specified_efficiency as well_specified_efficiency
from validation.estimation.closed_form import even_quartic_log_z as even_quartic_log_z
from validation.estimation.contrastive_divergence import (
    ContrastiveDivergence as ContrastiveDivergence,
)
from validation.estimation.contrastive_divergence import PersistentLangevin as PersistentLangevin
from validation.estimation.contrastive_divergence import (
    reversible_covariance as reversible_covariance,
)
from validation.estimation.family import GAUSSIAN as GAUSSIAN
from validation.estimation.family import QUARTIC as QUARTIC
from validation.estimation.family import PolynomialFamily as PolynomialFamily
from validation.estimation.grid_law import GridLaw as GridLaw
from validation.estimation.grid_law import line as line
from validation.estimation.grid_law import normal_density as normal_density
from validation.estimation.grid_law import toy_mixture as toy_mixture
from validation.estimation.likelihood import MaximumLikelihood as MaximumLikelihood
from validation.estimation.noise_contrastive import (
    ConditionalNoiseContrastive as ConditionalNoiseContrastive,
)
from validation.estimation.noise_contrastive import NoiseContrastive as NoiseContrastive
from validation.estimation.population import excess as excess
from validation.estimation.population import population_minimiser as population_minimiser
from validation.estimation.population import sensitivity as sensitivity
from validation.estimation.ranking import RankingNoiseContrastive as RankingNoiseContrastive
from validation.estimation.reference_estimators import (
    maximum_likelihood_estimator as maximum_likelihood_estimator,
)
from validation.estimation.reference_estimators import (
    score_matching_estimator as score_matching_estimator,
)
from validation.estimation.score_matching import DenoisingScoreMatching as DenoisingScoreMatching
from validation.estimation.score_matching import ScoreMatching as ScoreMatching
from validation.estimation.simulation import MeasuredEfficiency as MeasuredEfficiency
from validation.estimation.simulation import draw_data_sets as draw_data_sets
from validation.estimation.simulation import estimate_all as estimate_all
from validation.estimation.simulation import measured_efficiency as measured_efficiency
from validation.estimation.transfer import Mala as Mala
from validation.estimation.transfer import RandomWalk as RandomWalk
from validation.estimation.transfer import UnadjustedLangevin as UnadjustedLangevin
