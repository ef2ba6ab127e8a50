"""The run: warm-up, then one compiled chunk after the other."""

import contextlib
import copy
import dataclasses
import os
from collections.abc import Mapping
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer.mcmc import MCMCKernel
from tqdm.auto import tqdm

from ebm_ppl._checks import check_count, check_flag, check_instance, check_key
from ebm_ppl._numpyro import is_prng_key
from ebm_ppl._processes import ALONE, check_layout, on_host, spans, together, tree_on_host
from ebm_ppl._shared_jit import SharedJit
from ebm_ppl._types import PRNGKey
from ebm_ppl.samplers import KernelState, ReplicaExchangeState
from ebm_ppl.samplers._numpyro import AbstractModelKernel
from ebm_ppl.streaming._base import AbstractReduction
from ebm_ppl.streaming._sink import folder_of_draws
from ebm_ppl.streaming._summary import Summary


@dataclasses.dataclass(frozen=True)
class StreamedRun:
    """What a run leaves.

    Attributes:
        results: The result of each reduction, by its name.
        last_state: State of the kernel after the last step, from which a later run can go on.
        num_chains: Number of chains.
        num_samples: Number of draws of each chain that were reduced.
        num_diverging: Number of steps that the kernel flagged as divergent after warm-up; 0 if it
            flags none.
    """

    results: dict[str, Any]
    last_state: Any
    num_chains: int
    num_samples: int
    num_diverging: int


