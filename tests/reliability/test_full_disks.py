"""Disks that are full, and such as cannot be written to: real ones, where the system lets us mount them."""

import os
import subprocess
import warnings

import jax
import jax.numpy as jnp
import pytest
from click.testing import CliRunner

import ebm_ppl as ebm
from ebm_ppl.cli import main
from ebm_ppl.streaming import stream
from ebm_ppl.trainers import CheckpointWarning
from tests.unit.trainers import resumable

pytestmark = pytest.mark.slow

ROOM = 256 * 1024


def _mount(*arguments):
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


@pytest.fixture
def disk(tmp_path):
    """A disk of 256 kB."""
    path = tmp_path / "disk"
    path.mkdir()
    try:
        if not _mount("-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(path)):
            pytest.skip("this user cannot mount a disk")
    except FileNotFoundError:
        pytest.skip("this system has no `mount`")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def _fill(disk):
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return


def _energy(dim):
    return ebm.energies.Gaussian(jnp.zeros(dim), jnp.eye(dim))


def test_a_model(disk):
    path = disk / "m.eqx"
    ebm.save_energy(_energy(100), path)
    before = path.read_bytes()
    with pytest.raises(OSError, match=r"No space left on device: '.*disk/m\.eqx'"):
        ebm.save_energy(_energy(300), path)
    assert path.read_bytes() == before
    assert os.listdir(disk) == ["m.eqx"]


def test_a_checkpoint(disk):
    path = disk / "fit.ckpt"
    expected = resumable.bits(resumable.run(num_steps=40))
    resumable.run(path, every=10, num_steps=20)
    before = path.read_bytes()
    _fill(disk)
    (disk / "filler").write_bytes((disk / "filler").read_bytes()[:-8192])  # room for a trial
    with pytest.warns(
        CheckpointWarning, match=r"of step 30 .*No space left.*that of step 20 is whole"
    ):
        found = resumable.run(path, every=10, num_steps=40)
    assert resumable.bits(found) == expected
    assert path.read_bytes() == before
    (disk / "filler").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointWarning)
        assert resumable.bits(resumable.run(path, every=10, num_steps=40)) == expected
    assert os.listdir(disk) == ["fit.ckpt"]


def test_streamed_draws(disk):
    kernel = ebm.RandomWalkMetropolis(ebm.as_model(_energy(1)), step_size=1.0)
    with pytest.raises(OSError, match="No space left on device"):
        stream(
            kernel, jax.random.key(0), num_samples=10**9, path=disk / "draws", progress_bar=False
        )
    assert os.listdir(disk) == []


@pytest.mark.parametrize("suffix", [".nc", ".csv"])
def test_draws(disk, suffix):
    ebm.save_energy(_energy(2), disk / "m.eqx")
    out = disk / f"d{suffix}"
    out.write_bytes(b"old")
    arguments = ["sample", str(disk / "m.eqx"), "--num-samples", "100000", "--out", str(out)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert result.stderr == f"Error: No space left on device: '{out}'. Nothing was written.\n"
    assert out.read_bytes() == b"old"
    assert sorted(os.listdir(disk)) == sorted(["m.eqx", out.name])


def test_a_disk_that_cannot_be_written_is_found_at_the_start(disk, tmp_path):
    (tmp_path / "data.csv").write_text("a\n" + "\n".join(map(str, range(20))) + "\n")
    assert _mount("-o", "remount,ro", str(disk))
    outs = {name: str(tmp_path / f"{name}.out") for name in ("out", "report", "checkpoint")}
    for option in outs:
        options = {**outs, option: str(disk / "a")}
        arguments = [part for name, path in options.items() for part in (f"--{name}", path)]
        result = CliRunner().invoke(main, ["fit", str(tmp_path / "data.csv"), *arguments])
        assert result.exit_code == 1
        [line] = result.stderr.splitlines()
        assert line.startswith(f"Error: '--{option}' must name a place that can be written to")
        assert line.endswith("(Read-only file system).")
    for arguments in (["validate", "--out", str(disk)], ["validate", "--out", str(disk / "new")]):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 1
        assert "(Read-only file system)" in result.stderr
    with pytest.raises(OSError, match="Read-only file system"):
        resumable.run(disk / "fit.ckpt")
    assert sorted(os.listdir(tmp_path)) == ["data.csv", "disk"]
