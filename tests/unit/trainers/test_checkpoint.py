"""A fit that was killed at any moment ends as if it had been left alone, to the last bit."""

import errno
import functools
import hashlib
import importlib
import io
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpyro.distributions import constraints

import ebm_ppl as ebm
from ebm_ppl import _files
from ebm_ppl.energies import Quartic
from ebm_ppl.trainers import Checkpoint, CheckpointWarning, _checkpoint
from tests.unit.trainers import resumable
from tests.unit.trainers.resumable import NUM_STEPS, bits, run

ROOT = pathlib.Path(__file__).parents[3]
HEADER = len(b"ebm_ppl checkpoint 1\n") + hashlib.sha256().digest_size


@pytest.fixture(scope="module")
def undisturbed():
    return bits(run())


class Killed(BaseException):
    """Ends a fit where SIGKILL would, without a chance to clean up."""


def _kill(monkeypatch, where, write):
    """Let the fit die in its `write`-th checkpoint: the file cut short, whole, or under its name."""
    fsync, replace = os.fsync, pathlib.Path.replace
    count = [0]

    def dying_fsync(descriptor):
        fsync(descriptor)
        count[0] += 1
        if count[0] == write and where != "after":
            if where == "half":
                os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            raise Killed

    def dying_replace(self, target):
        replace(self, target)
        if count[0] == write:
            raise Killed

    monkeypatch.setattr(os, "fsync", dying_fsync)
    monkeypatch.setattr(pathlib.Path, "replace", dying_replace)
    monkeypatch.setattr(pathlib.Path, "unlink", lambda self, missing_ok=False: None)


@pytest.mark.parametrize("where", ["half", "whole", "after"])
@pytest.mark.parametrize("write", [1, 8])
def test_a_fit_killed_while_it_writes_resumes_to_the_last_bit(
    tmp_path, monkeypatch, undisturbed, where, write
):
    path = tmp_path / "fit.ckpt"
    with monkeypatch.context() as context:
        _kill(context, where, write)
        with pytest.raises(Killed):
            run(path)
    left = {file.name for file in tmp_path.iterdir() if file != path}
    assert ".fit.ckpt.lock" in left
    # Nothing is removed in this death, so the file with which the place was tried is there as well.
    assert len(left) == 2 + (where != "after")
    assert bits(run(path)) == undisturbed
    assert list(tmp_path.iterdir()) == [path]


def _start(path, num_steps):
    command = [sys.executable, "-m", "tests.unit.trainers.resumable", str(path), str(num_steps)]
    return subprocess.Popen(command, cwd=ROOT)


def _wait_for_writes(path, process, count):
    """Until that many checkpoints were seen to replace one another, or the process has ended."""
    seen = set()
    while process.poll() is None and len(seen) < count:
        if path.exists():
            seen.add(path.stat().st_mtime_ns)
        time.sleep(0.0005)


def test_sigkill_in_another_process(tmp_path):
    """The killed process writes a checkpoint at every step, so it dies in or beside a write."""
    path = tmp_path / "fit.ckpt"
    process = _start(path, 100_000)
    _wait_for_writes(path, process, 5)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    taken = len(np.load(io.BytesIO(path.read_bytes()[HEADER:]))["extra/steps/loss"])
    num_steps = taken + 20
    assert bits(run(path, num_steps=num_steps)) == bits(run(num_steps=num_steps))


@pytest.mark.slow
def test_many_sigkills_at_random_moments(tmp_path):
    path, num_steps = tmp_path / "fit.ckpt", 600
    draws, kills = random.Random(0), 0
    while True:
        process = _start(path, num_steps)
        _wait_for_writes(path, process, draws.randint(2, 150))
        time.sleep(draws.uniform(0.0, 0.005))
        process.kill()
        if process.wait() == 0:
            break
        kills += 1
    assert kills >= 2
    assert bits(run(path, num_steps=num_steps)) == bits(run(num_steps=num_steps))


@pytest.mark.parametrize("every", [1, 13, 1000])
@pytest.mark.parametrize("progress_bar", [False, True])
def test_where_the_loop_looks_up_changes_no_bit(tmp_path, undisturbed, every, progress_bar):
    assert bits(run(tmp_path / "fit.ckpt", every=every, progress_bar=progress_bar)) == undisturbed


