"""The report as strict JSON, and back.

`schema` is `"ebm-ppl/validation-report/1"`; a change that breaks readers raises the number. Rules:

* a number that is not finite is one of the strings `"NaN"`, `"Infinity"`, `"-Infinity"`;
* an array is `{"dtype": "<f4", "shape": [4, 1000, 2], "base64": "..."}`: little-endian, C order;
* `passed` and `counts` repeat, for readers, what follows from the rows.
"""

import base64
import dataclasses
import json
import math
import os
import pathlib
import reprlib
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from ebm_ppl._foreign import parse_json, read_bytes, unreadable
from ebm_ppl._kinds import is_of
from ebm_ppl.validation.report._atomic import write_text
from ebm_ppl.validation.report.document import Report
from ebm_ppl.validation.results import CheckResult, Question, Row, Trace, Verdict

SCHEMA = "ebm-ppl/validation-report/1"

_DTYPES = ("<f4", "<f8")
_KIND = "a validation report in JSON"

_Part = TypeVar("_Part", Report, Row, CheckResult, Trace)


def to_json(report: Report, path: str | os.PathLike[str]) -> pathlib.Path:
    """Write `report` as JSON; the file appears whole or not at all."""
    return write_text(path, render_json(report))


def render_json(report: Report, *, traces: bool = True) -> str:
    """The JSON text.

    Args:
        report: The report.
        traces: Whether to include the draws, which are most of the bytes.
    """
    fields = {field.name: getattr(report, field.name) for field in dataclasses.fields(report)}
    fields["traces"] = report.traces if traces else ()
    document = {"schema": SCHEMA, "passed": report.passed, "counts": report.counts(), **fields}
    return json.dumps(_plain(document), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def load_json(path: str | os.PathLike[str]) -> Report:
    """Read a report that `to_json` wrote.

    Raises:
        UnreadableFileError: If the file is no regular one of at most a GiB, or no report of this schema, each
            part of the kind and shape that it should be. It is a `ValueError`.
        OSError: If the file cannot be read.
    """
    content = read_bytes(path, _KIND)
    try:
        document = parse_json(content)
    except (ValueError, RecursionError) as error:
        raise unreadable(path, _KIND, "is no JSON that a report is written in") from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise unreadable(
            path, _KIND, f"is of schema {reprlib.repr(schema)}, and {SCHEMA!r} is read"
        )
    try:
        return _report(document)
    except Exception as error:  # a forged file may make anything raise anything
        raise unreadable(path, _KIND, "has parts that are none of a report") from error


def _report(document: dict[str, Any]) -> Report:
    rows = [
        _made(Row, energy=row["energy"], kernel=row["kernel"], result=_result(row["result"]))
        for row in document["rows"]
    ]
    return _made(
        Report,
        title=document["title"],
        mode=document["mode"],
        rows=tuple(rows),
        traces=tuple(_trace(trace) for trace in document["traces"]),
        seed=document["seed"],
        false_alarm_budget=float(document["false_alarm_budget"]),
        false_alarm_spent=float(document["false_alarm_spent"]),
        versions=document["versions"],
        started=document["started"],
        seconds=float(document["seconds"]),
        options=document["options"],
        interrupted=document.get("interrupted", False),
    )


def _plain(value: Any) -> Any:
    """JSON's own types; anything else that options may hold becomes its `repr`."""
    match value:
        case None | bool() | str():
            return str(value) if isinstance(value, str) else value
        case np.ndarray() if value.ndim:
            array = np.asarray(value, dtype="<f4" if value.dtype == np.float32 else "<f8")
            data = base64.b64encode(array.tobytes()).decode("ascii")
            return {"dtype": array.dtype.str, "shape": list(array.shape), "base64": data}
        case int() | np.integer():
            return int(value)
        case float() | np.floating() | np.ndarray():
            return _number(float(value))
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _ if dataclasses.is_dataclass(value):
            names = [field.name for field in dataclasses.fields(value)]
            return {name: _plain(getattr(value, name)) for name in names}
        case _:
            return repr(value)


def _number(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _result(fields: dict[str, Any]) -> CheckResult:
    def optional(value: Any) -> float | None:
        return None if value is None else float(value)

    return _made(
        CheckResult,
        **{
            **fields,
            "question": Question(fields["question"]),
            "verdict": Verdict(fields["verdict"]),
            "statistic": float(fields["statistic"]),
            "false_alarm_rate": float(fields["false_alarm_rate"]),
            "bound": optional(fields["bound"]),
            "p_value": optional(fields["p_value"]),
            "seconds": float(fields["seconds"]),
            "components": {key: float(item) for key, item in fields["components"].items()},
        },
    )


_ARRAYS = ("draws", "energies", "truth_grid", "truth_density", "truth_cdf", "truth_energy_draws")


def _trace(fields: dict[str, Any]) -> Trace:
    arrays = {name: _array(fields[name]) for name in _ARRAYS}
    diagnostics = {key: float(item) for key, item in fields["diagnostics"].items()}
    trace = _made(Trace, **{**fields, **arrays, "diagnostics": diagnostics})
    num_chains, num_samples, dim = trace.draws.shape
    if trace.energies.shape != (num_chains, num_samples):
        raise ValueError(f"`energies` must be of shape {trace.draws.shape[:2]}.")
    if trace.truth_energy_draws is not None and trace.truth_energy_draws.ndim != 1:
        raise ValueError("`truth_energy_draws` must be of shape (num_draws,).")
    grids = [trace.truth_grid, trace.truth_density, trace.truth_cdf]
    shapes = {grid.shape for grid in grids if grid is not None}
    if len(shapes) > 1 or any(len(shape) != 2 or shape[0] != dim for shape in shapes):
        raise ValueError(f"What is true of {dim} coordinates must be tabulated at the same points.")
    return trace


def _made(cls: type[_Part], **fields: Any) -> _Part:
    """A part of a report, whose fields are what their annotations say."""
    made = cls(**fields)
    for field in dataclasses.fields(cls):
        if not is_of(getattr(made, field.name), field.type):
            raise ValueError(f"`{field.name}` must be {field.type}.")
    return made


def _array(fields: dict[str, Any] | None) -> np.ndarray | None:
    if fields is None:
        return None
    if fields["dtype"] not in _DTYPES:
        raise ValueError(f"`dtype` must be one of {_DTYPES}; got {fields['dtype']!r}.")
    data = base64.b64decode(fields["base64"], validate=True)
    return np.frombuffer(data, dtype=fields["dtype"]).reshape(fields["shape"])
