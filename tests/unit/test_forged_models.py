"""Model files of strangers: refused in one line before anything is made of what they claim, or sound."""

import dataclasses
import os
import time
import tracemalloc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ebm_ppl as ebm
from ebm_ppl import UnreadableFileError, energies
from ebm_ppl.serialization import load_metadata
from ebm_ppl.serialization._container import MOST_ARRAYS, pack
from ebm_ppl.serialization._tree import encode
from tests.unit.forgeries import HONEST, REGRESSION, evaluated, forged, honest, sealed


def refused(path, reason="holds|is nested"):
    with pytest.raises(UnreadableFileError, match=reason) as error:
        ebm.load_energy(path)
    message = str(error.value).replace(str(path), "")
    assert message.isprintable()
    assert len(message) < 200
    return message


def write(tmp_path, tree, arrays=(), **header):
    path = tmp_path / "model.ebm"
    path.write_bytes(pack({"energy": tree, "metadata": {}, **header}, list(arrays)))
    return path


# That all examples write to one folder is no harm: each replaces the file of the one before.
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_forged_file_is_refused_in_one_line_or_sound(tmp_path, data):
    path = tmp_path / "model.ebm"
    path.write_bytes(forged(lambda below: data.draw(st.integers(0, below - 1))))
    try:
        energy = ebm.load_energy(path)
    except UnreadableFileError:
        refused(path)
    else:
        value = evaluated(energy)
        assert value.shape == ()
        assert jnp.issubdtype(value.dtype, jnp.floating)


@pytest.mark.parametrize("energy", HONEST, ids=lambda energy: type(energy).__name__)
def test_every_array_of_another_kind_or_shape_is_refused(tmp_path, energy):
    tree, arrays = honest(energy)[0]["energy"], honest(energy)[1]
    accepted = []
    for number, array in enumerate(arrays):
        other_kind = np.float32 if array.dtype == np.int32 else np.int32
        wrong = [array.astype(other_kind), array[None]]
        if array.ndim:
            wrong += [np.concatenate([array, array[-1:]]), array[:0]]
        for other in wrong:
            path = write(tmp_path, tree, [*arrays[:number], other, *arrays[number + 1 :]])
            try:
                accepted.append(evaluated(ebm.load_energy(path)).shape)
            except UnreadableFileError:
                refused(path, "holds something else than an energy")
    # One observation more, and no edges where there is one coupling for all, are as good.
    assert accepted == [()] * (type(energy).__name__ in ("LikelihoodEnergy", "GraphIsing"))


def statics(energy):
    """Every field of an energy that is no parameter, with the module that has it."""
    for field in dataclasses.fields(energy):
        value = getattr(energy, field.name)
        if field.metadata.get("static"):
            yield energy, field.name, value
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, eqx.Module):
                yield from statics(part)


def others(value):
    """Values of another kind, and of the same kind with another meaning."""
    yield from ("1", None)
    if isinstance(value, bool):
        yield from (1, 0.0)
    elif isinstance(value, int):
        yield from (10**30, -1, 0, True, float(value), (value,), value + 1)
    elif isinstance(value, float):
        yield from (1, True, float("inf"), -1.0, (value,))
    elif isinstance(value, tuple):
        yield from (value[0], (*value, value[0]), value[:-1], tuple(str(one) for one in value))
        yield from ((*value[:-1], -1), (*value[:-1], 10**30), (*value[:-1], True))
    elif isinstance(value, energies.Graph):
        yield from (energies.Graph(value.num_sites + 2, value.edges), 3)


@pytest.mark.parametrize("energy", HONEST, ids=lambda energy: type(energy).__name__)
def test_every_constant_of_another_kind_or_meaning_is_refused_or_sound(tmp_path, energy):
    path = tmp_path / "model.ebm"
    for module, name, value in statics(energy):
        for other in others(value):
            object.__setattr__(module, name, other)
            arrays = []
            try:
                tree = encode(energy, arrays)
            except ValueError:
                continue
            finally:
                object.__setattr__(module, name, value)
            header = {"energy": tree, "metadata": {}}
            path.write_bytes(pack(header, arrays))
            try:
                energy_read = ebm.load_energy(path)
            except UnreadableFileError:
                continue
            # A dimension that no array speaks of may be another, and a switch set otherwise.
            assert type(other) is type(value), (name, other)
            assert evaluated(energy_read).shape == ()


def test_an_array_is_used_once(tmp_path):
    """A megabyte, named two thousand times, would be two gigabytes."""
    array = np.zeros(2**18, np.float32)
    quartic = {"class": "Quartic", "fields": {name: {"array": 0} for name in ("a", "b", "gamma")}}
    members = {"energies": {"tuple": [quartic] * 700}}
    path = write(tmp_path, {"class": "SumEnergy", "fields": members}, [array])
    tracemalloc.start()
    refused(path, "something else than an energy")
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()
    energy = energies.Quartic()
    header, arrays = honest(energy)
    refused(write(tmp_path, header["energy"], [*arrays, array]), "something else than an energy")


@pytest.mark.parametrize("depth", [2, 400, 300_000, 10**30])
def test_the_depth_of_a_network_is_that_of_its_arrays(tmp_path, depth):
    began = time.process_time()
    header, arrays = honest(energies.NeuralEnergy((2,), rng_key=jax.random.key(0), depth=1))
    header["energy"]["fields"]["network"]["network"]["depth"] = depth
    refused(write(tmp_path, header["energy"], arrays), "something else than an energy")
    assert time.process_time() - began < 5


