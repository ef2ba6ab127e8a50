"""One of the processes of `test_distributed`: what it is told to do, over the two devices of all together."""

import os
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from numpyro.infer import MCMC, NUTS

import ebm_ppl as ebm
from ebm_ppl import _processes
from ebm_ppl.energies import Banana, Ising, NeuralEnergy
from ebm_ppl.streaming import Covariance, Histogram, Summary, stream

CHAINS, STEPS = 8, 12
_processes._GRACE = 2.0  # seconds


def shared(array):
    """The rows of an array, half on either device."""
    mesh = jax.make_mesh((2,), ("rows",), axis_types=(AxisType.Auto,))
    return jax.device_put(array, NamedSharding(mesh, PartitionSpec("rows")))


def starts():
    points = np.random.default_rng(0).normal(size=(CHAINS, 2)).astype(np.float32)
    return {"x": shared(points)}


def mala(target_accept_prob=0.574):
    return ebm.MALA(ebm.as_model(Banana()), target_accept_prob=target_accept_prob)


def gathered(tree):
    return [_processes.on_host(leaf) for leaf in jax.tree.leaves(tree)]


def kernels(_):
    model = ebm.as_model(Banana())
    made = [ebm.MALA(model), ebm.ChEESHMC(model), ebm.MAMS(model), NUTS(model)]
    return gathered([drawn(kernel, starts()) for kernel in made] + [spins()])


def drawn(kernel, init_params):
    mcmc = MCMC(
        kernel,
        num_warmup=STEPS,
        num_samples=STEPS,
        num_chains=CHAINS,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.key(0), init_params=init_params)
    draws = mcmc.get_samples(group_by_chain=True)["x"]
    assert draws.sharding.spec[0] == "rows"
    return draws


def spins():
    """Of a kernel that looks whether all chains start inside the support."""
    bits = np.random.default_rng(1).integers(0, 2, size=(CHAINS, 9))
    kernel = ebm.BlockGibbs(ebm.as_model(Ising((3, 3), coupling=0.2)))
    return drawn(kernel, {"x": shared(2 * bits.reshape(CHAINS, 3, 3).astype(np.float32) - 1)})


def streams(folder):
    run = stream(
        mala(),
        jax.random.key(1),
        num_warmup=STEPS,
        num_samples=STEPS,
        num_chains=CHAINS,
        init_params=starts(),
        reductions={
            "summary": Summary(),
            "histogram": Histogram(-3.0, 3.0, 6),
            "covariance": Covariance(of=lambda draw: draw["x"]),
        },
        path=folder / "draws",
    )
    again = stream(mala(), num_samples=STEPS, state=run.last_state, progress_bar=False)
    drawn = np.load(folder / "draws" / "x.npy")
    assert np.array_equal(drawn[:, -1], gathered(run.last_state.z)[0])
    # This kernel runs over two devices since its energy does.
    loc = jax.jit(lambda x: x["x"].mean(axis=0))(starts())
    closed = ebm.MALA(ebm.as_model(ebm.energies.Gaussian(loc, jnp.eye(2))))
    alone = stream(closed, jax.random.key(2), num_samples=STEPS, num_chains=2, progress_bar=False)
    return [
        *jax.tree.leaves((run.results, again.results, alone.results)),
        np.asarray(run.num_diverging),
        drawn,
    ]


