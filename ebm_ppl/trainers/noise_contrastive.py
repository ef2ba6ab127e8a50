"""Noise-contrastive estimation: telling data from noise, with a learned log partition function."""

from typing import Any

from jaxtyping import Array, Float

from ebm_ppl._types import PRNGKey
from ebm_ppl.trainers._base import AbstractObjective, Model, Prepared
from ebm_ppl.trainers._batch import Batch
from ebm_ppl.trainers._contrast import (
    Contrast,
    NoiseSource,
    classification_losses,
    energy_gap,
    initial_log_z,
)


class NoiseContrastive(AbstractObjective):
    r"""Noise-contrastive estimation: logistic regression between data and noise.

    Beside every example $x_i$ stand $\nu$ points $\tilde x_{ij}$ of a noise distribution $p_n$. With the
    log odds that a point is data,
    $$G(x) = -E_\theta(x) - \log Z - \log p_n(x) - \log \nu,$$
    the loss of an example is that of classifying it and its noise,
    $$\ell_i(\theta, \log Z) = \log(1 + e^{-G(x_i)}) + \sum_{j=1}^\nu \log(1 + e^{G(\tilde x_{ij})}).$$

    $\log Z$ is a free parameter: the minimiser makes $\exp(-E_\theta) / Z$ the density of the data,
    normalised. A fit returns it as `fit.learned["log_z"]`. As $\nu$ grows the estimate becomes that of
    maximum likelihood; for a given $\nu$ it is best with noise that resembles the data. Noise has to be
    possible wherever data are. Noise points outside the energy's support count as what they are:
    impossible under the model.

    For a conditional energy, $\log Z(y)$ is either one number for all conditions, which is right if
    the energy itself can normalise each $E(\cdot \mid y)$ up to a common constant, or a function.

    Args:
        noise: The noise distribution, on the energy's `event_shape`: a NumPyro distribution (batch axes
            count as independent coordinates), a FlowJAX distribution, or an `EnergyDistribution` with a
            `log_z`; for conditional energies also a callable from a condition to one of these.
        num_noise: Number $\nu$ of noise points per example.
        log_z: Initial value of $\log Z$: a number, or for conditional energies a callable $y \mapsto \log
            Z(y)$, such as an Equinox module, whose arrays are learned. Energies under noise need one of
            $\sigma$, or of $y$ and $\sigma$: their $Z$ grows with the noise.
        fresh_noise: Whether each step draws new noise. If not, each example keeps its own, as in a
            sample that was drawn once, and standard errors count what the noise adds.

    Raises:
        ValueError: If `num_noise` is no positive integer or `noise` no distribution; when the fit begins,
            if shapes do not fit or the noise has no density at some example.

    Examples:
        >>> import jax, numpyro.distributions as dist
        >>> import ebm_ppl as ebm
        >>> data = 1.0 + 0.5 * jax.random.normal(jax.random.key(0), (2000, 1))
        >>> fit = ebm.fit(
        ...     ebm.energies.Gaussian([0.0], [[1.0]]),
        ...     data,
        ...     ebm.NoiseContrastive(dist.Normal(0.0, 2.0).expand((1,)), num_noise=5),
        ...     ebm.trainers.newton(),
        ...     num_steps=10,
        ...     batch_size=2000,
        ...     rng_key=jax.random.key(1),
        ...     progress_bar=False,
        ... )
        >>> density = ebm.EnergyDistribution(fit.energy, log_z=fit.learned["log_z"])
        >>> print(f"{density.log_prob(fit.energy.loc):.1f}")  # the normal law's is −log(0.5 √(2π))
        -0.2

    References:
        M. U. Gutmann and A. Hyvärinen (2010). Noise-contrastive estimation: a new estimation principle
        for unnormalized statistical models. *AISTATS* 13, 297-304.
        M. U. Gutmann and A. Hyvärinen (2012). Noise-contrastive estimation of unnormalized statistical
        models, with applications to natural image statistics. *Journal of Machine Learning Research* 13,
        307-361.
        X.-L. Meng and W. H. Wong (1996). Simulating ratios of normalizing constants via a simple
        identity: a theoretical exploration. *Statistica Sinica* 6(4), 831-860 (which the minimiser in
        $\log Z$ alone is an instance of).
    """

    consistent = True
    is_criterion = True

    source: NoiseSource
    log_z: Any

    def __init__(
        self, noise: Any, num_noise: int = 1, log_z: Any = 0.0, fresh_noise: bool = True
    ) -> None:
        self.source = NoiseSource(noise, num_noise, fresh_noise)
        self.log_z = log_z

    def init(
        self, energy: Any, data: Batch, rng_key: PRNGKey
    ) -> tuple[dict[str, Any], Contrast | None]:
        r"""The initial $\log Z$, and the noise that stays."""
        carried = self.source.init(energy, data, rng_key)
        return {"log_z": initial_log_z(self.log_z, energy)}, carried

    def prepare(
        self, model: Model, batch: Batch, carried: Any, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        """Draw the noise."""
        contrast = self.source.draw(batch, carried, rng_key)
        return Prepared(
            contrast, carried, {"energy_gap": energy_gap(model, batch, contrast.points)}
        )

    def for_held_out(self, data: Batch, carried: Any, rng_key: PRNGKey) -> Contrast | None:
        """Noise that stays is drawn for the held-out examples too."""
        return self.source.stored(data, rng_key)

    def losses(self, model: Model, batch: Batch, sample: Contrast) -> Float[Array, " num_examples"]:
        """Logistic loss of each example and its noise."""
        return classification_losses(model, batch, sample)