def test_a_finished_fit_is_read_and_not_run(tmp_path, undisturbed, monkeypatch):
    run(tmp_path / "fit.ckpt")
    monkeypatch.setattr(importlib.import_module("ebm_ppl.trainers._fit"), "run_chunk", None)
    assert bits(run(tmp_path / "fit.ckpt")) == undisturbed


def test_more_steps_go_on_and_fewer_are_refused(tmp_path, undisturbed):
    path = tmp_path / "fit.ckpt"
    run(path, num_steps=NUM_STEPS - 11)
    assert bits(run(path)) == undisturbed
    with pytest.raises(ValueError, match=f"`num_steps` must be at least the {NUM_STEPS} of the"):
        run(path, num_steps=NUM_STEPS - 1)


def test_early_stopping_survives_the_kill(tmp_path, monkeypatch):
    """Dies between two evaluations without a new best; the count and the best value must be kept."""
    alone = run(patience=2, num_steps=400)
    assert alone.stopped_early
    steps = len(alone.history["loss"])
    path = tmp_path / "fit.ckpt"
    with monkeypatch.context() as context:
        _kill(context, "after", (steps - 5) // 7)
        with pytest.raises(Killed):
            run(path, patience=2, num_steps=400)
    resumed = run(path, patience=2, num_steps=400)
    assert resumed.stopped_early
    assert bits(resumed) == bits(alone)
    assert bits(run(path, patience=2, num_steps=400)) == bits(alone)  # finished: only read


@pytest.mark.parametrize("name", ["carried", "average", "order", "optimizer_state", "step"])
def test_the_comparison_sees_what_a_checkpoint_forgets(tmp_path, undisturbed, monkeypatch, name):
    """Planted bugs: a part of the state that a resumed fit begins anew."""
    run(tmp_path / "fit.ckpt", num_steps=NUM_STEPS - 11)
    read = _checkpoint.read

    def forgetful(path, like, mark):
        stored = read(path, like, mark)
        assert stored is not None
        (state, best), extra = stored
        object.__setattr__(state, name, getattr(like[0], name))
        return (state, best), extra

    monkeypatch.setattr(_checkpoint, "read", forgetful)
    assert bits(run(tmp_path / "fit.ckpt")) != undisturbed


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "fit.ckpt"
    run(path)
    return path.read_bytes()


def _damaged(content):
    """The file cut short at many places, or with one bit flipped at many."""
    places = sorted({*range(0, HEADER + 40, 9), *range(HEADER, len(content), 577)})
    for place in places:
        yield content[:place]
        yield content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    yield content[:-1]
    yield content + b"\0"
    yield content[:-1] + bytes([content[-1] ^ 128])


def test_a_damaged_checkpoint_is_never_read(tmp_path, content):
    path = tmp_path / "fit.ckpt"
    for damaged in _damaged(content):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"`path` must name a whole checkpoint; .*fit\.ckpt"):
            _checkpoint.read(path, None, "")
    with pytest.raises(ValueError, match="must name a whole checkpoint"):
        run(path)
    assert path.read_bytes() == damaged  # nor overwritten


def test_a_checkpoint_is_data_and_never_code(tmp_path):
    """A file with a right digest, made to run code by whoever loads it."""

    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    buffer = io.BytesIO()
    np.savez(buffer, header=np.array([Evil()], dtype=object))
    body = buffer.getvalue()
    path = tmp_path / "fit.ckpt"
    path.write_bytes(b"ebm_ppl checkpoint 1\n" + hashlib.sha256(body).digest() + body)
    with pytest.raises(ValueError, match="holds no arrays that a fit wrote"):
        run(path)
    assert not (tmp_path / "ran").exists()


DATA = jnp.linspace(-1.0, 2.0, 6)
WALK = functools.partial(ebm.RandomWalkMetropolis, step_size=1.0)


def _simple(path, **changes):
    settings = {
        "energy": Quartic(a=0.5),
        "data": DATA,
        "objective": ebm.ContrastiveDivergence(WALK),
        "optimizer": optax.sgd(optax.exponential_decay(0.1, 5, 0.9)),
        "rng_key": jax.random.key(0),
        "num_steps": 2,
        "progress_bar": False,
    }
    return ebm.fit(**(settings | {"checkpoint": Checkpoint(path)} | changes))


