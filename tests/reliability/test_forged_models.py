"""A thousand model files of a stranger, with right checksums: one line each, in bounded time and memory."""

import functools
import itertools
import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.reliability import memory

NUM_FILES = 1000
SECONDS = 20
"""Most processor time of one file; the slowest took 5."""
MEGABYTES = 400
"""Most memory that all of them may add to the process; they added 120."""


def read_all(folder: pathlib.Path) -> dict:
    """Forge files, read each, and use what was accepted; in a process whose memory is measured."""
    import ebm_ppl as ebm
    from tests.unit.forgeries import HONEST, evaluated, forged, honest, sealed

    rng = np.random.default_rng(0)
    path = folder / "model.ebm"
    for energy in HONEST:  # so that what is loaded and compiled once is not counted
        header, arrays = honest(energy)
        path.write_bytes(sealed(header, b"".join(array.tobytes() for array in arrays)))
        evaluated(ebm.load_energy(path))
    random = (forged(lambda below: int(rng.integers(below))) for _ in range(NUM_FILES))
    for number, content in enumerate(itertools.chain(random, greedy())):
        (folder / f"{number}.ebm").write_bytes(content)
    memory.forget_peak()
    before = memory.peak()
    messages, slowest, num_sound = [], 0.0, 0
    for path in folder.glob("[0-9]*.ebm"):
        began = time.process_time()
        try:
            energy = ebm.load_energy(path)
        except ebm.UnreadableFileError as error:
            messages.append(str(error))
        else:
            value = evaluated(energy)
            num_sound += value.shape == () and bool(jnp.issubdtype(value.dtype, jnp.floating))
        slowest = max(slowest, time.process_time() - began)
    grown = memory.peak() - before
    return {"messages": messages, "slowest": slowest, "sound": num_sound, "grown": grown}


def greedy() -> Iterator[bytes]:
    """Files that ask for as much as the format allows, and for more."""
    from ebm_ppl import energies
    from ebm_ppl.serialization._container import pack
    from tests.unit.forgeries import honest

    def file(tree, arrays):
        return pack({"energy": tree, "metadata": {}}, arrays)

    def fields(energy, **changes):
        header, arrays = honest(energy)
        return file({**header["energy"], "fields": header["energy"]["fields"] | changes}, arrays)

    def affine(tree):
        units = {"_loc": {"tuple": [0.0, 0.0]}, "_scale": {"tuple": [1.0, 1.0]}}
        return {"class": "AffineEnergy", "fields": {"energy": tree, **units}}

    def members(number, levels):
        for k in range(number):
            tree = {"class": "Funnel", "fields": {"dim": 2, "scale": {"array": k}}}
            for _ in range(levels):
                tree = affine(tree)
            yield tree

    for number, levels in [(1023, 0), (1024, 0), (35, 28), (1023, 28)]:
        tree = {"class": "SumEnergy", "fields": {"energies": {"tuple": [*members(number, levels)]}}}
        yield file(tree, [np.ones((), np.float32)] * number)
    network = functools.partial(energies.NeuralEnergy, (1,), rng_key=jax.random.key(0), width=1)
    yield fields(network(depth=511))
    yield fields(network(depth=1), _event_shape={"tuple": [2] * 10**6})
    yield fields(energies.Ising((3,), 0.5), shape={"tuple": [2**12, 2**12]}, periodic=False)
    yield fields(energies.DoubleWell(), dim=2**24)
    gaussian = energies.AffineEnergy(energies.Gaussian([0.5], [[1.0]]), [0.0], [1.0])
    yield fields(gaussian, _loc={"tuple": [0.25] * 10**6})
    yield file({"tuple": [{} for _ in range(500_000)]}, [])
    header, arrays = honest(energies.DoubleWell(dim=2))
    tree = header["energy"]
    tree["fields"]["dim"] = 16_000
    for k in range(15_999, 15_970, -1):
        ends = {"fixed": {"tuple": [k]}, "free": {"tuple": [*range(k)]}}
        values = {"values": {"array": len(arrays)}}
        tree = {"class": "ConditionedEnergy", "fields": {"energy": tree, **values, **ends}}
        arrays = [*arrays, np.zeros(1, np.float32)]
    yield file(tree, arrays)


@pytest.mark.skipif(not memory.can_be_measured, reason="Linux counts")
@pytest.mark.slow
def test_a_thousand_forged_models_are_refused_in_one_line_or_sound(tmp_path):
    root = pathlib.Path(__file__).parents[2]
    program = (
        "import json, pathlib; from tests.reliability.test_forged_models import read_all; "
        f"print(json.dumps(read_all(pathlib.Path({str(tmp_path)!r}))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    messages = found["messages"]
    assert len(messages) + found["sound"] == NUM_FILES + 11
    assert len(messages) > NUM_FILES / 2
    assert found["sound"] > 0
    assert all(len(message.splitlines()) == 1 for message in messages)
    assert all(message.startswith("`path` must name a whole model file; ") for message in messages)
    assert max(map(len, messages)) < 300 + len(str(tmp_path))
    assert found["slowest"] < SECONDS
    assert found["grown"] < MEGABYTES
