"""Model files: bit for bit, whole or refused, and never code."""

import base64
import hashlib
import json
import os
import zlib

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.extra import numpy as hnp

import ebm_ppl as ebm
from ebm_ppl import energies
from ebm_ppl._precision import float64, to_float64
from ebm_ppl.serialization import load_metadata
from ebm_ppl.serialization._container import pack
from ebm_ppl.serialization._tree import _registry
from ebm_ppl.validation.targets import discover

KEY = jax.random.key(0)
NEURAL = energies.NeuralEnergy((2, 3), rng_key=KEY, width=3, depth=2, activation="gelu")
REGRESSION = energies.ConditionalGaussian([[1.0, 2.0]], [0.5], [[2.0]], null_condition=[0.0, 1.0])
CLASS_FREE = energies.NeuralNoiseConditionalEnergy((2,), (1,), rng_key=KEY, class_free=True)
CASES = {name: target.energy for name, target in discover().items()} | {
    "affine": energies.AffineEnergy(energies.Gaussian([0.5], [[2.0]]), loc=[0.1], scale=[0.3]),
    "class-free": energies.NeuralConditionalEnergy((1,), (2,), rng_key=KEY, class_free=True),
    "conditional": REGRESSION,
    "conditioned": energies.ConditionedEnergy(energies.Funnel(dim=3), [0.5, 1.0], [2, 0]),
    "guided and tempered": energies.TemperedEnergy(REGRESSION.guided(0.5).at(y=[1.0, 2.0]), 0.1),
    "lattice": energies.Ising((4, 3), 0.5, 0.1),
    "graph": energies.Potts(3, [0.8, -0.1], energies.Graph(3, [(0, 1), (2, 1)])),
    "no edges": energies.BoltzmannMachine(np.zeros(0), 0.5, energies.Graph(2, [])),
    "spins on a graph": energies.GraphIsing(0.5, 0.1, energies.Graph(3, [(0, 1), (2, 1)])),
    "machine": energies.RestrictedBoltzmannMachine.random(KEY, 3, 2),
    "machine of reals": energies.GaussianBernoulliRBM.random(KEY, 3, 2),
    "likelihood": energies.LikelihoodEnergy(REGRESSION, [[1.0, 2.0], [3.0, 4.0]]),
    "neural of matrices": NEURAL,
    "neural of scalars": energies.NeuralEnergy((), rng_key=KEY, width=1, depth=1, confinement=0.1),
    "neural, for sums": energies.SumEnergy(NEURAL, energies.TemperedEnergy(NEURAL, 0.5)),
    "noisy": energies.NeuralNoiseConditionalEnergy((2,), rng_key=KEY, data_scale=0.1),
    "noisy, conditional": energies.NeuralNoiseConditionalEnergy((2,), (), rng_key=KEY),
    "noisy, guided": CLASS_FREE.guided(2.0),
    "noisy, guided, at a condition": CLASS_FREE.guided(2.0).at(y=[0.5]),
    "noisy, at a level": CLASS_FREE.at(sigma=0.5),
    "noisy, dropped": CLASS_FREE.at(kept=False, sigma=0.5),
    "several at once": jax.vmap(energies.Quartic)(*jnp.arange(6.0).reshape(3, 2)),
}
every_case = pytest.mark.parametrize("energy", CASES.values(), ids=CASES)


def save(energy, tmp_path, **options):
    path = tmp_path / "model.ebm"
    ebm.save_energy(energy, path, **options)
    return path


def assert_same_bits(restored, energy):
    assert type(restored) is type(energy)
    assert jax.tree.structure(restored) == jax.tree.structure(energy)
    for ours, theirs in zip(jax.tree.leaves(restored), jax.tree.leaves(energy), strict=True):
        assert isinstance(ours, jax.Array)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()


@every_case
def test_round_trip_keeps_every_bit(energy, tmp_path):
    assert_same_bits(ebm.load_energy(save(energy, tmp_path)), energy)


def test_every_energy_of_the_package_is_among_the_cases():
    def classes(value):
        if isinstance(value, eqx.Module):
            yield type(value)
            yield from classes(tuple(vars(value).values()))
        for part in value if isinstance(value, tuple) else ():
            yield from classes(part)

    assert set(_registry().values()) <= set(classes(tuple(CASES.values())))


def test_a_restored_energy_is_as_good_as_the_saved_one(tmp_path):
    restored = ebm.load_energy(save(NEURAL, tmp_path))
    x = jnp.ones((2, 3))
    evaluate = jax.jit(lambda energy: energy(x))
    assert evaluate(restored) == evaluate(NEURAL)
    assert evaluate._cache_size() == 1
    assert restored.event_shape == (2, 3)
    assert restored.support.event_dim == 2
    gradient = jax.grad(lambda energy: energy(x))(restored)
    assert jax.tree.structure(gradient) == jax.tree.structure(NEURAL)


