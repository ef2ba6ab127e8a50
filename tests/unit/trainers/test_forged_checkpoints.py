"""Checkpoints that a stranger forged, with a right checksum: refused before anything is made of them."""

import hashlib
import io
import json
import os
import tracemalloc
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ebm_ppl import UnreadableFileError
from ebm_ppl.trainers import _checkpoint
from ebm_ppl.trainers._history import Recorder

LIKE = {"weights": jnp.ones((2, 3)), "half": jnp.ones(2, jnp.bfloat16), "key": jax.random.key(1)}
STATE = {
    "header": np.frombuffer(json.dumps({"mark": "mark"}).encode(), np.uint8),
    "state/0": np.ones(2, jnp.bfloat16),
    "state/1": np.array([3, 4], np.uint32),
    "state/2": np.full((2, 3), 2.0, np.float32),
    "extra/evaluations": np.zeros(0),
}


def seal(path, body):
    path.write_bytes(b"ebm_ppl checkpoint 1\n" + hashlib.sha256(body).digest() + body)
    return path


def archive(arrays, save=np.savez):
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def members(contents, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in contents:
            file.writestr(name, content)
    return buffer.getvalue()


def npy(shape, content, descr="<f4"):
    """A NumPy file that says what its shape is, whatever is in it."""
    head = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + content


def test_what_is_whole_is_read(tmp_path):
    state, extra = _checkpoint.read(seal(tmp_path / "fit.ckpt", archive(STATE)), LIKE, "mark")
    assert jax.tree.structure(state) == jax.tree.structure(LIKE)
    assert state["weights"].tolist() == [[2.0] * 3] * 2
    assert list(extra) == ["evaluations"]


@pytest.mark.parametrize(
    "changes",
    [
        {"state/2": np.ones((3, 2), np.float32)},
        {"state/2": np.ones((2, 3), np.float64)},
        {"state/2": np.ones((2, 3), np.int32)},
        {"state/0": np.ones(2, np.float16)},
        {"state/1": np.ones(3, np.uint32)},
    ],
)
def test_a_state_of_other_kinds_or_shapes_is_refused(tmp_path, changes):
    path = seal(tmp_path / "fit.ckpt", archive(STATE | changes))
    with pytest.raises(UnreadableFileError, match="holds another state than the fit's"):
        _checkpoint.read(path, LIKE, "mark")


NAMES = [name for name in STATE if name != "state/2"]
REST = [(f"{name}.npy", archive({"x": STATE[name]})) for name in NAMES]
BOMB = np.zeros(2**26, np.float32)


@pytest.mark.parametrize(
    "body",
    [
        archive(STATE | {"extra/bomb": BOMB}, np.savez_compressed),
        members([("state/2.npy", npy((2**40,), b"\0" * 24))]),
        members([("state/2.npy", npy((-1, -6), b"\0" * 24))]),
        members([("state/2.npy", npy((10**30,), b"\0" * 24))]),
        members([("state/2.npy", npy((3,), b"\0" * 24, "|O"))]),
        members([("state/2.npy", b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65_535)]),
        members([("a.npy", npy((0,), b"")), ("b.npy", npy((0,), b""))]).replace(b"b.npy", b"a.npy"),
        members([(f"{k}", b"") for k in range(2**16 + 1)]),
        members([("header.npy", npy((1,), b"[", "|u1"))]),
        members([("header.npy", npy((9,), b'{"mark":1', "|u1"))]),
        archive({"other": np.zeros(3)}),
        b"PK\x05\x06" + b"\xff" * 18,
        b"",
    ],
)  # fmt: skip
def test_archives_that_ask_for_more_than_they_hold_are_refused(tmp_path, body):
    path = seal(tmp_path / "fit.ckpt", body)
    tracemalloc.start()
    with pytest.raises(UnreadableFileError, match="holds no arrays that a fit wrote") as error:
        _checkpoint.read(path, LIKE, "mark")
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()
    assert len(str(error.value).splitlines()) == 1


def test_only_a_regular_file_that_may_be_a_checkpoint_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableFileError, match="is no regular file"):
        _checkpoint.read(tmp_path / "pipe", LIKE, "mark")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UnreadableFileError, match=r"has 1099511627776 bytes, and at most 10737\d+"):
        _checkpoint.read(tmp_path / "large", LIKE, "mark")


@pytest.mark.parametrize(
    "changes",
    [
        {"evaluations": np.zeros(1)},
        {"evaluation_steps": np.zeros(0)},
        {"evaluations": np.zeros((0, 2))},
        {"steps/loss": np.zeros(3)},
        {"steps/loss": np.array(["a", "b"])},
        {"steps/loss": np.zeros(())},
    ],
)
def test_a_record_that_is_none_is_refused(changes):
    record = Recorder()
    record.add_steps({"loss": np.ones(2), "refused": np.zeros(2, bool)}, 2)
    arrays = record.to_arrays()
    assert Recorder.from_arrays(arrays).history()["loss"].tolist() == [1.0, 1.0]
    with pytest.raises(UnreadableFileError, match="must hold the record of a fit"):
        Recorder.from_arrays(arrays | changes)
    for name in ("evaluations", "evaluation_steps"):
        with pytest.raises(UnreadableFileError, match="must hold the record of a fit"):
            Recorder.from_arrays({key: arrays[key] for key in arrays if key != name})
