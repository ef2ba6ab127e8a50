r"""Moments of $\exp(-a x^2 - b x - \lambda x^4)$ by a convergent series of closed-form terms."""

import math

from scipy import special

_TOLERANCE = 1e-20


def quartic_moments(a: float, b: float, quartic: float) -> tuple[float, float, float]:
    r"""Log partition function, mean and variance of the law of a quartic energy.

    Expanding $e^{-bx}$ and dropping odd powers gives $Z = \sum_k b^{2k} M_k / (2k)!$, and likewise
    for the first two moments; every term is positive, so nothing cancels. With $t = x^2$,

    $$M_k = \int x^{2k} e^{-a x^2 - \lambda x^4} dx
    = \int_0^\infty t^{k-1/2} e^{-a t - \lambda t^2} dt
    = (2\lambda)^{-\frac{2k+1}{4}}\, \Gamma(k + \tfrac12)\, e^{a^2/8\lambda}\,
    D_{-k-\frac12}\!\left(a/\sqrt{2\lambda}\right).$$

    Args:
        a: Quadratic coefficient, of either sign.
        b: Linear coefficient.
        quartic: Quartic coefficient, positive.

    Returns:
        Log partition function, mean and variance, to about 14 digits for moderate coefficients.

    References:
        I. S. Gradshteyn and I. M. Ryzhik (2007). *Table of Integrals, Series, and Products*,
        7th edition, 3.462.1.
    """
    argument = a / math.sqrt(2 * quartic)
    scale = math.exp(a * a / (8 * quartic))

    def even_moment(k: int) -> float:
        order = k + 0.5
        cylinder = float(special.pbdv(-order, argument)[0])
        return (2 * quartic) ** (-order / 2) * math.gamma(order) * scale * cylinder

    mass, slope, curvature = 0.0, 0.0, 0.0
    moment, power, k = even_moment(0), 1.0, 0
    while k == 0 or power * moment > _TOLERANCE * mass:
        following = even_moment(k + 1)
        mass += power * moment
        curvature += power * following
        slope += power * b / (2 * k + 1) * following
        power *= b * b / ((2 * k + 1) * (2 * k + 2))
        moment, k = following, k + 1
    mean = -slope / mass
    return math.log(mass), mean, curvature / mass - mean**2
