"""Ask the report single questions: `python -m validation.mutants.ask kernel/mala/gamma loop ...`.

The one file here that knows how the report is put together. It runs in the tree whose package has been
changed, prints a line of JSON for each row as it falls, and ends at the first that does not pass.
"""

import importlib
import json
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import ebm_ppl
from ebm_ppl.validation.results import Row, Verdict
from ebm_ppl.validation.subjects import built_in
from ebm_ppl.validation.suite import ESTIMATORS, KERNELS, OBJECTIVES
from ebm_ppl.validation.suite.energies import energy_job
from ebm_ppl.validation.suite.estimators import estimator_job
from ebm_ppl.validation.suite.job import Job
from ebm_ppl.validation.suite.kernel_jobs import claims_job, kernel_job
from ebm_ppl.validation.suite.kernels import QUICK_CHAINS
from ebm_ppl.validation.suite.objectives import loop_job, objective_job

_SEED = 0
_ROOT = pathlib.Path(ebm_ppl.__file__).parents[1]


class _Enough(BaseException):
    """Raised at the first row that does not pass; no check that catches exceptions catches it."""


def catalogue() -> dict[str, dict[str, Any]]:
    """What can be asked about, and in which files it is defined.

    Returns:
        Kernels, objectives, estimators and targets by name. Each with `files`, paths from the root of the
        checkout; a kernel also with the `targets` that it can sample, a target with its `size` and
        whether it `is_discrete`.
    """
    targets = built_in()
    found: dict[str, dict[str, Any]] = {
        kind: {name: {"files": [file]} for name, file in _files_of_cases(kind).items()}
        for kind in ("samplers", "objectives", "estimators")
    }
    kernels = found["kernels"] = found.pop("samplers")
    for name, case in KERNELS.cases().items():
        kernels[name]["targets"] = [
            target
            for target, subject in targets.items()
            if not (target in case.unsuited_for or case.refusal(subject.energy))
        ]
    found["targets"] = {
        name: {
            "files": sorted(_files_of_energy(subject.energy)),
            "size": subject.energy.event_size,
            "is_discrete": subject.is_discrete,
        }
        for name, subject in targets.items()
    }
    return found


def _files_of_cases(kind: str) -> dict[str, str]:
    folder = _ROOT / "ebm_ppl" / "validation" / "cases" / kind
    package = f"ebm_ppl.validation.cases.{kind}"
    return {
        case.name: path.relative_to(_ROOT).as_posix()
        for path in sorted(folder.glob("[!_]*.py"))
        for case in importlib.import_module(f"{package}.{path.stem}").CASES
    }


def _files_of_energy(energy: object) -> set[str]:
    """Where the classes of an energy and of those that it is made of are defined."""
    module = type(energy).__module__
    if not module.startswith("ebm_ppl.energies"):
        return set()
    parts = (vars(energy)).values()
    return {module.replace(".", "/") + ".py"}.union(*(_files_of_energy(part) for part in parts))


def job_of(question: str) -> Job:
    """The job that answers a question, such as `"kernel/mala/gamma"`."""
    kind, *names = question.split("/")
    makers: dict[str, Callable[..., Job]] = {
        "energy": lambda target: energy_job(built_in()[target]),
        "kernel": lambda kernel, target: kernel_job(
            built_in()[target], KERNELS.cases()[kernel], _SEED, QUICK_CHAINS
        ),
        "claims": lambda kernel: claims_job(KERNELS.cases()[kernel], _SEED),
        "loop": loop_job,
        "objective": lambda name: objective_job(OBJECTIVES.cases()[name], _SEED, thorough=False),
        "estimator": lambda name: estimator_job(ESTIMATORS.cases()[name], _SEED),
    }
    return makers[kind](*names)


def answers(questions: list[str], *, to_the_end: bool) -> Iterator[dict[str, str]]:
    """The rows of the questions, one after the other, as plain data.

    Args:
        questions: What is asked.
        to_the_end: Whether to go on after a row that does not pass.
    """
    for question in questions:
        rows: list[Row] = []

        def emit(row: Row, rows: list[Row] = rows) -> None:
            rows.append(row)
            if row.result.verdict is not Verdict.PASS and not to_the_end:
                raise _Enough

        enough = False
        try:
            job_of(question).run(emit)
        except _Enough:
            enough = True
        for row in rows:
            yield {
                "question": question,
                "row": f"{row.energy} × {row.kernel}: {row.result.check}",
                "verdict": str(row.result.verdict),
                "detail": row.result.detail,
            }
        if enough:
            return


def main(arguments: list[str]) -> None:
    """Print the catalogue if nothing is asked, the rows otherwise."""
    if not arguments:
        sys.stdout.write(json.dumps(catalogue()) + "\n")
        return
    to_the_end = arguments[0] == "--to-the-end"
    for answer in answers(arguments[to_the_end:], to_the_end=to_the_end):
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
