"""Between kernels and NumPyro: where potentials and starts come from, and what a run says of itself."""

from ebm_ppl.samplers._numpyro.health import Health as Health
from ebm_ppl.samplers._numpyro.health import rounding_of as rounding_of
from ebm_ppl.samplers._numpyro.model_kernel import AbstractModelKernel as AbstractModelKernel
from ebm_ppl.samplers._numpyro.prior import PriorSource as PriorSource
from ebm_ppl.samplers._numpyro.run_record import no_record as no_record
from ebm_ppl.samplers._numpyro.sources import EnergySource as EnergySource
from ebm_ppl.samplers._numpyro.sources import ModelArgs as ModelArgs
from ebm_ppl.samplers._numpyro.sources import ModelKwargs as ModelKwargs
from ebm_ppl.samplers._numpyro.sources import ModelSource as ModelSource
from ebm_ppl.samplers._numpyro.sources import PotentialSource as PotentialSource
from ebm_ppl.samplers._numpyro.sources import SitePotential as SitePotential
from ebm_ppl.samplers._numpyro.starts import CompiledOnce as CompiledOnce
from ebm_ppl.samplers._numpyro.starts import as_floating as as_floating
from ebm_ppl.samplers._numpyro.starts import check_finite_start as check_finite_start
from ebm_ppl.samplers._numpyro.starts import check_returns_scalar as check_returns_scalar
from ebm_ppl.samplers._numpyro.starts import flat_positions as flat_positions
from ebm_ppl.samplers._numpyro.starts import has_no_coordinates as has_no_coordinates
from ebm_ppl.samplers._numpyro.starts import split_in_three as split_in_three
