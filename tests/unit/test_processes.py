"""What arrays over devices need, in one process; `tests/contract/test_distributed.py` asks several."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from ebm_ppl import _processes
from ebm_ppl.energies import Banana
from ebm_ppl.potentials import as_model
from ebm_ppl.samplers import MALA
from ebm_ppl.samplers._numpyro.starts import as_floating
from ebm_ppl.streaming import stream
from ebm_ppl.trainers import as_batch


def shared(kind: AxisType) -> jax.Array:
    mesh = jax.make_mesh((2,), ("rows",), axis_types=(kind,))
    rows = NamedSharding(mesh, PartitionSpec("rows"))
    return jax.device_put(np.arange(8, dtype=np.float32).reshape(4, 2), rows)


@pytest.mark.skipif(jax.device_count() < 2, reason="takes two devices")
def test_explicit_axes_are_refused_with_the_way_out() -> None:
    points = shared(AxisType.Explicit)
    refused = (
        "must lie on a mesh whose axes are of `AxisType.Auto`; got explicit axes, P.*make_mesh"
    )
    with pytest.raises(ValueError, match=f"`data` {refused}"):
        as_batch(Banana(), points)
    with pytest.raises(ValueError, match=f"`init_params` {refused}"):
        as_floating({"x": points}, (4,))
    with pytest.raises(ValueError, match=f"`model_args` {refused}"):
        stream(MALA(as_model(Banana())), jax.random.key(0), num_samples=2, model_args=(points,))
    _processes.check_layout("data", shared(AxisType.Auto))


@pytest.mark.skipif(jax.device_count() < 2, reason="takes two devices")
def test_a_state_keeps_its_layout() -> None:
    data = shared(AxisType.Auto)
    tree = {"chains": data, "key": jax.random.key(0), "step": jnp.asarray(1), "name": "fit"}
    placed = _processes.placed_like(tree, data)
    assert placed["chains"] is data
    assert placed["name"] == "fit"
    assert placed["step"].sharding.is_fully_replicated
    assert len(placed["key"].sharding.device_set) == 2
    moved = placed | {"chains": _processes.restored(data, placed["step"].sharding)}
    back = _processes.laid_out(moved, _processes.layout_of(placed))
    assert back["chains"].sharding == data.sharding
    np.testing.assert_array_equal(back["chains"], data)


def test_arrays_of_one_device_stay_where_they_are() -> None:
    tree = [jnp.arange(3), np.arange(3), 2.0]
    assert _processes.placed_like(tree, tree) is tree
    assert _processes.layout_of(tree) is None
    assert _processes.laid_out(tree, None) is tree


def test_a_run_alone_agrees_with_itself() -> None:
    with _processes.together("fit", jnp.zeros(3)) as processes:
        assert processes is _processes.ALONE
        assert processes.is_first
        assert processes.agree(3) == 3
    with pytest.raises(KeyError), _processes.together("fit", jnp.zeros(3)):
        raise KeyError


def test_copies_are_told_apart_by_every_bit() -> None:
    key, points = jax.random.key(0), np.zeros(3, np.float32)
    digest = _processes._digest((key, points))
    assert digest == _processes._digest((jax.random.key(0), jnp.zeros(3)))
    assert digest != _processes._digest((jax.random.key(1), points))
    assert digest != _processes._digest((key, -points))
    assert digest != _processes._digest((key, points[None]))


def test_large_arrays_come_in_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    array = jnp.arange(30.0).reshape(10, 3)
    monkeypatch.setattr(_processes, "spans", lambda _: True)
    monkeypatch.setattr(_processes, "on_host", np.asarray)
    monkeypatch.setattr(_processes, "_BLOCK", 3 * array[0].nbytes)
    blocks = list(_processes.blocks_on_host(array))
    assert [len(block) for block in blocks] == [3, 3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), array)
