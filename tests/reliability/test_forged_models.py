"""A thousand model files of a stranger, with right checksums: one line each, in bounded time and memory."""

import json
import pathlib
import resource
import subprocess
import sys
import time

import jax.numpy as jnp
import numpy as np
import pytest

NUM_FILES = 1000
SECONDS = 10
"""Most processor time of one file; the slowest takes a tenth of it."""
MEGABYTES = 400
"""Most memory that all of them may add to the process; JAX's own caches are most of it."""


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
    before = _megabytes()
    messages, slowest, num_sound = [], 0.0, 0
    for _ in range(NUM_FILES):
        path.write_bytes(forged(lambda below: int(rng.integers(below))))
        began = time.process_time()
        try:
            energy = ebm.load_energy(path)
        except ebm.UnreadableFileError as error:
            messages.append(str(error))
        else:
            value = evaluated(energy)
            num_sound += value.shape == () and bool(jnp.issubdtype(value.dtype, jnp.floating))
        slowest = max(slowest, time.process_time() - began)
    grown = _megabytes() - before
    return {"messages": messages, "slowest": slowest, "sound": num_sound, "grown": grown}


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


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
    assert len(messages) + found["sound"] == NUM_FILES
    assert len(messages) > NUM_FILES / 2
    assert found["sound"] > 0
    assert all(len(message.splitlines()) == 1 for message in messages)
    assert all(message.startswith("`path` must name a whole model file; ") for message in messages)
    assert max(map(len, messages)) < 300 + len(str(tmp_path))
    assert found["slowest"] < SECONDS
    assert found["grown"] < MEGABYTES
