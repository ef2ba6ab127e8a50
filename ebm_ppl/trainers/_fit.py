"""The training loop, the only one: it knows optimisers and data, and nothing about objectives."""

import dataclasses
import os
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array
from tqdm.auto import tqdm

from ebm_ppl._checks import check_count, check_flag, check_instance, check_key
from ebm_ppl._processes import laid_out, layout_of, placed_like, spans, together
from ebm_ppl._programs import program_of
from ebm_ppl._types import PRNGKey
from ebm_ppl.energies import (
    AbstractConditionalEnergy,
    AbstractEnergy,
)
from ebm_ppl.energies._supports import real_support, same_support
from ebm_ppl.trainers import _checkpoint
from ebm_ppl.trainers._base import AbstractObjective, Model
from ebm_ppl.trainers._batch import Batch
from ebm_ppl.trainers._callback import Callback
from ebm_ppl.trainers._checkpoint import Checkpoint
from ebm_ppl.trainers._data import as_batch
from ebm_ppl.trainers._decay import sparing_learned
from ebm_ppl.trainers._doubts import (
    check_parameters,
    warn_of_constant_data,
    warn_of_evaluations,
    warn_of_frozen_chains,
    warn_of_idle_energy,
    warn_of_unfinished_newton,
)
from ebm_ppl.trainers._held_out import Best, Validation, Watch
from ebm_ppl.trainers._history import History, Recorder
from ebm_ppl.trainers._loop import ChunkLengths, raise_diverged, raise_troubled, run_chunk
from ebm_ppl.trainers._standard_errors import StandardErrors, standard_errors
from ebm_ppl.trainers._step import Optimizer, Trainer, TrainState
from ebm_ppl.trainers._transform import Transform
from ebm_ppl.trainers._units import Units

_DEFAULT_BATCH_SIZE = 256


@dataclasses.dataclass(frozen=True)
class Fit:
    """What a fit returns.

    Attributes:
        energy: The trained energy: with averaged parameters if there is an average, and with those of
            the best evaluation if the fit watched for it.
        learned: What the objective learned beside it, such as the log partition function; or `None`.
        history: The metrics of every step, and the evaluations.
        state: The complete state after the last step.
        stopped_early: Whether the validation stopped the fit before its last step.
        objective: The objective.
        data: The examples that it learned from; in `units`, as `state` is.
        units: The means and standard deviations by which the data were standardised, or `None`.
        transform: What was done to the examples of each step, or `None`.
    """

    energy: Any
    learned: Any
    history: History
    state: TrainState
    stopped_early: bool
    objective: AbstractObjective
    data: Batch
    units: Units | None = None
    transform: Transform | None = None

    @property
    def num_refused(self) -> int:
        """Number of steps refused because something was not finite."""
        return int(self.state.num_refused)

    def standard_errors(
        self, rng_key: PRNGKey | None = None, *, num_averaged: int | None = None
    ) -> StandardErrors:
        """Sandwich standard errors of the parameters at the fit, see `standard_errors`.

        Args:
            rng_key: Key for the objective's draws; derived from that of the fit if `None`.
            num_averaged: Number of draws over which the fit averaged the objective's noise; `None` for
                so many that nothing of it is left.
        """
        key = (
            jax.random.fold_in(self.state.rng_key, self.state.step) if rng_key is None else rng_key
        )
        model, state = Model(self.energy, self.learned), self.state
        if self.units is not None:
            model = self.units.standardised(model)
        return standard_errors(
            self.objective,
            model,
            self.data,
            key,
            carried=state.carried,
            step=int(state.step),
            num_averaged=num_averaged,
            transform=self.transform,
        )