def stream(
    kernel: MCMCKernel,
    rng_key: PRNGKey | None = None,
    *,
    num_samples: int,
    num_warmup: int = 0,
    num_chains: int | None = None,
    thinning: int = 1,
    init_params: Any = None,
    model_args: tuple[Any, ...] = (),
    model_kwargs: Mapping[str, Any] | None = None,
    state: Any = None,
    reductions: Mapping[str, Any] | None = None,
    path: str | os.PathLike[str] | None = None,
    chunk_size: int | None = None,
    progress_bar: bool = True,
) -> StreamedRun:
    """Run chains of any length in the memory of one chunk.

    `numpyro.infer.MCMC` keeps every draw on the device. Here chains advance chunk by chunk; of each chunk
    the reductions keep what they need, and `path` takes the draws themselves, if they are wanted. All
    chains run as one batch in compiled loops, one for warm-up and one for a chunk (two, for chunks of two
    lengths, where no number near the root divides `num_samples`). Nothing of warm-up runs after it.

    Args:
        kernel: A kernel of NumPyro or of this package that runs vectorised chains.
        rng_key: Random key. With `state` it takes the place of the state's own, which goes on by default.
        num_samples: Number of draws of each chain.
        num_warmup: Number of steps of warm-up, which are not counted among the draws.
        num_chains: Number of chains; 1 by default, and with `state` as many as it has.
        thinning: Number of steps from one draw to the next.
        init_params: Initial unconstrained positions with a leading axis over chains; needed for kernels
            made with `potential_fn`.
        model_args: Arguments of the model.
        model_kwargs: Keyword arguments of the model.
        state: `last_state` of an earlier run with such a kernel, to go on from, with the same arguments of
            the model or others.
        reductions: An `AbstractReduction` for each thing to keep, by name; `{"summary": Summary()}` by
            default.
        path: Folder to make for the draws: a NumPy file of shape `(chains, samples, ...)` for each site,
            `draws.npy` where a draw is an array; a `/` in a site's name makes a folder. It is there once
            it is whole. Its place and, where the disk can reserve it, its space are taken before the first
            step.
        chunk_size: Largest number of draws of each chain in a chunk; the root of half of `num_samples` by
            default. The errors in `Summary` rest on the means of chunks.
        progress_bar: Whether to show progress, chunk by chunk.

    Returns:
        The results and the last state.

    Raises:
        ValueError: If an argument is outside its bounds, `path` exists, a chain would be longer than
            $2^{30}$ steps, which are counted in 32 bits (those of its inner kernel for `ReplicaExchange`),
            `state` is none of vectorised chains, or it comes with `num_warmup`, `init_params` or another
            `num_chains`.
        OSError: If `path` cannot be written, or another process is writing it.
        ProcessFailedError: If chains lie on devices of several processes, and another of them has failed.

    Examples:
        >>> import jax
        >>> import ebm_ppl as ebm
        >>> from ebm_ppl.streaming import Histogram, Summary, stream
        >>> energy = ebm.energies.DoubleWell(dim=2)
        >>> run = stream(
        ...     ebm.ChEESHMC(ebm.as_model(energy)),
        ...     jax.random.key(0),
        ...     num_warmup=200,
        ...     num_samples=2_000,
        ...     num_chains=64,
        ...     reductions={"moments": Summary(), "marginals": Histogram(-3.0, 3.0, 60)},
        ...     progress_bar=False,
        ... )
        >>> run.results["moments"]["x"].mean.shape, run.results["marginals"]["x"].counts.shape
        ((2,), (2, 60))
    """
    check_instance("kernel", kernel, MCMCKernel, "a kernel of NumPyro or of this package")
    check_count("num_samples", num_samples, 2)
    check_count("num_warmup", num_warmup, 0)
    if num_chains is not None:
        check_count("num_chains", num_chains, 1)
    check_count("thinning", thinning, 1)
    check_flag("progress_bar", progress_bar)
    if chunk_size is None:
        chunk_size = max(1, round((num_samples / 2) ** 0.5))
    check_count("chunk_size", chunk_size, 1)
    reductions = {"summary": Summary()} if reductions is None else reductions
    check_instance("reductions", reductions, Mapping, "a mapping from names to reductions")
    for name, reduction in reductions.items():
        check_instance(f"reductions[{name!r}]", reduction, AbstractReduction, "a reduction")
    model_kwargs = {} if model_kwargs is None else dict(model_kwargs)
    # What kernels of NumPyro keep from an earlier `init` is no good for this one; copies leave it behind.
    kernel = copy.copy(kernel)
    run = _Run(kernel, reductions, path is not None, thinning, model_args, model_kwargs)
    if rng_key is not None or state is None:
        check_key("rng_key", rng_key)
    inputs = {"init_params": init_params, "state": state, "model_args": (model_args, model_kwargs)}
    for name, tree in inputs.items():
        check_layout(name, tree)
    lengths = _chunks(num_samples, chunk_size)
    totals: dict[str, Any] = dict.fromkeys(reductions)
    num_diverging = start = 0
    with contextlib.ExitStack() as stack:
        processes = stack.enter_context(together(stream.__name__, inputs))
        processes.check_alike(
            num_samples=num_samples,
            num_warmup=num_warmup,
            num_chains=num_chains,
            thinning=thinning,
            chunk_size=chunk_size,
            progress_bar=bool(progress_bar),
            path=None if path is None else os.fspath(path),
        )
        processes.check_copies(rng_key=rng_key, model_args=inputs["model_args"])
        if state is None:
            num_chains = num_chains or 1
            keys = jax.random.split(cast(PRNGKey, rng_key), num_chains)
            state = kernel.init(keys, num_warmup, init_params, model_args, model_kwargs)
        elif num_warmup or init_params is not None:
            raise ValueError(
                "`state` goes on from a run: give neither `num_warmup` nor `init_params`."
            )
        else:
            state, num_chains = _resumed(kernel, state, rng_key, num_chains)
            state = _refreshed(kernel, state, model_args, model_kwargs)
        if processes is ALONE:  # but the kernel may hold an energy that spans processes
            processes = stack.enter_context(together(stream.__name__, state))
        processes.check_copies(kernel=state)
        num_steps = num_warmup + num_samples * thinning
        most_steps = _MOST_STEPS // getattr(kernel, "iterations_per_step", 1)
        if int(np.max(on_host(getattr(state, "i", 0)))) + num_steps > most_steps:
            raise ValueError(
                f"Chains must be of at most {most_steps} steps in all; got {num_steps} more, with "
                "warm-up."
            )
        # Chunks write over the state that they are given; others may have it, or it holds an array twice.
        state = jax.tree.map(jnp.copy, state)
        write = None
        if path is not None and processes.is_first:
            like = run.draws_like(state, lengths[0])
            write = stack.enter_context(folder_of_draws(path, num_samples, like))
        processes.agree(None)  # the place for draws is taken
        is_hidden = not (progress_bar and processes.is_first)
        bar = stack.enter_context(tqdm(total=num_steps, disable=is_hidden, unit="step"))
        for first in range(0, num_warmup, _WARMUP_CHUNK):
            count = min(_WARMUP_CHUNK, num_warmup - first)
            state = run.warm_up(state, count)
            _show(bar, kernel, state, count, progress_bar)
        for number, length in enumerate(lengths):
            state, partials, diverging, draws = run.chunk(state, length)
            partials, diverging = tree_on_host((partials, diverging))
            draws = tree_on_host(draws) if spans(draws) else draws
            is_second_half = number >= len(lengths) // 2
            for name, reduction in reductions.items():
                totals[name] = reduction.merge(totals[name], partials[name], is_second_half)
            if write is not None:
                write(draws, start)
            num_diverging, start = num_diverging + int(diverging), start + length
            processes.agree(None)  # none has failed to merge or to write
            _show(bar, kernel, state, length * thinning, progress_bar)
    if isinstance(state, (KernelState, ReplicaExchangeState)) and state.health is not None:
        state.health.report((__name__, stream.__name__))
    results = {name: reduction.result(totals[name]) for name, reduction in reductions.items()}
    return StreamedRun(results, state, num_chains, num_samples, num_diverging)


_WARMUP_CHUNK = 100
_MOST_STEPS = 2**30