@pytest.fixture(scope="module")
def simple(tmp_path_factory):
    path = tmp_path_factory.mktemp("simple") / "fit.ckpt"
    _simple(path)
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"energy": Quartic(a=np.nextafter(np.float32(0.5), np.float32(1.0)))},
        {"data": DATA.at[3].multiply(1.001)},
        {"objective": ebm.ContrastiveDivergence(WALK, num_steps=2)},
        {
            "objective": ebm.ContrastiveDivergence(
                functools.partial(ebm.RandomWalkMetropolis, step_size=1.1)
            )
        },
        {"optimizer": optax.sgd(optax.exponential_decay(0.1, 5, 0.8))},
        {"optimizer": optax.sgd(0.1)},
        {"rng_key": jax.random.key(1)},
        {"batch_size": 3},
        {"ema_decay": 0.9},
    ],
    ids=["energy", "data", "sweeps", "kernel", "schedule", "rate", "key", "batch", "average"],
)
def test_a_checkpoint_of_another_fit_is_refused(simple, changes):
    """Also where the difference hides in a closure, as a learning rate does."""
    before = simple.read_bytes()
    with pytest.raises(ValueError, match=r"`path` holds a checkpoint of another fit .*fit\.ckpt"):
        _simple(simple, **changes)
    assert simple.read_bytes() == before


def test_the_same_settings_in_new_objects_are_the_same_fit(simple):
    energy = _simple(simple).energy
    again = _simple(simple, objective=ebm.ContrastiveDivergence(WALK), energy=Quartic(a=0.5))
    assert again.energy.a == energy.a


@pytest.mark.parametrize(
    "leaf",
    [
        jnp.array([1.5, -2.25], dtype=jnp.bfloat16),
        jnp.array([1.5, np.inf, np.nan], dtype=jnp.float16),
        jnp.array([True, False]),
        jax.random.key(7),
        jax.random.split(jax.random.key(7, impl="rbg"), 2),
        jax.random.PRNGKey(7),
        jnp.array(3),
        jnp.zeros((0, 2)),
    ],
    ids=lambda leaf: f"{leaf.dtype}{leaf.shape}",
)
def test_every_kind_of_array_comes_back(tmp_path, leaf):
    path = tmp_path / "state"
    _checkpoint.write(path, {"leaf": leaf, "kept": "as it is"}, {"more": np.arange(3)}, "mark")
    like = {"leaf": leaf, "kept": "as it is"}
    state, extra = _checkpoint.read(path, like, "mark")
    assert state["leaf"].dtype == leaf.dtype
    data = [
        jax.random.key_data(value) if jnp.issubdtype(value.dtype, jax.dtypes.prng_key) else value
        for value in (state["leaf"], leaf)
    ]
    assert np.asarray(data[0]).tobytes() == np.asarray(data[1]).tobytes()
    assert state["kept"] == "as it is"
    np.testing.assert_array_equal(extra["more"], np.arange(3))


def test_a_full_disk_costs_a_warning_and_the_last_good_checkpoint_stays(
    tmp_path, undisturbed, monkeypatch
):
    """The disk is full from step 14 to step 34 of 60."""
    path, written = tmp_path / "fit.ckpt", []

    def write_bytes(target, content):
        written.append(path.read_bytes() if path.exists() else None)
        if 2 <= len(written) < 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        _files.write_bytes(target, content)

    monkeypatch.setattr(_checkpoint, "write_bytes", write_bytes)
    with pytest.warns(CheckpointWarning) as caught:
        fit = run(path, every=7)
    assert bits(fit) == undisturbed
    [one] = caught
    assert str(one.message) == (
        "The checkpoint of step 14 could not be written (No space left on device: "
        f"{str(path)!r}); that of step 7 is whole, and the fit goes on."
    )
    assert written[1] is not None
    assert written[2:6] == [written[1]] * 4
    monkeypatch.undo()
    assert bits(run(path, every=7)) == undisturbed
    assert list(tmp_path.iterdir()) == [path]


def test_a_first_checkpoint_that_finds_no_room_is_said(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no disk")

    monkeypatch.setattr(_checkpoint, "write_bytes", full)
    with pytest.warns(CheckpointWarning, match=r"\(no disk: .*\); there is none, and"):
        run(tmp_path / "fit.ckpt", every=30)


def test_a_place_that_cannot_be_written_is_found_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.import_module("ebm_ppl.trainers._fit"), "run_chunk", None)
    (tmp_path / "link").symlink_to("/dev/null")
    with pytest.raises(OSError, match="Is no regular file"):
        run(tmp_path / "link")


