"""Paths of laws from one that is known to one that is not, and the inverse temperatures along them."""

from ebm_ppl.annealing._as_path import as_path as as_path
from ebm_ppl.annealing._covering import Cover as Cover
from ebm_ppl.annealing._covering import CoveringLaw as CoveringLaw
from ebm_ppl.annealing._covering import cover as cover
from ebm_ppl.annealing._exchange import exchange_pairs as exchange_pairs
from ebm_ppl.annealing._exchange import exchange_where as exchange_where
from ebm_ppl.annealing._exchange import pairs_in_turn as pairs_in_turn
from ebm_ppl.annealing._geometric import GeometricEnergy as GeometricEnergy
from ebm_ppl.annealing._geometric import GeometricPath as GeometricPath
from ebm_ppl.annealing._geometric import as_base as as_base
from ebm_ppl.annealing._geometric import default_base as default_base
from ebm_ppl.annealing._geometric import unconstrained_base as unconstrained_base
from ebm_ppl.annealing._linear import LinearPath as LinearPath
from ebm_ppl.annealing._path import AbstractPath as AbstractPath
from ebm_ppl.annealing._schedule import conditional_ess as conditional_ess
from ebm_ppl.annealing._schedule import next_inverse_temperature as next_inverse_temperature
from ebm_ppl.annealing._schedule import power_schedule as power_schedule
from ebm_ppl.annealing._schedule import reverse_conditional_ess as reverse_conditional_ess
from ebm_ppl.annealing._scouts import can_look as can_look
from ebm_ppl.annealing._scouts import find_modes as find_modes
from ebm_ppl.annealing._scouts import within as within
