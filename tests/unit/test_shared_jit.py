"""Compiled programs are shared by functions that do the same, and by no others."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebm_ppl import _shared_jit
from ebm_ppl._programs import digest_of, program_of
from ebm_ppl._shared_jit import SharedJit

X = jnp.arange(3.0)


class Compilations:
    """Counts what XLA compiles."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, event: str, duration_secs: float, **kwargs: Any) -> None:
        self.count += event == "/jax/core/compile/backend_compile_duration"


@pytest.fixture
def compilations() -> Iterator[Compilations]:
    """Compilations while a test runs."""
    counter = Compilations()
    jax.monitoring.register_event_duration_secs_listener(counter)
    yield counter
    jax.monitoring.unregister_event_duration_listener(counter)


def closing_over(values: Any) -> Callable[[jax.Array], jax.Array]:
    """A function that is another object at each call."""
    values = jnp.asarray(values)
    return lambda x: jnp.sin(x) * values + jax.jit(lambda y: y * values)(x)


def test_functions_that_do_the_same_compile_once(compilations: Compilations) -> None:
    first = SharedJit(closing_over([1.0, 2.0, 3.0]))(X)
    before = compilations.count
    again = SharedJit(closing_over([1.0, 2.0, 3.0]))(X)
    assert compilations.count == before
    np.testing.assert_array_equal(first, again)


def test_arrays_closed_over_are_arguments(compilations: Compilations) -> None:
    def scaled_by(scale: jax.Array) -> Callable[[jax.Array], jax.Array]:
        return lambda x: jnp.cos(x) * scale

    SharedJit(scaled_by(jnp.asarray([1.0, 2.0, 3.0])))(X)
    other = jnp.asarray([3.0, 5.0, 7.0])
    before = compilations.count
    result = SharedJit(scaled_by(other))(X)
    assert compilations.count == before
    np.testing.assert_array_equal(result, jax.jit(scaled_by(other))(X))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_agrees_with_jit_whatever_is_closed_over(data: st.DataObject) -> None:
    number = data.draw(st.sampled_from([0.0, -0.0, 1.0, 1.0 + 2.0**-23, 2, True]))
    array = data.draw(st.sampled_from([np.zeros(3), np.ones(3), np.float32(7.0), np.arange(3)]))
    kind = data.draw(st.sampled_from(["within", "without", "cond", "scan", "rule"]))

    @jax.custom_jvp
    def times(x: jax.Array) -> jax.Array:
        return x * number

    times.defjvp(lambda primals, tangents: (times(*primals), number * tangents[0]))
    functions = {
        "within": lambda x: jax.jit(lambda y: jnp.copysign(y, number) * array)(x),
        "without": lambda x: jnp.copysign(x, number) + jnp.asarray(array),
        "cond": lambda x: jax.lax.cond(x[0] > 0, lambda: x * number, lambda: x + array),
        "scan": lambda x: jax.lax.scan(lambda c, _: (c * number + array, c), x, length=3)[1],
        "rule": lambda x: jax.grad(lambda y: times(y).sum())(x) + times(x),
    }
    function = functions[kind]
    expected = jax.jit(function)(X)
    result = SharedJit(function)(X)
    assert (result.dtype, result.weak_type) == (expected.dtype, expected.weak_type)
    np.testing.assert_array_equal(np.signbit(result), np.signbit(expected))
    np.testing.assert_array_equal(result, expected)


def test_what_was_traced_before_does_not_tell_programs_apart() -> None:
    """A fit in another process, which has traced other things, has the same checkpoint."""

    def one_more() -> Callable[[jax.Array], jax.Array]:
        def plus_one(x: jax.Array) -> jax.Array:
            return x + 1

        return jax.jit(plus_one)

    known = one_more()
    traced_once = program_of(lambda x: known(known(x)), X)
    traced_twice = program_of(lambda x: one_more()(one_more()(x)), X)
    assert str(traced_once.jaxpr) != str(traced_twice.jaxpr)
    assert digest_of([traced_once]) == digest_of([traced_twice])
    another = program_of(lambda x: known(known(x) + 1), X)
    assert digest_of([another]) != digest_of([traced_once])


