"""Families of problems that nobody tuned for, each with its truth."""

from ebm_ppl.validation.hard_problems import data as data
from ebm_ppl.validation.hard_problems import edges as edges
from ebm_ppl.validation.hard_problems import modes as modes
from ebm_ppl.validation.hard_problems import shapes as shapes
from ebm_ppl.validation.hard_problems._base import DATA_FAMILIES as DATA_FAMILIES
from ebm_ppl.validation.hard_problems._base import FAMILIES as FAMILIES
from ebm_ppl.validation.hard_problems._base import HardFamily as HardFamily
from ebm_ppl.validation.hard_problems._base import HardProblem as HardProblem
from ebm_ppl.validation.hard_problems.data import HardData as HardData
