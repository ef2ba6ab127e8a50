"""The arithmetic of reductions, without chains."""

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given, settings

from ebm_ppl.streaming import Histogram, HistogramResult, Summary
from ebm_ppl.streaming._moments import Moments
from ebm_ppl.streaming._run import _chunks


def moments_of(values):
    return Moments(len(values), values.mean(), ((values - values.mean()) ** 2).sum())


numbers = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20)


@given(first=numbers, second=numbers)
def test_moments_of_two_sets_make_those_of_both(first, second):
    joined = moments_of(np.array(first)).join(moments_of(np.array(second)))
    both = moments_of(np.array(first + second))
    for found, expected in zip(joined, both, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-6)


@given(num_samples=st.integers(2, 10**7), chunk_size=st.integers(1, 10**4))
@settings(max_examples=200)
def test_chunks(num_samples, chunk_size):
    chunk_size = max(chunk_size, num_samples // 10**5)  # lists of that length are long enough
    lengths = _chunks(num_samples, chunk_size)
    assert sum(lengths) == num_samples
    assert len(lengths) % 2 == 0
    assert 1 <= min(lengths) <= max(lengths) <= max(chunk_size, -(-num_samples // len(lengths)))
    fewest = min(2 * -(-num_samples // (2 * chunk_size)), num_samples // 2 * 2)
    assert fewest <= len(lengths) <= 2 * fewest
    # Chunks of one length are compiled once.
    could_be_alike = any(num_samples % number == 0 for number in range(fewest, 2 * fewest + 1, 2))
    assert max(lengths) - min(lengths) == (0 if could_be_alike else 1)


@pytest.mark.parametrize("num_bins", [7, 107])
def test_a_bin_of_a_histogram_holds_its_lower_end(num_bins):
    """Ends at whole numbers, which the division rounds to the bin below on the second of these grids."""
    values = np.arange(-1.0, num_bins + 1.0, dtype=np.float32)[None]
    counts = jax.jit(Histogram(0.0, float(num_bins), num_bins).partial)(values)
    np.testing.assert_array_equal(counts, np.ones(num_bins + 2))


@pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf])
def test_a_histogram_counts_what_is_outside(value):
    values = np.array([[value, 0.5, 1.0, -1e30, 1e30]], dtype=np.float32)
    counts = jax.jit(Histogram(0.0, 1.0, 3).partial)(values)
    above = 2 + (value == np.inf)
    np.testing.assert_array_equal(counts, [4 - above, 0, 1, 0, above])


@given(
    values=st.lists(st.floats(-0.999, 0.999), min_size=1, max_size=50),
    level=st.floats(0.01, 0.99),
)
def test_quantiles_of_a_histogram_are_within_a_bin(values, level):
    edges = np.linspace(-1, 1, 21)
    counts = np.histogram(values, edges)[0]
    result = HistogramResult(edges, counts, np.array(0), np.array(0))
    ordered = np.sort(values)
    index = level * len(values)
    low = ordered[max(int(np.floor(index)) - 1, 0)]
    high = ordered[min(int(np.ceil(index)), len(values) - 1)]
    assert low - 0.1 - 1e-9 <= result.quantile(level) <= high + 0.1 + 1e-9


NUM_RUNS, LENGTH, NUM_BATCHES, CORRELATION = 400, 50, 40, 0.8


@pytest.mark.parametrize(("exponent", "is_caught"), [(1, False), (0, True)])
def test_batch_means_estimate_the_error_of_a_correlated_chain(exponent, is_caught):
    r"""The mean of squared errors over 400 runs of an autoregressive chain is what theory gives.

    With correlation $\rho$, a batch of $b$ draws has a mean of variance
    $\frac{1}{b} \left(\frac{1 + \rho}{1 - \rho} - \frac{2 \rho (1 - \rho^b)}{b (1 - \rho)^2}\right)$. A t
    statistic of the 400 runs is compared with 5.3, which normal numbers exceed once in ten million times. The
    planted bug takes the draws of a batch to be independent, and leaves the factor 9 out.
    """
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(NUM_RUNS, 200 + LENGTH * NUM_BATCHES))
    chain = np.zeros_like(noise)
    for i in range(1, noise.shape[1]):
        chain[:, i] = CORRELATION * chain[:, i - 1] + np.sqrt(1 - CORRELATION**2) * noise[:, i]
    # All runs at once: to the reduction they are the coordinates of one chain.
    batches = chain[:, 200:].T.reshape(NUM_BATCHES, 1, LENGTH, NUM_RUNS)
    summary, total = Summary(), None
    for number, batch in enumerate(batches):
        partial = summary.partial(jax.numpy.asarray(batch))
        total = summary.merge(total, partial, number >= NUM_BATCHES // 2)
    squares = summary.result(total).mcse ** 2 * NUM_BATCHES
    b, rho = LENGTH, CORRELATION
    factor = (1 + rho) / (1 - rho) - 2 * rho * (1 - rho**b) / (b * (1 - rho) ** 2)
    # Batches are correlated with their neighbours, too: the mean of the run varies by a little more.
    n = b * NUM_BATCHES
    whole = (1 + rho) / (1 - rho) - 2 * rho * (1 - rho**n) / (n * (1 - rho) ** 2)
    expected = (factor / b * NUM_BATCHES - whole / n * NUM_BATCHES) / (NUM_BATCHES - 1)
    expected = expected if exponent else 1 / b
    t = (np.mean(squares) - expected) / (np.std(squares, ddof=1) / np.sqrt(NUM_RUNS))
    assert (abs(t) > 5.3) == is_caught
