"""NumPyro's `MCMC`, whose runs share compiled programs and can be interrupted between two looks at them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.infer
from tqdm.auto import tqdm

from ebm_ppl._checks import is_traced
from ebm_ppl._fields import check_fields
from ebm_ppl._numpyro import (
    MCMC_READS,
    MODELS,
    collect_and_postprocess,
    in_turn,
    is_prng_key,
    progress_phase,
)
from ebm_ppl._processes import spans
from ebm_ppl.samplers._numpyro import CompiledOnce


class MCMC(numpyro.infer.MCMC):
    """NumPyro's `MCMC` for processes that run many: equal runs share one compiled program.

    `numpyro.infer.MCMC` compiles a program for each kernel object and keeps it as long as the process lives,
    some ten to twenty megabytes and up to six hundred mappings of memory each, of which Linux grants 65,530.
    Here a kernel that is made again, for an energy with other parameters of the same shapes or a model with
    other data of the same shapes, costs the time of tracing it, and no memory. The 64 programs that were
    used last are kept.

    Arguments, methods and draws are those of NumPyro, for its kernels as for ours. A progress bar costs
    next to nothing: chains come back to Python for it once in `progress_rate` steps, by default 20 times;
    where they span processes the first shows it. Chains that run on several devices by
    `chain_method="parallel"`, or under a transformation of JAX, run as by NumPyro.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> import ebm_ppl as ebm
        >>> for a in (1.0, 2.0):  # the second run compiles nothing
        ...     mcmc = ebm.MCMC(
        ...         ebm.MALA(ebm.as_model(ebm.energies.Quartic(a=jnp.array(a)))),
        ...         num_warmup=100,
        ...         num_samples=100,
        ...         num_chains=4,
        ...         chain_method="vectorized",
        ...         progress_bar=False,
        ...     )
        ...     mcmc.run(jax.random.key(0))
        >>> mcmc.get_samples()["x"].shape
        (400,)
    """

    def __init__(self, sampler: Any, **settings: Any) -> None:
        super().__init__(sampler, **settings)
        self._program = CompiledOnce(donated=1)

    def _single_chain_mcmc(
        self,
        init: tuple[Any, Any, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        collect_fields: tuple[str, ...],
        remove_sites: tuple[str, ...],
    ) -> tuple[dict[str, Any], Any]:
        """Run one chain, or all as a batch: the draws by field, and the last state."""
        if is_traced((init, args, kwargs)):
            return super()._single_chain_mcmc(init, args, kwargs, collect_fields, remove_sites)
        rng_key, state, init_params = init
        if state is None or getattr(self.sampler, MCMC_READS, None) is None:
            fresh = in_turn(self.sampler.init)(
                rng_key, self.num_warmup, init_params, model_args=args, model_kwargs=kwargs
            )
            state = fresh if state is None else state
        check_fields(state, collect_fields)
        sample, postprocess = self._get_cached_fns()
        with MODELS:  # NumPyro keeps the last of these functions, for all threads
            collect = collect_and_postprocess(postprocess, collect_fields, remove_sites)

        def advance(
            carried: Any, draws: Any, first: Any, last: Any, start: Any, thinning: Any
        ) -> tuple[Any, Any]:
            def step(number: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
                carried, draws = carry
                carried = in_turn(sample)(carried)
                index = (number - start) // thinning
                return carried, _with_row(draws, index, in_turn(collect)(carried))

            return jax.lax.fori_loop(first, last, step, (carried, draws))

        carried = (state, args, kwargs) if self._jit_model_args else (state,)
        program = self._program(advance, (sample, collect))
        carried, draws = self._run(
            program, carried, in_turn(collect)(carried), is_prng_key(rng_key)
        )
        fields = draws if len(collect_fields) > 1 else (draws,)
        return dict(zip(collect_fields, fields, strict=True)), carried[0]

    def _run(self, advance: Any, carried: Any, draw: Any, is_one_chain: bool) -> tuple[Any, Any]:
        """Advance from one look at the chains to the next."""
        lower, upper = self._collection_params["lower"], self._collection_params["upper"]
        size = self._collection_params["collection_size"]
        size = (upper - lower if size is None else size) // self.thinning
        # The product has the placement of the draw on several devices.
        draws = jax.tree.map(lambda x: jnp.zeros((size, *jnp.shape(x)), x.dtype) * x[None], draw)
        where = lower + (upper - lower) % self.thinning, self.thinning
        rate = self.progress_rate or max(1, upper // 20)
        piece = rate if self.progress_bar else max(1, upper)
        has_diagnostics = is_one_chain or self.sampler.is_ensemble_kernel
        is_elsewhere = spans(carried) and jax.process_index() > 0
        with tqdm(total=upper, disable=is_elsewhere or not self.progress_bar) as bar:
            for first in range(0, upper, piece):
                last = min(first + piece, upper)
                bounds = (jnp.asarray(number) for number in (first, last, *where))
                carried, draws = advance(carried, draws, *bounds)
                if self.progress_bar:
                    phase = progress_phase(lower, self._collection_params["phase"], last - 1)
                    bar.set_description(phase, refresh=False)
                    if has_diagnostics:
                        text = self.sampler.get_diagnostics_str(carried[0])
                        bar.set_postfix_str(text, refresh=False)
                    bar.update(last - first)
        return carried, draws


def _with_row(draws: Any, index: Any, draw: Any) -> Any:
    """Draws with one more in its place; before the first of them there is none."""

    def put(rows: jax.Array, row: jax.Array) -> jax.Array:
        return rows.at[jnp.where(index < 0, len(rows), index)].set(row, mode="drop")

    return jax.tree.map(put, draws, draw)