def _resumed(
    kernel: MCMCKernel, state: Any, rng_key: PRNGKey | None, num_chains: int | None
) -> tuple[Any, int]:
    """A state to go on from, with another key if there is one, and its number of chains."""
    if not (hasattr(state, "rng_key") and hasattr(state, kernel.sample_field)):
        raise ValueError(
            f"`state` must be the last state of a run with such a kernel; got {state!r}."
        )
    if is_prng_key(state.rng_key) or np.ndim(getattr(state, "iteration", 0)) > 0:
        raise ValueError(
            "`state` must be of vectorised chains; got that of one chain, or of chains run one by one."
        )
    found = len(jax.tree.leaves(getattr(state, kernel.sample_field))[0])
    if num_chains not in (None, found):
        raise ValueError(f"`num_chains` must be that of `state`, {found}; got {num_chains}.")
    if rng_key is not None:
        state = state._replace(rng_key=jax.random.split(rng_key, found))
    return state, found


def _refreshed(
    kernel: MCMCKernel, state: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]
) -> Any:
    """The state with what it keeps of the potential evaluated anew: the model may have other arguments.

    The kernel, which may be new, is made ready to sample.
    """
    position = getattr(state, kernel.sample_field)
    fresh = kernel.init(state.rng_key, 0, position, model_args, model_kwargs)
    if isinstance(kernel, AbstractModelKernel):
        return kernel.refresh(state, model_args, model_kwargs)
    kept = {"potential_energy", "z_grad"}.intersection(getattr(state, "_fields", ()))
    return state._replace(**{name: getattr(fresh, name) for name in kept})


def _chunks(num_samples: int, chunk_size: int) -> list[int]:
    """Lengths of chunks, an even number of them, all alike if that takes at most twice as many."""
    fewest = min(2 * -(-num_samples // (2 * chunk_size)), num_samples // 2 * 2)
    number = next((n for n in range(fewest, 2 * fewest + 1, 2) if num_samples % n == 0), fewest)
    ends = np.arange(number + 1) * num_samples // number
    return np.diff(ends).tolist()


def _show(bar: Any, kernel: MCMCKernel, state: Any, count: int, is_shown: bool) -> None:
    if is_shown:
        one = state if kernel.is_ensemble_kernel else jax.tree.map(lambda leaf: leaf[0], state)
        bar.set_postfix_str(kernel.get_diagnostics_str(one), refresh=False)
        bar.update(count)


class _Run:
    """The compiled parts of a run."""

    def __init__(
        self,
        kernel: MCMCKernel,
        reductions: Mapping[str, AbstractReduction],
        returns_draws: bool,
        thinning: int,
        model_args: tuple[Any, ...],
        model_kwargs: Mapping[str, Any],
    ) -> None:
        self._kernel = kernel
        self._reductions = reductions
        self._returns_draws = returns_draws
        self._thinning = thinning
        self._data, self._constants = eqx.partition((model_args, model_kwargs), eqx.is_array)
        self._warm_up = SharedJit(self._take_steps, donated=0)
        self._chunk = SharedJit(self._take_chunk, donated=0)

    def warm_up(self, state: Any, count: int) -> Any:
        """The state after a number of steps."""
        return self._warm_up(state, self._data, jnp.asarray(count))

    def chunk(self, state: Any, length: int) -> tuple[Any, dict[str, Any], Any, Any]:
        """The state after a chunk, what reductions make of it, its divergences, and its draws if wanted."""
        return self._chunk(state, self._data, length)

    def draws_like(self, state: Any, length: int) -> Any:
        """Shapes and dtypes of the draws of a chunk."""

        def draws(state: Any, data: Any) -> Any:
            return self._take_chunk(state, data, length)[3]

        return jax.eval_shape(draws, state, self._data)

    def _take_steps(self, state: Any, data: Any, count: Any) -> Any:
        inputs = eqx.combine(data, self._constants)

        def step(_: Any, state: Any) -> Any:
            return self._kernel.sample(state, *inputs)

        return jax.lax.fori_loop(0, count, step, state)

    def _take_chunk(
        self, state: Any, data: Any, length: int
    ) -> tuple[Any, dict[str, Any], Any, Any]:
        inputs = eqx.combine(data, self._constants)

        def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
            state, diverging = carry
            state = self._kernel.sample(state, *inputs)
            return (state, diverging + jnp.sum(getattr(state, "diverging", 0))), None

        def advance(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], Any]:
            carry = jax.lax.scan(step, carry, None, length=self._thinning)[0]
            return carry, getattr(carry[0], self._kernel.sample_field)

        carry, draws = jax.lax.scan(advance, (state, jnp.asarray(0)), None, length=length)
        draws = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), draws)
        draws = jax.vmap(jax.vmap(self._kernel.postprocess_fn(*inputs)))(draws)
        partials = {
            name: reduction.partial(jax.vmap(jax.vmap(reduction.of))(draws))
            for name, reduction in self._reductions.items()
        }
        return carry[0], partials, carry[1], draws if self._returns_draws else None