def fits(folder):
    data = shared(np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32))
    start = NeuralEnergy((2,), rng_key=jax.random.key(5), width=8, depth=2)
    objective, optimizer = ebm.PersistentCD(num_steps=2), optax.adam(1e-2)
    validation = ebm.Validation(fraction=0.25, every=4, metric=mean_energy, patience=9)

    def fit(num_steps, **options):
        return ebm.fit(
            start,
            data,
            objective,
            optimizer,
            num_steps=num_steps,
            batch_size=32,
            validation=validation,
            rng_key=jax.random.key(0),
            **options,
        )

    whole = fit(STEPS)
    checkpoint = ebm.Checkpoint(folder / "fit.ckpt", every=2)
    fit(STEPS // 2, checkpoint=checkpoint, progress_bar=False)
    resumed = fit(STEPS, checkpoint=checkpoint, progress_bar=False)
    for one, other in zip(gathered(whole.energy), gathered(resumed.energy), strict=True):
        assert np.array_equal(one, other)
    ebm.save_energy(whole.energy, folder / "model.ebm")
    estimate = ebm.partition.annealed_importance_sampling(
        ebm.energies.Gaussian(jnp.mean(data, axis=0), jnp.eye(2)), jax.random.key(7), num_chains=16
    )
    errors = ebm.fit(
        ebm.energies.Gaussian(jnp.zeros(2), jnp.eye(2)),
        data,
        ebm.ScoreMatching(),
        optax.sgd(0.1),
        num_steps=1,
        rng_key=jax.random.key(0),
        progress_bar=False,
    ).standard_errors()
    return [
        *gathered(whole.energy),
        *whole.history.values(),
        np.asarray(estimate.log_z),
        *gathered(errors),
    ]


def mean_energy(model, batch):
    return jnp.mean(jax.vmap(model.energy)(batch.x))


class Breaking(Summary):
    def merge(self, total, partial, is_second_half):
        if jax.process_index() == 1:
            raise MemoryError("no room")
        return super().merge(total, partial, is_second_half)


def small_stream(rng_key=0, **options):
    if "init_params" not in options:  # to share them out is a step that all processes have to take
        options["init_params"] = starts()
    stream(mala(), jax.random.key(rng_key), num_samples=4, num_chains=CHAINS, **options)


def small_fit(data, **options):
    energy = ebm.energies.Gaussian(jnp.zeros(2), jnp.eye(2))
    settings = {"num_steps": 2, "rng_key": jax.random.key(0), "progress_bar": False} | options
    ebm.fit(energy, data, ebm.ScoreMatching(), optax.sgd(0.1), **settings)


def breaks_in_a_reduction(_):
    small_stream(reductions={"summary": Breaking()})


def breaks_for_want_of_a_folder(folder):
    small_stream(path=folder / "missing" / "draws")


def breaks_for_want_of_a_place(folder):
    place = ebm.Checkpoint(folder / "fit.ckpt")
    object.__setattr__(place, "path", folder / "missing" / "fit.ckpt")
    small_fit(shared(np.arange(16, dtype=np.float32).reshape(8, 2)), checkpoint=place)


def breaks_amid_a_program(_):
    points = starts()
    with _processes.together("program", points) as processes:
        processes.agree(None)
        if jax.process_index() == 1:
            raise MemoryError("no room")
        jax.block_until_ready(jax.jit(lambda x: x["x"].sum())(points))


def differs_in_keys(_):
    small_stream(rng_key=jax.process_index())


def differs_in_settings(_):
    small_stream(progress_bar=jax.process_index() == 0)


def differs_in_calls(folder):
    points = starts()
    energy = ebm.energies.Gaussian(points["x"].mean(axis=0), jnp.eye(2))
    if jax.process_index() == 0:
        ebm.save_energy(energy, folder / "model.ebm")
    else:
        small_stream(init_params=points)


def asks_for_units(_):
    small_fit(shared(np.arange(16, dtype=np.float32).reshape(8, 2)), standardise=True)


def has_a_bad_row(_):
    data = shared(np.arange(16, dtype=np.float32).reshape(8, 2))
    small_fit(jnp.where(data < 10, data, jnp.nan))


def starts_outside(_):
    bits = np.r_[np.ones((5, 3, 3)), np.zeros((3, 3, 3))].astype(np.float32)
    drawn(ebm.BlockGibbs(ebm.as_model(Ising((3, 3), coupling=0.2))), {"x": shared(bits)})


def main(work, index, count, port, folder):
    if count > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(
            coordinator_address=f"127.0.0.1:{port}", num_processes=count, process_id=index
        )
    assert len(jax.devices()) == 2
    found = globals()[work](pathlib.Path(folder))
    np.savez(os.path.join(folder, f"found{index}.npz"), *found)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5])
