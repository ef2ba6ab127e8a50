"""Ground truth in float64: by quadrature for one to three coordinates, by tables for discrete energies."""

from ebm_ppl._errors import NonFiniteEnergyError as NonFiniteEnergyError
from ebm_ppl._errors import NotNormalizableError as NotNormalizableError
from ebm_ppl.quadrature._density import QuadratureDensity as QuadratureDensity
from ebm_ppl.quadrature._marginal import Marginal as Marginal
from ebm_ppl.quadrature._normalize import normalize as normalize
from ebm_ppl.quadrature._normalizer import QuadratureNormalizer as QuadratureNormalizer
from ebm_ppl.quadrature._states import StateTable as StateTable
from ebm_ppl.quadrature._states import enumerate_states as enumerate_states
from ebm_ppl.quadrature._table import GridTable as GridTable
