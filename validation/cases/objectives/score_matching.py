"""Score matching, exact and by Hutchinson's trace."""

from ebm_ppl.trainers import ScoreMatching
from validation import estimation
from validation.cases._objective import ObjectiveCase
from validation.estimation import QUARTIC
from validation.problems import plane_score_matching_gradient

CASES = (
    ObjectiveCase(
        name="score_matching",
        objective=ScoreMatching(),
        theory=estimation.ScoreMatching(QUARTIC),
        plane_gradient=plane_score_matching_gradient(),
    ),
    ObjectiveCase(
        name="score_matching_hutchinson",
        objective=ScoreMatching(num_projections=1),
        theory=estimation.ScoreMatching(QUARTIC),
        plane_gradient=plane_score_matching_gradient(),
    ),
)
