"""Draws of an energy for a file: NetCDF for ArviZ, or CSV."""

import csv
import io
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence

import h5netcdf
import jax
import numpy as np
from numpyro.infer import MCMC, NUTS
from numpyro.infer.mcmc import MCMCKernel

from ebm_ppl import MALA, BlockGibbs, ChEESHMC, GibbsWithGradients, ReplicaExchange, as_model
from ebm_ppl._files import write_bytes
from ebm_ppl._text import printable
from ebm_ppl.cli.fitting.names import quoted
from ebm_ppl.energies import AbstractEnergy, AffineEnergy
from ebm_ppl.trainers import Units

REPLICA_EXCHANGE = "replica-exchange"

CONTINUOUS: Mapping[str, Callable[..., MCMCKernel]] = {
    REPLICA_EXCHANGE: lambda model: ReplicaExchange(NUTS(model)),
    "nuts": NUTS,
    "mala": MALA,
    "chees-hmc": ChEESHMC,
}
DISCRETE: Mapping[str, Callable[..., MCMCKernel]] = {
    "gibbs-with-gradients": GibbsWithGradients,
    "block-gibbs": BlockGibbs,
}

LARGEST_RHAT = 1.01
"""Above it chains disagree (Vehtari et al. 2021)."""

_CSV_BYTES, _NETCDF_BYTES = 20, 8
"""Of one number in double precision."""

_ROUNDS = 5
"""Rounds of exchanges between two draws. Between the two modes of iris petals, of which each third draw is
from one, four chains of 1000 draws are worth 400 to 600 independent ones with one round, 1000 with five."""


def draw(
    energy: AbstractEnergy,
    kernel: str | None,
    num_samples: int,
    num_warmup: int,
    num_chains: int,
    seed: int,
) -> np.ndarray:
    """Run a kernel on an energy.

    Args:
        energy: The energy.
        kernel: A key of `CONTINUOUS`, or of `DISCRETE` for an energy of discrete points; the first of its
            kind if `None`.
        num_samples: Draws of each chain.
        num_warmup: Warm-up steps of each chain.
        num_chains: Number of chains, run as one batch.
        seed: Seed of all random keys.

    Returns:
        The draws, shape `(num_chains, num_samples, dim)`.

    Raises:
        ValueError: If the kernel is not for this energy.
    """
    is_discrete = energy.support.is_discrete
    kernels = DISCRETE if is_discrete else CONTINUOUS
    name = next(iter(kernels)) if kernel is None else kernel
    if name not in kernels:
        raise ValueError(
            f"`kernel` must be one of {', '.join(kernels)}, for {type(energy).__name__} has "
            f"{'discrete' if is_discrete else 'continuous'} points; got {name!r}."
        )
    # In standard units: floats do not resolve a spread of 1 beside an offset of 1e8.
    inner = energy.energy if isinstance(energy, AffineEnergy) else energy
    thinning = _ROUNDS if name == REPLICA_EXCHANGE else 1
    mcmc = MCMC(
        kernels[name](as_model(inner)),
        num_warmup=num_warmup,
        num_samples=thinning * num_samples,
        thinning=thinning,
        num_chains=num_chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.key(seed))
    draws = np.asarray(mcmc.get_samples(group_by_chain=True)["x"])
    if isinstance(energy, AffineEnergy):
        draws = Units.within(energy).restore(draws)
    return draws.reshape(num_chains, num_samples, -1)


def by_column(draws: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Draws under the names of their columns.

    Args:
        draws: The draws, shape `(num_chains, num_samples, dim)`.
        names: Names of the columns, no two alike.
    """
    return {name: draws[:, :, k] for k, name in enumerate(names)}


def doubt(rhat: Mapping[str, float], kernel: str | None, is_discrete: bool) -> str | None:
    """What is wrong with draws, and what would mix; `None` if R-hat has nothing against them.

    Args:
        rhat: R-hat of each column.
        kernel: The kernel; `None` for the default one.
        is_discrete: Whether points are discrete.
    """
    bad = {name: value for name, value in rhat.items() if not value <= LARGEST_RHAT}
    if not bad:
        return None
    name = max(bad, key=lambda name: math.inf if math.isnan(bad[name]) else bad[name])
    crosses = is_discrete or kernel in (None, REPLICA_EXCHANGE)
    other = "Raise" if crosses else f"`--kernel {REPLICA_EXCHANGE}` crosses between modes; or raise"
    return (
        f"The chains disagree: R-hat of {name} is {bad[name]:.3g}, above {LARGEST_RHAT}, so the draws do not "
        f"show the energy's law. {other} `--num-warmup` and `--num-samples`."
    )


def size_of(num_values: int, path: pathlib.Path) -> int:
    """Bytes that so many draws take in a file, about.

    Args:
        num_values: Number of draws of all chains and columns.
        path: The file.
    """
    return num_values * (_CSV_BYTES if path.suffix == ".csv" else _NETCDF_BYTES)


def write_draws(
    by_name: Mapping[str, np.ndarray], path: pathlib.Path, long_names: Sequence[str]
) -> None:
    """Write draws, whole or not at all.

    Args:
        by_name: The draws of each column, shape `(num_chains, num_samples)`, by names that a file can hold.
        path: The file; a name that ends in `.csv` asks for CSV, anything else for NetCDF.
        long_names: What the columns are called, of which NetCDF takes a note.
    """
    is_csv = path.suffix == ".csv"
    write_bytes(path, _as_csv(by_name) if is_csv else _as_netcdf(by_name, long_names))


def _as_csv(by_name: Mapping[str, np.ndarray]) -> bytes:
    num_chains, num_samples = next(iter(by_name.values())).shape
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["chain", "draw", *map(quoted, by_name)])
    for chain in range(num_chains):
        for index in range(num_samples):
            row = [repr(float(values[chain, index])) for values in by_name.values()]
            writer.writerow([chain, index, *row])
    return buffer.getvalue().encode()


def _as_netcdf(by_name: Mapping[str, np.ndarray], long_names: Sequence[str]) -> bytes:
    """The posterior group of a NetCDF file, as ArviZ lays it out, without ArviZ: draws are saved first."""
    buffer = io.BytesIO()
    num_chains, num_samples = next(iter(by_name.values())).shape
    with h5netcdf.File(buffer, "w") as file:
        group = file.create_group("posterior")
        group.attrs["inference_library"] = "ebm_ppl"
        for name, size in (("chain", num_chains), ("draw", num_samples)):
            group.dimensions[name] = size
            group.create_variable(name, (name,), data=np.arange(size))
        for long_name, (name, values) in zip(long_names, by_name.items(), strict=True):
            variable = group.create_variable(name, ("chain", "draw"), data=np.asarray(values))
            variable.attrs["long_name"] = printable(long_name)
    return buffer.getvalue()
