"""Maximum likelihood with the partition function by quadrature."""

from ebm_ppl.quadrature import QuadratureNormalizer
from ebm_ppl.trainers import ExactMaximumLikelihood
from ebm_ppl.validation import estimation
from ebm_ppl.validation.cases._objective import ObjectiveCase
from ebm_ppl.validation.estimation import QUARTIC

CASES = (
    ObjectiveCase(
        name="exact_maximum_likelihood",
        objective=ExactMaximumLikelihood(QuadratureNormalizer(bounds=(-6.0, 6.0))),
        theory=estimation.MaximumLikelihood(QUARTIC),
    ),
)
