r"""Bayesian inference over an energy's parameters, where $p(x \mid \theta)$ lacks its $Z(\theta)$.

One NumPyro model serves all: `normalized` gives it a partition function that can be traced, for NUTS;
`Exchange` needs auxiliary draws instead; `NoisyMetropolis` an estimate of log Z.
"""

from ebm_ppl.doubly_intractable._annealed import AnnealedLogZ as AnnealedLogZ
from ebm_ppl.doubly_intractable._auxiliary import ExactDraws as ExactDraws
from ebm_ppl.doubly_intractable._normalized import normalized as normalized
from ebm_ppl.doubly_intractable._sites import EnergySite as EnergySite
from ebm_ppl.doubly_intractable.exchange import Exchange as Exchange
from ebm_ppl.doubly_intractable.noisy_metropolis import NoisyMetropolis as NoisyMetropolis
