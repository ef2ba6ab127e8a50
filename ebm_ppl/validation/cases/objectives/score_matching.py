"""Score matching: exact, sliced and denoising."""

from ebm_ppl.trainers import DenoisingScoreMatching, ScoreMatching, SlicedScoreMatching
from ebm_ppl.validation import estimation
from ebm_ppl.validation.cases._objective import ObjectiveCase
from ebm_ppl.validation.estimation import QUARTIC
from ebm_ppl.validation.problems import plane_score_matching_gradient

_NOISE_SCALE = 0.5

CASES = (
    ObjectiveCase(
        name="score_matching",
        objective=ScoreMatching(),
        theory=estimation.ScoreMatching(QUARTIC),
        plane_gradient=plane_score_matching_gradient(),
    ),
    ObjectiveCase(
        name="sliced_score_matching",
        objective=SlicedScoreMatching(),
        theory=estimation.ScoreMatching(QUARTIC),
        plane_gradient=plane_score_matching_gradient(),
    ),
    ObjectiveCase(
        name="sliced_score_matching_plain",
        objective=SlicedScoreMatching(
            num_projections=2, variance_reduced=False, directions="sphere"
        ),
        theory=estimation.ScoreMatching(QUARTIC),
        plane_gradient=plane_score_matching_gradient(),
        recovers=False,  # once is enough: it has the fixed point of the reduced form
    ),
    ObjectiveCase(
        name="denoising_score_matching",
        objective=DenoisingScoreMatching(_NOISE_SCALE),
        theory=estimation.DenoisingScoreMatching(QUARTIC, _NOISE_SCALE),
        plane_gradient=plane_score_matching_gradient(_NOISE_SCALE**2),
        recovers=False,  # it learns the law of the data under noise
    ),
)
