"""Laws that the field trains on, as ground truth: exact draws, densities and divergences."""

from types import MappingProxyType

from ebm_ppl.validation.datasets._base import AbstractLaw as AbstractLaw
from ebm_ppl.validation.datasets._base import Estimate as Estimate
from ebm_ppl.validation.datasets.checkerboard import Checkerboard as Checkerboard
from ebm_ppl.validation.datasets.divergence import kl_divergence as kl_divergence
from ebm_ppl.validation.datasets.normal_mixtures import NormalMixture as NormalMixture
from ebm_ppl.validation.datasets.normal_mixtures import eight_gaussians as eight_gaussians
from ebm_ppl.validation.datasets.normal_mixtures import two_normals as two_normals
from ebm_ppl.validation.datasets.pinwheel import Pinwheel as Pinwheel
from ebm_ppl.validation.datasets.two_moons import TwoMoons as TwoMoons

PLANE_LAWS = MappingProxyType(
    {law.name: law for law in (eight_gaussians(), TwoMoons(), Pinwheel(), Checkerboard())}
)
"""The two-dimensional toys by name, each within [-5, 5]²."""
