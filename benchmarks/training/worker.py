"""One process trains one objective with one implementation, whenever it is told to.

It reads one JSON object a line, `{"num_steps": 200}`, and answers with the seconds that these steps took.
The first answer comes unasked, with what it cost to get there.
"""

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

FIRST_STEPS = 100
"""Steps of the first call."""


def clocks() -> tuple[float, float]:
    """CPU seconds of this process, all its threads included, and wall-clock seconds."""
    return time.process_time(), time.perf_counter()


def timed(function: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Call a function and say what it took."""
    cpu, wall = clocks()
    value = function()
    now_cpu, now_wall = clocks()
    return value, {"cpu_seconds": now_cpu - cpu, "wall_seconds": now_wall - wall}


def confine(cpu: int) -> None:
    """Give this process one CPU, and every library one thread; this has to come before their import."""
    os.sched_setaffinity(0, {cpu})
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["MKL_NUM_THREADS"] = "1"
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("implementation")
    parser.add_argument("objective")
    parser.add_argument("--cpu", type=int, required=True)
    arguments = parser.parse_args()
    # What libraries print must not get between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    confine(arguments.cpu)
    module, import_time = timed(
        lambda: importlib.import_module(f"benchmarks.training.{arguments.implementation}")
    )
    run, setup_time = timed(lambda: module.start(arguments.objective))
    loss, first_call = timed(lambda: run(FIRST_STEPS))
    answer(
        {
            "versions": {name: metadata.version(name) for name in module.PACKAGES},
            "import": import_time,
            "setup": setup_time,
            "first_call": first_call,
            "loss": loss,
        }
    )
    for line in sys.stdin:
        num_steps = json.loads(line)["num_steps"]
        loss, seconds = timed(lambda num_steps=num_steps: run(num_steps))
        answer({"num_steps": num_steps, "loss": loss, **seconds})


if __name__ == "__main__":
    main()
