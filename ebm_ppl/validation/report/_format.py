"""Numbers and words as every format of the report writes them."""

import math

from ebm_ppl.validation.results import Question, Verdict

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

SYMBOLS = {Verdict.PASS: "✓", Verdict.FAIL: "✗", Verdict.ERROR: "!"}

# Mixing has words of its own: a kernel that does not mix within the run is not a wrong kernel.
WORDS = {
    Question.CORRECTNESS: {Verdict.PASS: "pass", Verdict.FAIL: "fail", Verdict.ERROR: "error"},
    Question.MIXING: {
        Verdict.PASS: "mixes",
        Verdict.FAIL: "does not mix",
        Verdict.ERROR: "error",
    },
    Question.TRAINING: {
        Verdict.PASS: "as in theory",
        Verdict.FAIL: "off",
        Verdict.ERROR: "error",
    },
    Question.ESTIMATION: {
        Verdict.PASS: "honest",
        Verdict.FAIL: "off",
        Verdict.ERROR: "error",
    },
    Question.CONTROL: {
        Verdict.PASS: "as expected",
        Verdict.FAIL: "unexpected",
        Verdict.ERROR: "error",
    },
}


def number(value: float | None, digits: int = 3) -> str:
    """A number for people: three digits, powers of ten written out, never a silent blank.

    Examples:
        >>> number(1e-7), number(0.30000001), number(200_000), number(float("nan")), number(None)
        ('10⁻⁷', '0.3', '200,000', 'NaN', '–')
        >>> number(4.2e-16), number(12345.6), number(float("-inf"))
        ('4.2 × 10⁻¹⁶', '12,346', '−∞')
    """
    if value is None:
        return "–"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}".replace("-", "−")
    if 1e-3 <= abs(value) < 1e3:
        return f"{value:.{digits}g}".replace("-", "−")
    if 1e3 <= abs(value) < 1e6:
        return f"{value:,.0f}".replace("-", "−")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".").replace("-", "−")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPTS)
    return power if mantissa == "1" else f"{mantissa} × {power}"


def p_value(value: float) -> str:
    """A p-value; one that underflows is reported as below the smallest double."""
    return "< 10⁻³⁰⁰" if 0 <= value < 1e-300 else number(value)


def duration(seconds: float) -> str:
    """A duration for people.

    Examples:
        >>> duration(1e-5), duration(0.0312), duration(83.4), duration(7300)
        ('< 1 ms', '31 ms', '1 min 23 s', '2 h 1 min')
    """
    if not math.isfinite(seconds):
        return number(seconds)
    if seconds < 0.9995:
        return f"{1000 * seconds:.0f} ms" if seconds >= 1e-3 else "< 1 ms"
    if seconds < 59.95:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def label(key: str) -> str:
    """A column heading from a diagnostic's name.

    Examples:
        >>> label("r_hat"), label("ess_per_second")
        ('R-hat', 'ESS per second')
    """
    if key in ("r_hat", "rhat"):
        return "R-hat"
    words = key.replace("_", " ")
    return f"ESS{words[3:]}" if words.startswith("ess") else words


def diagnostic(value: float, key: str) -> str:
    """A diagnostic's value; R-hat always to the third decimal, in which its thresholds differ.

    Examples:
        >>> diagnostic(1.00004, "rhat"), diagnostic(0.5741, "accept_prob")
        ('1.000', '0.5741')
    """
    if label(key) == "R-hat" and math.isfinite(value):
        return f"{value:.3f}"
    return number(value, digits=4)


def words(value: object) -> str:
    """An option's value; lists without their brackets."""
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