@pytest.mark.skipif(os.name == "nt", reason="such systems have no such locks")
def test_a_checkpoint_has_one_fit_at_a_time(tmp_path, undisturbed):
    path = tmp_path / "fit.ckpt"
    with (
        _checkpoint.claimed(Checkpoint(path)),
        pytest.raises(OSError, match=rf"process {os.getpid()} on .* is writing to it"),
    ):
        run(path)
    assert list(tmp_path.iterdir()) == []
    assert bits(run(path)) == undisturbed


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "fit.ckpt"
    _checkpoint.write(path, jnp.zeros(2), {}, "mark")
    before = path.read_bytes()

    def full(descriptor):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        _checkpoint.write(path, jnp.ones(2), {}, "mark")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere/fit.ckpt",), "`path` must name a file in a folder that exists; got 'nowhere/"),
        ((".",), "`path` must name a file in a folder that exists; got '.'"),
        (("fit.ckpt", 0), "`every` must be an integer of at least 1; got 0"),
    ],
)
def test_bad_settings_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        Checkpoint(*arguments)


def test_the_fit_above_changes_all_that_a_checkpoint_holds(undisturbed):
    fit = run()
    assert bits(fit) == undisturbed
    start = resumable.ENERGY
    assert float(fit.energy.a) != float(fit.state.model.energy.a) != float(start.a)
    assert not np.array_equal(fit.state.order, np.arange(9))


# Constants within programs within the program


class Pulled(ebm.energies.AbstractEnergy):
    """A quartic law whose constant hides in a closure that JAX compiles by itself."""

    b: jax.Array
    fn: Any = eqx.field(static=True)

    @property
    def event_shape(self):
        return ()

    @property
    def support(self):
        return constraints.real

    def _energy(self, x):
        return 0.25 * x**4 + self.b * x + self.fn(x)


def _captured(wrap, values):
    table = jnp.asarray(values)
    return wrap(lambda x: jnp.sum(table * jnp.cos(x * jnp.arange(len(values)))))


def _compiled_twice(fn):
    return jax.jit(lambda x: jax.jit(fn)(x) + jax.jit(fn)(2 * x))


def _in_a_branch(fn):  # whose other side, with a kink before it, is beyond all data
    return lambda x: jax.lax.cond(x > -100.0, fn, lambda x: -x, x)


def _in_a_loop(fn):
    return lambda x: jax.lax.fori_loop(0, 2, lambda _, y: y + fn(x), 0.0)


@pytest.mark.parametrize(
    "wrap", [jax.jit, jax.checkpoint, _compiled_twice, _in_a_branch, _in_a_loop, lambda fn: fn]
)
@pytest.mark.parametrize("size", [3, 2000])  # NumPy prints the ends of the longer one alone
def test_a_constant_that_a_compiled_function_captures_tells_fits_apart(tmp_path, wrap, size):
    path = tmp_path / "fit.ckpt"

    def run_with(values):
        energy = Pulled(jnp.asarray(0.5), _captured(wrap, values))
        return _simple(path, energy=energy, objective=ebm.ScoreMatching())

    values = np.linspace(0.0, 1.0, size, dtype=np.float32)
    run_with(values)
    run_with(values.copy())  # the same fit
    other = values.copy()
    other[size // 2] += 1e-3
    with pytest.raises(ValueError, match="`path` holds a checkpoint of another fit"):
        run_with(other)


def test_a_fit_that_calls_python_back_has_no_checkpoint(tmp_path):
    def called(x):
        result = jax.ShapeDtypeStruct((), x.dtype)
        value = jax.pure_callback(
            np.sin, result, jax.lax.stop_gradient(x), vmap_method="expand_dims"
        )
        return value * x

    energy = Pulled(jnp.asarray(0.5), jax.jit(called))
    with pytest.raises(ValueError, match=r"`checkpoint` must be None .*pure_callback.*without"):
        _simple(tmp_path / "fit.ckpt", energy=energy, objective=ebm.DenoisingScoreMatching(0.1))
    assert list(tmp_path.iterdir()) == []


def test_a_fit_that_prints_has_one(tmp_path):
    def printed(x):
        jax.debug.callback(lambda x: None, x)
        return x

    energy = Pulled(jnp.asarray(0.5), printed)
    _simple(tmp_path / "fit.ckpt", energy=energy, objective=ebm.DenoisingScoreMatching(0.1))
    assert (tmp_path / "fit.ckpt").exists()
