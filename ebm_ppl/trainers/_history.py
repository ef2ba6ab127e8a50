"""The record of a fit, in the form in which ArviZ and xarray take data."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ebm_ppl._errors import UnreadableFileError
from ebm_ppl._processes import on_host

if TYPE_CHECKING:
    import xarray


class History(Mapping[str, np.ndarray]):
    """What a fit recorded: one value per step of each metric, and the evaluations on held-out data.

    A mapping from a name to its values. The names over the steps are `loss`, `gradient_norm`,
    `refused` and those of the objective; `validation` has one value per evaluation.

    Attributes:
        data_vars: Pairs of a dimension and values by name, as `xarray.Dataset` takes them.
        coords: The dimensions: `step`, and `evaluation_step` (steps taken before the evaluation).

    Examples:
        >>> import numpy as np
        >>> from ebm_ppl.trainers import History
        >>> history = History({"loss": np.array([2.0, 1.0])})
        >>> history["loss"].tolist(), history.to_xarray().sizes["step"]
        ([2.0, 1.0], 2)
    """

    def __init__(
        self,
        steps: Mapping[str, np.ndarray],
        evaluation_steps: Any = (),
        evaluations: Any = (),
        first_step: int = 0,
    ) -> None:
        self.data_vars = {name: ("step", np.asarray(values)) for name, values in steps.items()}
        length = len(next(iter(steps.values()))) if steps else 0
        self.coords = {"step": first_step + np.arange(length)}
        if len(evaluation_steps):
            self.data_vars["validation"] = ("evaluation_step", np.asarray(evaluations))
            self.coords["evaluation_step"] = np.asarray(evaluation_steps)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.data_vars[name][1]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data_vars)

    def __len__(self) -> int:
        return len(self.data_vars)

    def __repr__(self) -> str:
        return f"History({', '.join(self)}; {len(self.coords['step'])} steps)"

    def to_xarray(self) -> "xarray.Dataset":
        """The record as an `xarray.Dataset`."""
        import xarray  # takes a second to import

        return xarray.Dataset(self.data_vars, self.coords)


class Recorder:
    """Collects the metrics of chunks of steps and the evaluations of a running fit."""

    def __init__(self) -> None:
        self._chunks: list[dict[str, np.ndarray]] = []
        self._evaluation_steps: list[int] = []
        self._evaluations: list[float] = []

    def add_steps(self, metrics: Mapping[str, Any], count: int) -> dict[str, np.ndarray]:
        """Record the first `count` entries of each metric of a chunk, and return them."""
        # Copies: a slice would keep the whole buffer alive, which may be a thousand times as long.
        chunk = {name: on_host(values)[:count].copy() for name, values in metrics.items()}
        self._chunks.append(chunk)
        return chunk

    def add_evaluation(self, step: int, value: float) -> None:
        """Record an evaluation on held-out data."""
        self._evaluation_steps.append(step)
        self._evaluations.append(value)

    def history(self) -> History:
        """All that was recorded."""
        names = self._chunks[0] if self._chunks else ()
        joined = {name: np.concatenate([chunk[name] for chunk in self._chunks]) for name in names}
        self._chunks = [joined] if joined else []
        return History(joined, self._evaluation_steps, self._evaluations)

    def since(self, first_step: int) -> History:
        """What was recorded of the steps from one on, and the evaluations after them."""
        steps: dict[str, list[np.ndarray]] = {name: [] for name in self._chunks[0]}
        count = sum(map(_length, self._chunks)) - first_step
        for chunk in reversed(self._chunks):
            if count <= 0:
                break
            for name, values in chunk.items():
                steps[name].append(values[-count:])
            count -= _length(chunk)
        joined = {name: np.concatenate(parts[::-1]) for name, parts in steps.items()}
        evaluations = zip(self._evaluation_steps, self._evaluations, strict=True)
        later = [(at, value) for at, value in evaluations if at > first_step]
        return History(joined, *zip(*later, strict=True), first_step=first_step)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All that was recorded as flat arrays, for a checkpoint."""
        history = self.history()
        arrays = {f"steps/{name}": history[name] for name in history if name != "validation"}
        return arrays | {
            "evaluation_steps": np.asarray(self._evaluation_steps, np.int64),
            "evaluations": np.asarray(self._evaluations, np.float64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Recorder":
        """The recorder that `to_arrays` wrote down.

        Raises:
            UnreadableFileError: If they are other arrays than those.
        """
        _check_record(arrays)
        recorder = cls()
        prefix = "steps/"
        steps = {
            name.removeprefix(prefix): values
            for name, values in arrays.items()
            if name.startswith(prefix)
        }
        recorder._chunks = [steps] if steps else []
        recorder._evaluation_steps = arrays["evaluation_steps"].tolist()
        recorder._evaluations = arrays["evaluations"].tolist()
        return recorder


def _length(chunk: Mapping[str, np.ndarray]) -> int:
    """Number of steps of a chunk."""
    return len(next(iter(chunk.values())))


def _check_record(arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse arrays of other kinds and lengths than a recorder writes."""
    at, values = (arrays.get(name, np.zeros(())) for name in ("evaluation_steps", "evaluations"))
    steps = [array for name, array in arrays.items() if name.startswith("steps/")]
    is_record = (at.dtype, values.dtype) == (np.int64, np.float64) and all(
        array.ndim == 1 and array.dtype.kind in "biuf" for array in (at, values, *steps)
    )
    if not is_record or len(at) != len(values) or len({array.shape for array in steps}) > 1:
        raise UnreadableFileError(
            "`checkpoint` must hold the record of a fit, numbers for each of its steps; it holds none."
        )