def test_static_leaves_are_told_apart_by_value_and_type() -> None:
    function = SharedJit(lambda x, flag: x + (2 if flag is True else flag))
    assert function(X, True)[0] == 2
    assert function(X, 1)[0] == 1
    assert function(X, 1.5)[0] == 1.5


def test_results_may_hold_what_is_no_array() -> None:
    result = SharedJit(lambda x, name: {"x": 2 * x, "name": name, "none": None})(X, "it")
    assert result["name"] == "it"
    assert result["none"] is None
    np.testing.assert_array_equal(result["x"], 2 * X)


def test_keys_of_precision_and_shape_are_others() -> None:
    function = SharedJit(lambda x: x / 3)
    assert function(X).dtype == jnp.float32
    with jax.enable_x64(True):
        assert function(np.arange(3.0)).dtype == jnp.float64
    assert function(jnp.ones((2, 2))).shape == (2, 2)


def test_functions_that_call_python_are_compiled_for_themselves() -> None:
    def calling(answer: float) -> Callable[[jax.Array], jax.Array]:
        shape = jax.ShapeDtypeStruct((), jnp.float32)
        return lambda x: x + jax.pure_callback(lambda: np.float32(answer), shape)

    assert SharedJit(calling(1.0))(X)[0] == 1
    assert SharedJit(calling(2.0))(X)[0] == 2


def test_what_is_printed_is_printed_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("one", "two"):
        SharedJit(lambda x, text=text: jax.debug.print(text) or x)(X)
        jax.effects_barrier()
    assert capsys.readouterr().out.split() == ["one", "two"]


def squared_with_slope(slope: float) -> SharedJit:
    """One and the same program, but for a rule that only a transformation reads."""

    @jax.custom_jvp
    def square(x: jax.Array) -> jax.Array:
        return x * x

    square.defjvp(lambda primals, tangents: (square(*primals), slope * tangents[0]))
    return SharedJit(square)


def test_within_a_transformation_it_is_the_function_itself() -> None:
    plain, ruled, other = SharedJit(lambda x: x * x), *map(squared_with_slope, (10.0, 20.0))
    assert ruled(X)[2] == other(X)[2] == 4
    assert jax.grad(plain)(3.0) == 6
    assert jax.grad(ruled)(3.0) == 10
    assert jax.grad(other)(3.0) == 20
    np.testing.assert_array_equal(jax.vmap(plain)(X), X * X)
    # A tracer that is closed over is not kept for later calls.
    outer = SharedJit(lambda x: x)
    assert jax.grad(lambda a: SharedJit(lambda x: a * x)(X)[1])(2.0) == 1
    np.testing.assert_array_equal(outer(X), X)


def test_memory_of_an_argument_may_be_given_away() -> None:
    function = SharedJit(lambda kept, given: (kept + 1, given + kept.sum()), donated=1)
    kept, given_away = jnp.ones(4), jnp.ones(5)
    function(kept, given_away)
    assert given_away.is_deleted()
    assert not kept.is_deleted()


def test_threads_share_a_program() -> None:
    results: dict[int, jax.Array] = {}

    def run(number: int) -> None:
        results[number] = SharedJit(lambda x: jnp.tanh(x) * number)(X)

    threads = [threading.Thread(target=run, args=(number % 3,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, result in results.items():
        np.testing.assert_array_equal(result, jax.jit(lambda x, n=number: jnp.tanh(x) * n)(X))


def test_no_more_is_kept_than_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shared_jit, "_KEPT", 2)
    monkeypatch.setattr(_shared_jit, "_programs", _shared_jit._Kept())

    class Marker:
        pass

    markers = [Marker() for _ in range(5)]
    seen = [weakref.ref(marker) for marker in markers]
    function = SharedJit(lambda x, marker: x)
    while markers:
        function(X, markers.pop(0))
    gc.collect()
    assert [ref() is None for ref in seen] == [True, True, True, False, False]
    for number in range(5):
        SharedJit(lambda x, n=number: x + n)(X)
    assert len(_shared_jit._programs._made) == 2
