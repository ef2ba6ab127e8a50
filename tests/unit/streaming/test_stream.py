"""Runs in the memory of one chunk say what the draws say."""

import functools
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jaxtyping import TypeCheckError
from numpyro.diagnostics import split_gelman_rubin
from numpyro.infer import NUTS

import ebm_ppl as ebm
from ebm_ppl._files import new_folder
from ebm_ppl.streaming import AbstractReduction, Covariance, Histogram, Summary, _run, stream
from ebm_ppl.streaming._sink import folder_of_draws
from tests.unit.test_files import files_of_at_most

pytestmark = pytest.mark.usefixtures("light_compilation")

NUM_CHAINS, NUM_SAMPLES, DIM = 3, 100, 2


def kernel():
    return ebm.MALA(potential_fn=lambda z: 0.5 * jnp.sum(z**2 * jnp.array([1.0, 4.0])))


def start(**arguments):
    positions = jnp.arange(NUM_CHAINS * DIM, dtype=float).reshape(NUM_CHAINS, DIM) / 10
    return {
        "rng_key": jax.random.key(1),
        "num_chains": NUM_CHAINS,
        "num_samples": NUM_SAMPLES,
        "num_warmup": 130,
        "init_params": positions,
        "progress_bar": False,
    } | arguments


class Types(AbstractReduction):
    def partial(self, values):
        return {"sum": jnp.sum(values)}

    def merge(self, total, partial, is_second_half):
        return [*(total or []), type(partial["sum"])]

    def result(self, total):
        return total


REDUCTIONS = {
    "types": Types(),
    "summary": Summary(),
    "squares": Summary(of=lambda z: {"first": z[0] ** 2, "pair": (z, z[1] ** 2)}),
    "covariance": Covariance(),
    "histogram": Histogram(-1.0, 1.0, 8),
}


@pytest.fixture
def run_and_draws(light_compilation):
    return _run_and_draws()


@functools.cache
def _run_and_draws():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "draws"
        run = stream(kernel(), **start(path=path, reductions=REDUCTIONS, chunk_size=20))
        assert [file.name for file in path.parent.iterdir()] == ["draws"]
        return run, np.load(path / "draws.npy").astype(np.float64)