def fit(
    energy: Any,
    data: Any,
    objective: AbstractObjective,
    optimizer: Optimizer,
    *,
    rng_key: PRNGKey,
    condition: Any = None,
    sigma: Any = None,
    num_steps: int | None = None,
    num_epochs: int | None = None,
    batch_size: int | None = None,
    condition_dropout: float = 0.0,
    ema_decay: float | Callable[[Array], Any] | None = None,
    validation: Validation | None = None,
    checkpoint: Checkpoint | None = None,
    callback: Callback | None = None,
    max_refused: int = 10,
    standardise: bool = False,
    transform: Transform | None = None,
    progress_bar: bool = True,
) -> Fit:
    r"""Train an energy on data.

    Each step draws what the objective needs, takes the gradient of the mean loss of a batch and hands it
    to the optimiser. All steps between two looks from Python (the progress bar, an evaluation, a
    checkpoint, a callback) are one call of a compiled loop. A step of which anything is not finite is
    refused, and a warning at the end says how many were; others, that no parameter changed, that chains
    hardly moved, or that evaluations were not finite. Weight decay is for the energy alone: a log partition
    function that is learned beside it is left out. Fits whose steps do the same to arrays of the same shapes
    share one compiled program, whatever objects they were given.

    Args:
        energy: The energy to start from; a conditional one if `condition` or `sigma` is given.
        data: Points, shape `(num_examples, *event_shape)`.
        objective: What to minimise, such as `PersistentCD()` or `ScoreMatching()`.
        optimizer: An Optax optimiser; learning-rate schedules are its own.
        rng_key: Random key; the same key gives the same fit.
        condition: Conditions of the points, shape `(num_examples, *condition_shape)`.
        sigma: Standard deviation of the noise that is in each point, shape `(num_examples,)`, for an
            energy that depends on it; `None` with an objective that adds the noise, such as
            `AnnealedDenoisingScoreMatching`.
        num_steps: Number of steps; give this or `num_epochs`.
        num_epochs: Number of passes through the data.
        batch_size: Number of examples of a step, at most all of them; by default the smaller of 256 and
            all. An epoch visits the examples in random order and leaves out a last, smaller batch.
        condition_dropout: Probability with which an example's condition is dropped in a step, so that
            the energy learns the law without a condition too.
        ema_decay: Weight of the old average in a running average of the parameters, in (0, 1), or a
            schedule of the number of averaged steps, such as `polyak_averaging(start)`; `None` for none.
        validation: Evaluation on held-out data and early stopping.
        checkpoint: File for the complete state, from which the same call goes on if it was stopped.
        callback: Function that is shown, every so many steps, the step, the model, the metrics and the
            chains. It changes no bit of the fit.
        max_refused: Number of refused steps in a row that stops the fit.
        standardise: Whether to train in standard units: on columns less their means, in units of their
            standard deviations, found in double precision. `energy`, the objective's own settings and
            the metric of `validation` then refer to standard units. The energy of the fit is an
            `AffineEnergy` in the units of the data, and so is a learned log Z; standard errors are those
            of the parameters, which stay in standard units.
        transform: What is done to the points of each step before the objective sees them, such as
            augmentation or fresh dequantisation noise: a pure function `(rng_key, x) -> x` of a key of the
            step and of any number of points, shape `(num_points, *event_shape)`, that keeps their shape and
            type. A step of which it makes something not finite is refused. Held-out examples stay as they
            are.
        progress_bar: Whether to show progress, with the loss, the energy gap where the objective has
            one, and the gradient norm.

    Returns:
        The trained energy with the history and the complete state.

    Raises:
        ValueError: If an argument is outside its bounds, they do not fit one another, or there are no
            parameters to train.
        OSError: If the checkpoint's place cannot be written, or another process has it.
        ProcessFailedError: If the data lie on devices of several processes, and another of them has failed.
        TrainingDivergedError: If `max_refused` steps in a row, or all, were refused; it names the step, the
            objective and the first thing that was not finite, and holds the last finite state. Likewise if
            the objective's metrics show that the fit has gone wrong.

    Examples:
        >>> import jax, jax.numpy as jnp, optax
        >>> import ebm_ppl as ebm
        >>> data = 1.0 + jax.random.normal(jax.random.key(0), (512, 1))
        >>> start = ebm.energies.Gaussian(jnp.zeros(1), jnp.eye(1))
        >>> fit = ebm.fit(
        ...     start,
        ...     data,
        ...     ebm.ScoreMatching(),
        ...     optax.adam(0.05),
        ...     num_steps=200,
        ...     rng_key=jax.random.key(1),
        ...     progress_bar=False,
        ... )
        >>> bool(jnp.abs(fit.energy.loc - data.mean()) < 0.2)
        True
    """
    _check_kinds(energy, objective, optimizer, validation, checkpoint, callback)
    check_key("rng_key", rng_key)
    check_count("max_refused", max_refused)
    check_flag("standardise", standardise)
    _check_transform(transform, standardise)
    given = (energy, data, condition, sigma, None if validation is None else validation.data)
    with together(fit.__name__, given) as processes:
        processes.check_alike(
            num_steps=num_steps,
            num_epochs=num_epochs,
            batch_size=batch_size,
            max_refused=max_refused,
            progress_bar=bool(progress_bar),
            checkpoint=checkpoint and (os.fspath(checkpoint.path), checkpoint.every),
            callback=callback and callback.every,
        )
        processes.check_copies(rng_key=rng_key, energy=energy, data=given[1:])
        units = _units(energy, data) if standardise else None
        if units is not None:
            data = units.standardise(data)
            validation = None if validation is None else validation.in_units(units)
        examples = as_batch(energy, data, condition, sigma)
        key_fit, key_split, key_watch = jax.random.split(rng_key, 3)
        held_out = None
        if validation is not None:
            examples, held_out = validation.hold_out(energy, examples, key_split)
        if batch_size is None:
            batch_size = min(_DEFAULT_BATCH_SIZE, examples.num_examples)
        trainer = Trainer(objective, optimizer, batch_size, condition_dropout, ema_decay, transform)
        num_steps = _checked_num_steps(num_steps, num_epochs, examples.num_examples // batch_size)
        # A fit of refused steps alone has learned nothing.
        max_refused = min(max_refused, num_steps)
        watch = None
        if validation is not None and held_out is not None:
            watch = Watch(validation, held_out, objective, num_steps, key_watch)
        state = placed_like(trainer.init(energy, examples, key_fit), examples)
        layout = layout_of(state)
        start = state.model
        check_parameters(start)
        if transform is None:  # which may be the noise that a column lacks
            warn_of_constant_data(energy, examples)
        trainer = dataclasses.replace(trainer, optimizer=sparing_learned(optimizer, start))
        best = placed_like(Best.none_yet(trainer.averaged_model(state)), examples)
        recorder = Recorder()
        mark = ""
        if checkpoint is not None:
            programs = [program_of(trainer.step, state, examples)]
            if watch is not None:
                programs.append(watch.program(best.model, state.carried))
            every = None if validation is None else validation.every
            mark = _checkpoint.mark_of(programs, (state, examples, held_out, every))
        keeper = None
        with _checkpoint.claimed(checkpoint, processes):
            if checkpoint is not None:
                stored = _checkpoint.read(checkpoint.path, (state, best), mark)
                if stored is not None:
                    (state, best), extra = stored
                    recorder = Recorder.from_arrays(extra)
                found = None if stored is None else int(state.step)
                processes.check_alike(
                    **{"program of the fit": mark, "step of the checkpoint": found}
                )
                keeper = _checkpoint.Keeper(checkpoint.path, mark, found, processes)
            step = int(state.step)
            if step > num_steps:
                raise ValueError(
                    f"`num_steps` must be at least the {step} of the checkpoint; got {num_steps}."
                )

            looks = (validation, checkpoint, callback)
            boundaries = [part.every for part in looks if part is not None]
            lengths = ChunkLengths(boundaries, num_steps, hurried=progress_bar)
            stopped = watch is not None and watch.is_over(best)
            is_hidden = not (progress_bar and processes.is_first)
            with tqdm(total=num_steps, initial=step, disable=is_hidden, unit="step") as bar:
                while step < num_steps and not stopped:
                    steps = jnp.asarray(processes.agree(lengths.next(step)))
                    state, count, buffers = run_chunk(
                        trainer, state, examples, steps, jnp.asarray(max_refused)
                    )
                    state = laid_out(state, layout)
                    count = int(count)
                    metrics = recorder.add_steps(buffers, count)
                    if int(state.refused_in_a_row) >= max_refused:
                        raise_diverged(trainer, state, examples)
                    raise_troubled(objective, metrics, state)
                    lengths.took(count)
                    step += count
                    if watch is not None and watch.is_due(step):
                        model = trainer.averaged_model(state)
                        value = watch.value(model, state.carried)
                        recorder.add_evaluation(step, float(value))
                        best = best.after(model, value)
                        stopped = watch.is_over(best)
                    is_last = stopped or step == num_steps
                    is_due = checkpoint is not None and step % checkpoint.every == 0
                    if keeper is not None and (is_last or is_due):
                        keeper.keep(step, (state, best), recorder.to_arrays())
                    if callback is not None and (is_last or callback.is_due(step)):
                        callback.show(trainer, state, recorder, units)
                    if progress_bar:
                        bar.update(count)
                        bar.set_postfix_str(_summary(metrics), refresh=False)

        if int(state.num_refused) > 0:
            warnings.warn(
                f"{int(state.num_refused)} of {step} steps were refused because something was not finite; "
                "`history['refused']` says which.",
                stacklevel=2,
            )
        warn_of_idle_energy(start.energy, state.model.energy, step - int(state.num_refused))
        history = recorder.history()
        warn_of_frozen_chains(history)
        warn_of_unfinished_newton(state.optimizer_state, start, batch_size)
        warn_of_evaluations(history.get("validation", np.zeros(0)))
        last = trainer.averaged_model(state)
        model = last if watch is None else watch.chosen(best, last)
        model = model if units is None else units.restored(model)
        return Fit(
            energy=model.energy,
            learned=model.learned,
            history=history,
            state=state,
            stopped_early=step < num_steps,
            objective=objective,
            data=examples,
            units=units,
            transform=transform,
        )


def _units(energy: Any, data: Any) -> Units:
    """The units of a data set that an energy on all reals is to learn."""
    as_energy = isinstance(energy, AbstractEnergy)
    if not (as_energy and same_support(energy.support, real_support(energy.event_shape))):
        raise ValueError(
            "`standardise` must be False but for an energy on all reals without a condition; got "
            f"{type(energy).__name__}."
        )
    if spans(data):
        raise ValueError(
            "`standardise` must be False for data that lie on the devices of several processes, since "
            "means are taken in double precision by one; standardise the numbers before they are shared "
            "out."
        )
    with jax.enable_x64(True):  # reads the data as they are, and refuses what is no data set
        as_batch(energy, data)
    return Units.of(data, energy.event_shape)


def _check_transform(transform: Any, standardise: bool) -> None:
    """Refuse what is no function, and one that would be given points in other units than it expects."""
    if transform is None:
        return
    if not callable(transform):
        raise ValueError(
            f"`transform` must be a function of a random key and points, or None; got {transform!r}."
        )
    if standardise:
        raise ValueError(
            "`transform` must be None with `standardise=True`, which changes the units of the points; got "
            f"{transform!r}. Standardise the data yourself, and write the transform in those units."
        )


def _check_kinds(
    energy: Any, objective: Any, optimizer: Any, validation: Any, checkpoint: Any, callback: Any
) -> None:
    """Refuse what is easily given in place of something else, such as a class or a number."""
    kinds = (AbstractEnergy, AbstractConditionalEnergy)
    check_instance("energy", energy, kinds, "an energy; `energies.from_callable` makes one")
    check_instance("objective", objective, AbstractObjective, _objective_bound(objective))
    transformations = (optax.GradientTransformation, optax.MultiSteps)
    check_instance("optimizer", optimizer, transformations, "an Optax transformation")
    check_instance("validation", validation, (Validation, type(None)), "a `Validation` or None")
    check_instance("checkpoint", checkpoint, (Checkpoint, type(None)), "a `Checkpoint` or None")
    bound = "a `Callback(function, every=...)` or None"
    check_instance("callback", callback, (Callback, type(None)), bound)


def _objective_bound(objective: Any) -> str:
    """What an objective must be, said to whoever gave something else."""
    if isinstance(objective, type) and issubclass(objective, AbstractObjective):
        return f"an objective and not its class: call it, as in `{objective.__name__}(...)`"
    ours = [
        kind
        for kind in AbstractObjective.__subclasses__()
        if kind.__module__.startswith("ebm_ppl.trainers.")
    ]
    names = ", ".join(sorted(kind.__name__ for kind in ours))
    return f"an objective, one of {names}, or one of your own"


def _checked_num_steps(num_steps: int | None, num_epochs: int | None, steps_per_epoch: int) -> int:
    if (num_steps is None) == (num_epochs is None):
        raise ValueError(
            "Exactly one of `num_steps` and `num_epochs` must be given; got "
            f"{'neither' if num_steps is None else 'both'}."
        )
    if num_epochs is not None:
        check_count("num_epochs", num_epochs)
        return num_epochs * steps_per_epoch
    check_count("num_steps", num_steps)
    return int(num_steps)  # pyright: ignore[reportArgumentType]  # checked above


def _summary(metrics: dict[str, np.ndarray]) -> str:
    """The means over the last chunk, for the progress bar."""
    shown = {"loss": "loss", "energy_gap": "energy gap", "gradient_norm": "gradient norm"}
    means = {label: metrics[name].mean() for name, label in shown.items() if name in metrics}
    return ", ".join(f"{label} {value:.3g}" for label, value in means.items())