# That all examples write to one folder is no harm: each replaces the file of the one before.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bits=hnp.arrays(np.uint32, (3,)))
def test_any_bits_survive(tmp_path, bits):
    """Not-a-number with its payload, infinities, zeros of both signs, subnormal numbers."""
    energy = jax.tree.unflatten(
        jax.tree.structure(energies.Quartic()), list(jnp.asarray(bits.view(np.float32)))
    )
    assert_same_bits(ebm.load_energy(save(energy, tmp_path)), energy)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_other_precisions_survive(dtype, tmp_path):
    energy = jax.tree.map(lambda leaf: leaf.astype(dtype), NEURAL)
    assert_same_bits(ebm.load_energy(save(energy, tmp_path)), energy)


def test_double_precision_is_never_rounded(tmp_path):
    with float64():
        energy = to_float64(energies.Quartic(a=0.1))
        path = save(energy, tmp_path)
        assert_same_bits(ebm.load_energy(path), energy)
    with pytest.raises(ValueError, match=r"64 bits, which JAX would round .*jax_enable_x64"):
        ebm.load_energy(path)


METADATA = {"columns": ["petal length", "Länge"], "scale": [0.1, 1e-300], "nested": {"n": 3}}


def test_metadata_come_back(tmp_path):
    assert load_metadata(save(NEURAL, tmp_path, metadata=METADATA)) == METADATA
    assert load_metadata(save(NEURAL, tmp_path)) == {}


@pytest.mark.parametrize("metadata", [{"f": len}, {"x": np.zeros(2)}, {"x": float("nan")}])
def test_metadata_that_json_cannot_hold_are_refused(metadata, tmp_path):
    with pytest.raises(ValueError, match=r"`metadata` must be what JSON can hold; got \{"):
        save(NEURAL, tmp_path, metadata=metadata)
    assert list(tmp_path.iterdir()) == []


class Own(ebm.AbstractEnergy):
    event_shape = ()
    support = energies.Quartic().support

    def _energy(self, x):
        return x**2


@pytest.mark.parametrize(
    ("energy", "message"),
    [
        (
            energies.TemperedEnergy(energies.from_callable(jnp.sum, (2,)), 0.5),
            r"`energy\.energy` cannot be saved: it is a CallableEnergy, and what it computes is code",
        ),
        (
            energies.from_conditional_callable(lambda x, y: x * y, (), ()),
            "`energy` cannot be saved: it is a CallableConditionalEnergy, and what it",
        ),
        (
            energies.SumEnergy(energies.Quartic(), Own()),
            r"`energy\.energies\[1\]` cannot be saved: it is a Own, and it is not ebm_ppl's",
        ),
        (
            eqx.tree_at(lambda energy: energy.network.activation, NEURAL, jnp.tanh),
            r"`energy\.network` must be a network of ebm_ppl's making to be saved",
        ),
        (
            eqx.tree_at(lambda energy: energy.a, energies.Quartic(), jnp.ones((), complex)),
            r"`energy\.a` must be of one of bool, .*; got complex64",
        ),
        (
            eqx.tree_at(lambda energy: energy.a, energies.Quartic(), {1.0}),
            r"`energy\.a` must be an array, a number or a string to be saved; got {1.0}",
        ),
        (3.0, "`energy` must be an energy; got float"),
    ],
)
def test_what_is_no_data_is_refused(energy, message, tmp_path, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        save(energy, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_traced_energy_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`energy\.a` must be concrete to be saved"):
        jax.jit(lambda a: save(energies.Quartic(a=a), tmp_path))(1.0)


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    path = save(energies.Quartic(), tmp_path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="must name a whole model file"):
            ebm.load_energy(path)


def test_a_file_with_any_byte_changed_is_refused(tmp_path):
    path = save(energies.Quartic(), tmp_path)
    content = path.read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        with pytest.raises(ValueError, match="must name a whole model file"):
            ebm.load_energy(path)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"\x80\x04K\x01.", b"PK\x03\x04", b"{}"])
def test_foreign_files_are_refused(content, tmp_path):
    path = tmp_path / "model.ebm"
    path.write_bytes(content)
    for load in (ebm.load_energy, load_metadata):
        with pytest.raises(ValueError, match=r"whole model file; '.*model\.ebm' is none\."):
            load(path)


def test_a_file_of_a_later_version_is_refused(tmp_path):
    path = tmp_path / "model.ebm"
    path.write_bytes(b"ebm_ppl energy 2\nwhatever comes then")
    with pytest.raises(
        ValueError, match="is of format 2, and this version of ebm_ppl reads format 1"
    ):
        ebm.load_energy(path)


def test_a_missing_file_and_a_missing_folder_are_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        ebm.load_energy(tmp_path / "model.ebm")
    with pytest.raises(FileNotFoundError, match=r"No such folder: '.*folder'$"):
        ebm.save_energy(NEURAL, tmp_path / "folder" / "model.ebm")


NETWORK = {"in_size": 1, "width": 1, "depth": 10**12, "activation": "silu"}
QUARTIC = {"a": {"array": 0}, "b": {"array": 0}, "gamma": {"array": 0}}


