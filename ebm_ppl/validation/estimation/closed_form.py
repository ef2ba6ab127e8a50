"""The quartic partition function without a linear term, by Bessel functions."""

import math

from scipy import special

from ebm_ppl._checks import check_positive


def even_quartic_log_z(a: float, quartic: float) -> float:
    r"""Log partition function of $E(x) = a x^2 + \lambda x^4$.

    With $u = a^2 / 8 \lambda$,

    $$Z = \tfrac12 \sqrt{a / \lambda}\; e^u K_{1/4}(u) \quad (a > 0), \qquad
    Z = \tfrac{\pi}{2} \sqrt{\lvert a \rvert / 2 \lambda}\; e^u
    \left[I_{-1/4}(u) + I_{1/4}(u)\right] \quad (a < 0),$$

    and $Z = \tfrac12 \lambda^{-1/4}\, \Gamma(\tfrac14)$ between them. Scaled Bessel functions keep large
    $u$ from overflowing.

    Args:
        a: Quadratic coefficient, of either sign.
        quartic: Quartic coefficient $\lambda$, positive.

    Returns:
        The log partition function.

    Raises:
        ValueError: If `quartic` is not positive.

    Examples:
        >>> round(even_quartic_log_z(-1.263614, 0.132290), 6)
        3.909883

    References:
        I. S. Gradshteyn and I. M. Ryzhik (2007). *Table of Integrals, Series, and Products*,
        7th edition, 3.323.3 (for $a > 0$).
    """
    check_positive("quartic", quartic)
    if a == 0:
        return math.log(0.5 * math.gamma(0.25)) - 0.25 * math.log(quartic)
    u = a * a / (8 * quartic)
    if a > 0:
        return math.log(0.5 * math.sqrt(a / quartic) * special.kve(0.25, u))
    bessel = special.ive(-0.25, u) + special.ive(0.25, u)
    return 2 * u + math.log(0.5 * math.pi * math.sqrt(-a / (2 * quartic)) * bessel)