def test_a_deep_network_is_read_in_time_and_a_deeper_one_refused(tmp_path):
    path = tmp_path / "model.ebm"
    key = jax.random.key(0)
    ebm.save_energy(energies.NeuralEnergy((1,), rng_key=key, width=1, depth=100), path)
    began = time.process_time()
    ebm.load_energy(path)
    assert time.process_time() - began < 10
    layers = (MOST_ARRAYS + 1) * [np.zeros((1, 1), np.float32)]
    refused(write(tmp_path, 0, layers), "holds a header that does not fit its contents")


@pytest.mark.parametrize(
    ("cls", "changes"),
    [
        (energies.DoubleWell, {"dim": 2**24 + 1}),
        (energies.DoubleWell, {"dim": 10**30}),
        (energies.Ising, {"shape": {"tuple": [2**13, 2**13]}, "periodic": False}),
        (energies.Ising, {"shape": {"tuple": [3] * 33}}),
        (energies.Ising, {"shape": {"tuple": []}}),
    ],
)
def test_a_file_of_a_few_bytes_asks_for_no_points_beyond_a_bound(tmp_path, cls, changes):
    honest_one = energies.DoubleWell() if cls is energies.DoubleWell else energies.Ising((3,), 0.1)
    header, arrays = honest(honest_one)
    header["energy"]["fields"] |= changes
    tracemalloc.start()
    refused(write(tmp_path, header["energy"], arrays), "something else than an energy")
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_headers_of_many_values_or_bytes_are_refused_before_they_are_read(tmp_path):
    path = tmp_path / "model.ebm"
    for metadata in ([[]] * 2**20, "x" * 2**24):
        path.write_bytes(sealed({"energy": 0, "metadata": metadata, "arrays": []}, b""))
        tracemalloc.start()
        refused(path, "does not fit its contents|at most 16777216 are read")
        assert tracemalloc.get_traced_memory()[1] < 2**27
        tracemalloc.stop()


def test_only_a_regular_file_of_a_stated_size_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        for load in (ebm.load_energy, load_metadata):
            with pytest.raises(UnreadableFileError, match="is no regular file"):
                load(path)
    with pytest.raises(IsADirectoryError):
        ebm.load_energy(tmp_path)
    large = tmp_path / "large.ebm"
    with large.open("wb") as file:
        file.truncate(2**40)
    refused(large, "has 1099511627776 bytes, and at most 1073741824 are read")
    path = tmp_path / "model.ebm"
    ebm.save_energy(energies.Quartic(), path)
    size = path.stat().st_size
    assert ebm.load_energy(path, max_bytes=size) == energies.Quartic()
    with pytest.raises(UnreadableFileError, match=f"has {size} bytes, and at most {size - 1} are"):
        load_metadata(path, max_bytes=size - 1)
    with pytest.raises(ValueError, match="`max_bytes` must be an integer of at least 1; got 0"):
        ebm.load_energy(path, max_bytes=0)


def test_edges_may_stand_in_the_header(tmp_path):
    """As those of the first files of this format do."""
    energy = energies.GraphIsing(0.5, 0.1, energies.Graph(3, [(0, 1), (2, 1)]))
    header, arrays = honest(energy)
    header["energy"]["fields"]["graph"]["edges"] = [0, 1, 2, 1]
    assert ebm.load_energy(write(tmp_path, header["energy"], arrays[:2])).graph == energy.graph
    for edges in ([0, 1, 2], [0, 1.5], [0, True, 1, 2], [[0, 1]], [0, 2**70]):
        header["energy"]["fields"]["graph"]["edges"] = edges
        refused(write(tmp_path, header["energy"], arrays[:2]), "something else than an energy")


def test_what_could_not_be_read_again_is_not_saved(tmp_path):
    path = tmp_path / "model.ebm"
    bent = eqx.tree_at(lambda energy: energy.coefficients, REGRESSION, jnp.ones((3, 2)))
    with pytest.raises(ValueError, match=r"one that can be read again to be saved; its file holds"):
        ebm.save_energy(bent, path)
    with pytest.raises(
        ValueError, match=r"its file holds \d+ bytes beside its arrays, and at most"
    ):
        ebm.save_energy(REGRESSION, path, metadata={"text": "x" * 2**24})
    deep = energies.Quartic()
    for _ in range(40):
        deep = energies.TemperedEnergy(deep, 1.0)
    with pytest.raises(ValueError, match="is nested more than 32 levels deep"):
        ebm.save_energy(deep, path)
    assert list(tmp_path.iterdir()) == []


def test_several_energies_at_once_are_as_sound_as_one(tmp_path):
    path = tmp_path / "model.ebm"
    keys = jax.random.split(jax.random.key(0), 6).reshape(2, 3)
    make = eqx.filter_vmap(lambda key: energies.NeuralEnergy((2,), rng_key=key, width=3, depth=1))
    several = eqx.filter_vmap(make)(keys)
    ebm.save_energy(several, path)
    again = ebm.load_energy(path)
    assert jax.tree.structure(again) == jax.tree.structure(several)
    header, arrays = honest(several)
    refused(write(tmp_path, header["energy"], [arrays[0][:1], *arrays[1:]]), "something else than")