def nested(depth):
    tree = 0.0
    for _ in range(depth):
        tree = {"tuple": [tree]}
    return tree


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ({"class": "Harmonic", "fields": {}}, "an energy 'Harmonic', which this version does not"),
        (
            {"class": "CallableEnergy", "fields": {}},
            "'CallableEnergy', which this version does not",
        ),
        ({"class": "AbstractEnergy", "fields": {}}, "'AbstractEnergy', which this version does"),
        ({"class": "Quartic", "fields": {}}, "a Quartic with other fields than this version's"),
        ({"class": "Quartic", "fields": QUARTIC | {"__class__": 1}}, "a Quartic with other fields"),
        ({"class": "Quartic", "fields": QUARTIC | {"a": {"array": 7}}}, "something else than an"),
        ({"class": "Quartic", "fields": QUARTIC | {"a": [1.0]}}, "something else than an energy"),
        ({"class": ["Quartic"], "fields": QUARTIC}, "something else than an energy"),
        ({"network": NETWORK, "leaves": [0, 0, 0]}, "something else than an energy"),
        ({"network": NETWORK | {"depth": 1}, "leaves": [0]}, "something else than an energy"),
        ({"network": {}, "leaves": []}, "something else than an energy"),
        ({"tuple": [1.0]}, "something else than an energy"),
        (3.0, "something else than an energy"),
        (nested(400), "is nested more than 32 levels deep"),
    ],
)
def test_forged_trees_are_refused(tree, reason, tmp_path):
    path = tmp_path / "model.ebm"
    path.write_bytes(pack({"energy": tree, "metadata": {}}, [np.zeros((), np.float32)]))
    with pytest.raises(ValueError, match=reason):
        ebm.load_energy(path)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[1]",
        b"nonsense",
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps({"energy": 1}).encode(),
        *(
            json.dumps({"arrays": [{"dtype": dtype, "shape": shape}]}).encode()
            for dtype, shape in [
                ("float32", [2]),
                ("float32", []),
                ("float32", [-1]),
                ("float32", [10**30]),
                ("float32", "ab"),
                ("object", [1]),
                (None, [1]),
            ]
        ),
    ],
)
def test_forged_headers_are_refused(header, tmp_path):
    """The checksum keeps out accidents and no forger; what a forger may not reach is code."""
    body = len(header).to_bytes(8, "little") + header + b"\x00" * 5
    path = tmp_path / "model.ebm"
    path.write_bytes(b"ebm_ppl energy 1\n" + hashlib.sha256(body).digest() + body)
    with pytest.raises(ValueError, match="holds a header that does not fit its contents"):
        ebm.load_energy(path)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(step, tmp_path, monkeypatch):
    path = save(energies.Quartic(a=2.0), tmp_path)

    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="the disk is full"):
        save(energies.Quartic(a=3.0), tmp_path)
    monkeypatch.undo()
    assert ebm.load_energy(path).a == 2.0
    assert list(tmp_path.iterdir()) == [path]


FORMAT_1 = (
    "eNq9UTFLw0AYPcRJZ8ExHLoVaVod7KAFdRMXRYcSwrX52hxeLsfdJbWWgKt/QsFfIYijg7t/QAQHwdFZ7y4W2lrBycCR"
    "l++97933vUA7CYVgHnCQvYHnL7w9DlYWL/dX33eeN1/v2PXw5nh56WW+8XB7/9G7Up9Pc8g9Q1y24IY3xB1GlDIIH2bJ"
    "XlmueLhLgUXKCZyWQvmhM8HAoNZY4xEkAiREv3dP3bSbZm0GJ8DYlDiiiXn7ptgmUlKQYQy0F2tHmgqxRtXC8AoEkUTT"
    "lE9wflFYlvIcpIJQu8mIziRMyGpONjbRAWSSsJkLcND9VJ7+wJSHip7D97x9GunYOhscgXDY1klH03w0J1aUZdgOyIDk"
    "LtFWveKtV7yNwFZDyIHrUMVEwGTavuM7Ke9SDokRWfu1alEE5cIJaBIRTcqcU5Yl3LnjM+w63eKq/G+RHjh73GUp0fWa"
    "3Xd0ZStwufyDxIRT+4Psj5qgQKjZRMgzB20jdLE163wBNAwBJA=="
)


def test_files_of_format_1_can_still_be_read(tmp_path):
    path = tmp_path / "model.ebm"
    path.write_bytes(zlib.decompress(base64.b64decode(FORMAT_1)))
    restored = ebm.load_energy(path)
    network = jax.tree.map(
        lambda leaf: jnp.full_like(leaf, 0.25),
        energies.NeuralEnergy((1,), rng_key=KEY, width=2, depth=1),
    )
    well = energies.TemperedEnergy(energies.DoubleWell(barrier_height=3.0), 0.5)
    assert_same_bits(restored, energies.SumEnergy(well, network))
    assert load_metadata(path) == {"columns": ["x"]}