def test_moments_are_those_of_the_draws(run_and_draws):
    run, draws = run_and_draws
    assert (run.num_chains, run.num_samples, run.num_diverging) == (NUM_CHAINS, NUM_SAMPLES, 0)
    assert draws.shape == (NUM_CHAINS, NUM_SAMPLES, DIM)
    flat = draws.reshape(-1, DIM)
    found = run.results["summary"]
    np.testing.assert_allclose(found.mean, flat.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.sd, flat.std(axis=0, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(found.r_hat, split_gelman_rubin(draws), rtol=1e-5)
    covariance = run.results["covariance"]
    np.testing.assert_allclose(covariance.covariance, np.cov(flat.T), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(covariance.mean, flat.mean(axis=0), rtol=1e-5)


def test_parts_are_added_up_on_the_host(run_and_draws):
    run, _ = run_and_draws
    assert all(issubclass(kind, (np.ndarray, np.generic)) for kind in run.results["types"])


def test_error_is_that_of_batch_means(run_and_draws):
    run, draws = run_and_draws
    # An even number of chunks that are alike, and at most 20 draws in each.
    parts = [part for chain in draws for part in np.split(chain, 10)]
    weights = np.array([len(part) for part in parts])[:, None]
    gaps = np.array([part.mean(axis=0) for part in parts]) - draws.mean(axis=(0, 1))
    expected = np.sum(weights * gaps**2, axis=0) / (len(parts) - 1) / (NUM_CHAINS * NUM_SAMPLES)
    found = run.results["summary"]
    np.testing.assert_allclose(found.mcse**2, expected, rtol=1e-4)
    np.testing.assert_allclose(found.ess, (found.sd / found.mcse) ** 2)


def _tempered(model):
    return ebm.ReplicaExchange(ebm.MALA(model), num_replicas=3)


def test_chains_that_stand_apart_are_no_more_than_their_number():
    """Of chains that never meet, each is one draw, however long; of one chain, batches are all there is."""
    centres = np.array([-1.0, 0.0, 2.5])
    noise = np.random.default_rng(0).normal(size=(3, 400, 2))
    draws = noise + np.stack([centres, np.zeros(3)], axis=-1)[:, None]
    apart, together = _summary_of(draws).mcse
    np.testing.assert_allclose(apart, draws[..., 0].mean(axis=1).std(ddof=1) / 3**0.5, rtol=1e-5)
    two, _ = _summary_of(draws[:2]).mcse
    np.testing.assert_allclose(two, draws[:2, :, 0].mean(axis=1).std(ddof=1) / 2**0.5, rtol=1e-5)
    batches = draws[..., 1].reshape(-1, 20).mean(axis=1)
    np.testing.assert_allclose(together, batches.std(ddof=1) / 60**0.5, rtol=1e-4)
    alone = _summary_of(draws[:1]).mcse
    np.testing.assert_allclose(
        alone, draws[0].reshape(20, 20, 2).mean(axis=1).std(axis=0, ddof=1) / 20**0.5, rtol=1e-4
    )


def _summary_of(draws):
    """Of draws of shape `(chains, 400, dim)`, in 20 chunks."""
    reduction, total = Summary(), None
    for number, chunk in enumerate(np.split(draws, 20, axis=1)):
        total = reduction.merge(total, reduction.partial(jnp.asarray(chunk)), number >= 10)
    return reduction.result(total)


@pytest.mark.parametrize(
    "sampler", [ebm.MALA, *(pytest.param(k, marks=pytest.mark.slow) for k in (NUTS, _tempered))]
)
def test_a_run_goes_on_with_other_data(sampler):
    """A potential that belongs to the old data would be lower than any here, and refuse every step."""

    def model(constant):
        numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.factor("constant", -constant)

    kernel = sampler(model)
    common = {"num_chains": 4, "chunk_size": 10, "progress_bar": False}
    key = jax.random.key(0)
    old, new = (jnp.asarray(0.0),), (jnp.asarray(100.0),)
    run = stream(kernel, key, num_warmup=100, num_samples=20, model_args=old, **common)
    run = stream(kernel, num_samples=200, state=run.last_state, model_args=new, **common)
    assert run.results["summary"]["x"].ess > 20
    expected = 100 - dist.Normal(0.0, 1.0).log_prob(run.last_state.z["x"])
    np.testing.assert_allclose(run.last_state.potential_energy, expected, rtol=1e-5)


def test_functions_of_draws_in_any_structure(run_and_draws):
    run, draws = run_and_draws
    found = run.results["squares"]
    np.testing.assert_allclose(found["first"].mean, (draws[..., 0] ** 2).mean(), rtol=1e-5)
    np.testing.assert_allclose(found["pair"][0].mean, run.results["summary"].mean)
    assert found["pair"][1].sd.shape == ()


def test_histogram_counts_the_draws(run_and_draws):
    run, draws = run_and_draws
    found = run.results["histogram"]
    for i in range(DIM):
        values = draws[..., i]
        np.testing.assert_array_equal(found.counts[i], np.histogram(values, found.edges)[0])
        assert found.below[i] == np.sum(values < -1)
        assert found.above[i] == np.sum(values >= 1)
    assert found.quantile(0.0)[0] == -np.inf
    median = np.median(draws, axis=(0, 1))
    np.testing.assert_allclose(found.quantile(0.5), median, atol=0.25)


def test_chunks_and_pauses_change_no_draw(run_and_draws, tmp_path):
    _, draws = run_and_draws
    first = stream(kernel(), **start(num_samples=60, path=tmp_path / "first"))
    rest = {"num_samples": 40, "state": first.last_state, "progress_bar": False}
    for name in ("second", "third"):  # a state can be gone on from more than once
        stream(kernel(), **rest, path=tmp_path / name, chunk_size=7)
        whole = [np.load(tmp_path / part / "draws.npy") for part in ("first", name)]
        np.testing.assert_array_equal(np.concatenate(whole, axis=1), draws)


def test_thinning_leaves_out_draws(run_and_draws, tmp_path):
    _, draws = run_and_draws
    stream(kernel(), **start(num_samples=20, thinning=5, path=tmp_path / "thin"))
    thin = np.load(tmp_path / "thin" / "draws.npy")
    np.testing.assert_array_equal(thin, draws[:, 4::5])


@pytest.mark.slow
def test_a_model_with_a_kernel_of_numpyro(tmp_path):
    def model(y, is_wide):
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        numpyro.sample("mean", dist.Normal(0.0, 10.0 if is_wide else 1.0).expand([2]).to_event(1))
        numpyro.sample("y", dist.Normal(0.0, scale), obs=y)

    data = {"model_args": (jnp.ones(3),), "model_kwargs": {"is_wide": True}}
    key = jax.random.key(0)
    run = stream(
        NUTS(model),
        key,
        num_samples=50,
        num_warmup=20,
        num_chains=2,
        path=tmp_path / "draws",
        progress_bar=False,
        **data,
    )
    scale = np.load(tmp_path / "draws" / "scale.npy")
    assert scale.shape == (2, 50)
    assert (scale > 0).all()
    assert run.results["summary"]["mean"].mean.shape == (2,)
    np.testing.assert_allclose(run.results["summary"]["scale"].mean, scale.mean(), rtol=1e-5)


@pytest.mark.slow
def test_a_kernel_of_numpyro_may_be_used_again(tmp_path):
    """NumPyro's kernels keep functions of their last `init`, which a second one would map again."""
    nuts = NUTS(potential_fn=lambda z: 0.5 * jnp.sum(z**2))
    first = stream(nuts, **start(num_samples=10, num_warmup=5, path=tmp_path / "first"))
    stream(nuts, **start(num_samples=10, num_warmup=5, path=tmp_path / "second"))
    stream(nuts, num_samples=4, state=first.last_state, progress_bar=False)
    first, second = (np.load(tmp_path / name / "draws.npy") for name in ("first", "second"))
    np.testing.assert_array_equal(first, second)


def test_a_state_may_go_on_with_another_key(run_and_draws, tmp_path):
    run, _ = run_and_draws
    for name, key in {"own": None, "other": jax.random.key(5), "same": jax.random.key(5)}.items():
        stream(
            kernel(),
            key,
            num_samples=4,
            state=run.last_state,
            path=tmp_path / name,
            progress_bar=False,
        )
    own, other, same = (np.load(tmp_path / name / "draws.npy") for name in ("own", "other", "same"))
    assert not np.array_equal(own, other)
    np.testing.assert_array_equal(other, same)


def test_a_site_in_a_scope_has_a_folder_and_a_covariance(tmp_path):
    def model():
        numpyro.sample("outer/x", dist.Normal(0.0, 1.0).expand([2]).to_event(1))

    run = stream(
        ebm.MALA(model),
        jax.random.key(0),
        num_samples=4,
        num_chains=2,
        reductions={"covariance": Covariance()},
        path=tmp_path / "draws",
        progress_bar=False,
    )
    assert run.results["covariance"].covariance.shape == (2, 2)
    assert np.load(tmp_path / "draws" / "outer" / "x.npy").shape == (2, 4, 2)


def test_sites_outside_the_folder_and_several_for_one_covariance_are_refused(tmp_path):
    draws = np.zeros((2, 4, 2))
    with (
        pytest.raises(ValueError, match=r"must not lie outside `path`; got '\.\./x'"),
        folder_of_draws(tmp_path / "draws", 4, {"../x": draws}),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=r"one array for `Covariance`, such as .*'x': \*, 'y': \*"):
        Covariance().partial({"x": draws, "y": draws})


class Failing(AbstractReduction):
    def partial(self, values):
        return values[0, 0, 0]

    def merge(self, total, partial, is_second_half):
        if total is not None:
            raise RuntimeError("disk full")
        return partial

    def result(self, total):
        return total


def test_a_disk_that_is_too_small_is_found_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(_run._Run, "warm_up", None)
    monkeypatch.setattr(_run._Run, "chunk", None)
    with files_of_at_most(1000), pytest.raises(OSError, match="File too large"):
        stream(kernel(), **start(path=tmp_path / "draws"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_draws_has_one_run_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(_run._Run, "warm_up", None)
    with (
        new_folder(tmp_path / "draws"),
        pytest.raises(OSError, match="is writing to it"),
    ):
        stream(kernel(), **start(path=tmp_path / "draws"))


def test_nothing_half_written(tmp_path):
    with pytest.raises(RuntimeError, match="disk full"):
        stream(kernel(), **start(path=tmp_path / "draws", reductions={"failing": Failing()}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 1}, "`num_samples` must be an integer of at least 2; got 1"),
        ({"thinning": 0}, "`thinning` must be an integer of at least 1; got 0"),
        ({"chunk_size": 0}, "`chunk_size` must be an integer of at least 1; got 0"),
        ({"rng_key": None}, "`rng_key` must be"),
        ({"reductions": {"a": len}}, r"`reductions\['a'\]` must be a reduction"),
        (
            {"num_samples": 2**20, "thinning": 2**10},
            "at most 1073741824 steps in all; got 1073741954",
        ),
        ({"path": "/nowhere/at/all"}, "`path` must be a new folder in one that exists"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        stream(kernel(), **start(**arguments))


def test_bad_pairs_of_arguments(run_and_draws, tmp_path):
    run, _ = run_and_draws
    with pytest.raises(ValueError, match="`state` goes on from a run"):
        stream(kernel(), num_samples=10, state=run.last_state, num_warmup=5)
    with pytest.raises((ValueError, TypeCheckError), match="reductions"):
        stream(kernel(), **start(reductions=[Summary()]))
    with pytest.raises(ValueError, match="`num_chains` must be that of `state`, 3; got 4"):
        stream(kernel(), num_samples=10, state=run.last_state, num_chains=4)
    alone = kernel().init(jax.random.key(0), 0, jnp.zeros(DIM))
    one_by_one = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), alone)
    for state in (alone, one_by_one):
        with pytest.raises(ValueError, match="`state` must be of vectorised chains"):
            stream(kernel(), num_samples=10, state=state)
    with pytest.raises(ValueError, match=r"`state` must be the last state of a run .*; got 3"):
        stream(kernel(), num_samples=10, state=3)
    with pytest.raises(ValueError, match="`path` must be a new folder"):
        stream(kernel(), **start(path=tmp_path))
    with pytest.raises(ValueError, match="`high - low` must be a finite number above 0"):
        Histogram(1.0, 1.0)
    with pytest.raises(ValueError, match=r"`level` must be a number in \[0, 1\]; got 2.0"):
        run.results["histogram"].quantile(2.0)
    with pytest.raises(ValueError, match="`of` must be a function of one draw; got 3"):
        Summary(of=3)


def test_a_run_that_does_nothing_says_so():
    """The gradient of a norm is NaN at 0, where all chains start."""
    lost = ebm.MALA(potential_fn=lambda z: jnp.sqrt(jnp.sum(z**2)))
    with pytest.warns(RuntimeWarning, match="MALA refused every step of 3 of 3 chains"):
        stream(lost, **start(init_params=jnp.zeros((NUM_CHAINS, DIM))))
