"""Theory of estimators without a partition function, in one dimension and double precision.

For each objective: its population gradient at any parameter under any law of the data, hence what it
converges to and what it loses there, and its asymptotic covariance, hence its efficiency. Everything is
quadrature on NumPy arrays and shares no code with the objectives that it is held against.
"""

from ebm_ppl.validation.estimation._base import AbstractEstimator as AbstractEstimator
from ebm_ppl.validation.estimation.asymptotics import Efficiency as Efficiency
from ebm_ppl.validation.estimation.asymptotics import asymptotic_covariance as asymptotic_covariance
from ebm_ppl.validation.estimation.asymptotics import efficiency as efficiency
from ebm_ppl.validation.estimation.asymptotics import (
    well_specified_efficiency as well_specified_efficiency,
)
from ebm_ppl.validation.estimation.closed_form import even_quartic_log_z as even_quartic_log_z
from ebm_ppl.validation.estimation.contrastive_divergence import (
    ContrastiveDivergence as ContrastiveDivergence,
)
from ebm_ppl.validation.estimation.contrastive_divergence import (
    PersistentLangevin as PersistentLangevin,
)
from ebm_ppl.validation.estimation.contrastive_divergence import (
    reversible_covariance as reversible_covariance,
)
from ebm_ppl.validation.estimation.family import GAUSSIAN as GAUSSIAN
from ebm_ppl.validation.estimation.family import QUARTIC as QUARTIC
from ebm_ppl.validation.estimation.family import PolynomialFamily as PolynomialFamily
from ebm_ppl.validation.estimation.grid_law import GridLaw as GridLaw
from ebm_ppl.validation.estimation.grid_law import line as line
from ebm_ppl.validation.estimation.grid_law import normal_density as normal_density
from ebm_ppl.validation.estimation.grid_law import toy_mixture as toy_mixture
from ebm_ppl.validation.estimation.likelihood import MaximumLikelihood as MaximumLikelihood
from ebm_ppl.validation.estimation.noise_contrastive import (
    ConditionalNoiseContrastive as ConditionalNoiseContrastive,
)
from ebm_ppl.validation.estimation.noise_contrastive import NoiseContrastive as NoiseContrastive
from ebm_ppl.validation.estimation.population import excess as excess
from ebm_ppl.validation.estimation.population import population_minimiser as population_minimiser
from ebm_ppl.validation.estimation.population import sensitivity as sensitivity
from ebm_ppl.validation.estimation.ranking import RankingNoiseContrastive as RankingNoiseContrastive
from ebm_ppl.validation.estimation.reference_estimators import (
    maximum_likelihood_estimator as maximum_likelihood_estimator,
)
from ebm_ppl.validation.estimation.reference_estimators import (
    score_matching_estimator as score_matching_estimator,
)
from ebm_ppl.validation.estimation.score_matching import (
    DenoisingScoreMatching as DenoisingScoreMatching,
)
from ebm_ppl.validation.estimation.score_matching import ScoreMatching as ScoreMatching
from ebm_ppl.validation.estimation.simulation import MeasuredEfficiency as MeasuredEfficiency
from ebm_ppl.validation.estimation.simulation import draw_data_sets as draw_data_sets
from ebm_ppl.validation.estimation.simulation import estimate_all as estimate_all
from ebm_ppl.validation.estimation.simulation import measured_efficiency as measured_efficiency
from ebm_ppl.validation.estimation.transfer import Mala as Mala
from ebm_ppl.validation.estimation.transfer import RandomWalk as RandomWalk
from ebm_ppl.validation.estimation.transfer import UnadjustedLangevin as UnadjustedLangevin
