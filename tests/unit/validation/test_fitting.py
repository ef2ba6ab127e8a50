"""From a table to a trained energy: what is read, what is refused, what is written."""

import json
import re

import arviz
import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner

import ebm_ppl as ebm
from ebm_ppl.cli import main
from ebm_ppl.cli._fit import ENERGY_NAMES, KERNEL_NAMES, OBJECTIVE_NAMES
from ebm_ppl.cli.fitting import ENERGIES, OBJECTIVES, TableError, read_csv
from ebm_ppl.cli.fitting.draws import CONTINUOUS, DISCRETE, doubt


def _csv(path, text):
    path.write_text(text)
    return path


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    x = np.where(rng.random(400) < 0.4, -2.0, 1.5) + 0.5 * rng.standard_normal(400)
    width = 10 + 3 * x + rng.standard_normal(400)
    rows = "\n".join(f"{first:.6f},{second:.6f}" for first, second in zip(x, width, strict=True))
    return _csv(tmp_path / "data.csv", "length,width\n" + rows + "\n")


def _run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


ROWS = "".join(f"{k},{k * k}\n" for k in range(12))


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("", None, "is empty"),
        ("1,2\n3,4\n", None, "must begin with the names of its columns"),
        ("a,a\n" + ROWS, None, "must name each column once; 'a'"),
        ("a,b\n" + ROWS, ["c"], "has no column 'c'; it has 'a', 'b'"),
        ("a,b\n" + ROWS, ["a", "b", "a"], "must be read one column once; 'a' is asked for again"),
        ("a,b\n1,2\n", None, "at least 10 rows of numbers; got 1"),
        ("a,b\n" + ROWS + "red,1\n", None, "got 'red' in column 'a', line 14"),
        ("a,b\n" + ROWS + "1,\n", None, "a number everywhere; got nothing in column 'b', line 14"),
        ("a,b\n" + ROWS + "1,inf\n", None, "must hold numbers; got 'inf' in column 'b', line 14"),
        ("a,b\n" + ROWS + "1_0,1\n", None, "must hold numbers; got '1_0' in column 'a', line 14"),
        ("a,b\n" + ROWS + "1,٣\n", None, "must hold numbers; got '٣' in column 'b', line 14"),
        ("a,b\n" + ROWS + "1,1e300\n", None, "at most 3.4e+38 in size; got '1e300' in column 'b'"),
        ("a,b\n" + ROWS + "1e-320,1\n", None, "at least 1.18e-38 in size; got '1e-320' in column"),
        ("a,b\n" + ROWS + "1\n", None, "2 fields in each line; line 14 has 1"),
        ("a,b\n" + "1,2\n" * 12, None, "nothing to learn in column 'a': every value is 1"),
    ],
)
def test_a_file_that_holds_no_table_is_refused_in_one_line(tmp_path, text, columns, message):
    path = _csv(tmp_path / "data.csv", text)
    with pytest.raises(TableError, match=re.escape(message)):
        read_csv(path, columns)
    options = [] if columns is None else ["--columns", ",".join(columns)]
    result = _run("fit", path, *options, "--out", tmp_path / "model.eqx")
    assert result.exit_code == 1
    assert message in " ".join(result.output.split())
    assert len(result.output.strip().splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["data.csv"]


def test_columns_are_read_in_the_order_asked_for(data):
    table = read_csv(data, ["width", "length"])
    assert table.names == ("width", "length")
    np.testing.assert_array_equal(table.values, read_csv(data).values[:, ::-1])
    assert table.values[:, 0].mean() > 5.0 > table.values[:, 1].mean()


def test_the_command_line_offers_what_there_is():
    assert tuple(ENERGIES) == ENERGY_NAMES
    assert tuple(OBJECTIVES) == OBJECTIVE_NAMES
    assert (*CONTINUOUS, *DISCRETE) == KERNEL_NAMES


@pytest.mark.slow
@pytest.mark.parametrize("columns", ["width", "length,width"])
def test_a_network_can_be_fitted_with_the_exact_likelihood(data, tmp_path, columns):
    """Its confinement alone leaves next to no mass at the edges of the grid."""
    result = _run(
        "fit", data, "--columns", columns, "--energy", "mlp", "--objective", "exact",
        "--steps", 20, "--out", tmp_path / "model.eqx",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert re.search(r"^refused steps +0$", result.stdout, re.M)


@pytest.mark.parametrize(
    ("rhat", "kernel", "is_discrete", "expected"),
    [
        ({"a": 1.0, "b": 1.01}, "nuts", False, None),
        ({"a": 1.0, "b": 1.3}, "nuts", False, "R-hat of b is 1.3, .*--kernel replica-exchange"),
        ({"a": 1.2, "b": np.nan}, None, False, "R-hat of b is nan, .* Raise `--num-warmup`"),
        ({"a": 1.2}, "gibbs-with-gradients", True, "R-hat of a is 1.2, .* Raise `--num-warmup`"),
    ],
)
def test_chains_that_disagree_are_doubted_and_the_kernel_that_mixes_named(
    rhat, kernel, is_discrete, expected
):
    problem = doubt(rhat, kernel, is_discrete)
    assert (problem is None) if expected is None else re.search(expected, problem)


@pytest.mark.slow
def test_the_default_kernel_crosses_between_modes_and_nuts_is_not_believed(tmp_path):
    """Two wells of 6.5 nats: chains of NUTS that begin in both agree with probability below 1e-6."""
    model, out = tmp_path / "model.eqx", tmp_path / "draws.csv"
    ebm.save_energy(ebm.energies.Quartic(a=-3.6, b=0.3, gamma=-0.7), model)
    result = _run("sample", model, "--out", out)
    assert result.exit_code == 0, result.output
    draws = np.loadtxt(out, delimiter=",", skiprows=1)[:, 2]
    truth = ebm.quadrature.normalize(ebm.load_energy(model)).cdf(0.0)
    assert abs(np.mean(draws < 0) - truth) < 0.1  # 1000 effective draws: six standard errors
    result = _run("sample", model, "--kernel", "nuts", "--out", out)
    assert result.exit_code == 1
    assert "replica-exchange" in result.output


@pytest.mark.slow
def test_from_a_table_to_draws(data, tmp_path):
    model, page = tmp_path / "model.eqx", tmp_path / "fit.html"
    result = _run(
        "fit", data, "--columns", "width", "--energy", "quartic", "--objective", "exact",
        "--steps", 300, "--out", model, "--report", page,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    # a normal law loses 0.2 nats a row on two modes that the quartic sees
    figures = dict(re.findall(r"^(negative log .*held out) +([\d.]+)$", result.stdout, re.M))
    learned, normal = (figures[k] for k in sorted(figures, key=len))
    assert float(learned) < float(normal) - 0.1
    text = page.read_text()
    assert "standard error" in text
    assert "Loss." in text
    assert "<script" not in text

    energy = ebm.load_energy(model)
    density = ebm.quadrature.normalize(energy)
    values = read_csv(data, ["width"]).values
    np.testing.assert_allclose(density.mean(), values.mean(), atol=1.0)  # in the data's own units

    drawn = _run("sample", model, "--num-samples", 200, "--out", tmp_path / "draws.nc")
    assert drawn.exit_code == 0, drawn.output
    assert "width: R-hat" in drawn.output
    stored = arviz.from_netcdf(str(tmp_path / "draws.nc"))
    assert stored.posterior["width"].shape == (4, 200)
    # In 200 draws MALA seldom crosses between the wells.
    slow = (
        "sample",
        model,
        "--num-samples",
        200,
        "--kernel",
        "mala",
        "--out",
        tmp_path / "draws.csv",
    )
    drawn = _run(*slow)
    assert drawn.exit_code == 1
    said = " ".join(drawn.output.split())  # wrapped at the width of the terminal
    assert re.search(
        r"Warning: The chains disagree: R-hat of width .*--kernel replica-exchange", said
    )
    assert _run(*slow, "--allow-unconverged").exit_code == 0
    lines = (tmp_path / "draws.csv").read_text().splitlines()
    assert lines[0] == "chain,draw,width"
    assert len(lines) == 801


@pytest.mark.slow
@pytest.mark.parametrize("offset", [1e5, -1e9])
def test_draws_beside_a_large_offset_have_the_spread_of_the_data(tmp_path, offset):
    """400 draws of effective size above 100: a spread is off by more than half in one of 1e9 runs."""
    x = offset + 2.0 * np.random.default_rng(1).normal(size=400)
    data = _csv(tmp_path / "data.csv", "a\n" + "\n".join(f"{value:.6f}" for value in x) + "\n")
    model, draws, page = (tmp_path / name for name in ("model.eqx", "draws.csv", "fit.html"))
    result = _run(
        "fit", data, "--energy", "gaussian", "--objective", "exact", "--steps", 200,
        "--out", model, "--report", page,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    held_out, normal = re.findall(r"^negative log .*held out +([\d.]+)$", result.stdout, re.M)
    assert abs(float(held_out) - float(normal)) < 0.02
    result = _run("sample", model, "--num-samples", 500, "--out", draws)
    assert result.exit_code == 0, result.output
    values = np.loadtxt(draws, delimiter=",", skiprows=1)[:, 2]
    assert 0.5 < values.std() / x.std() < 1.5
    assert abs(values.mean() - x.mean()) < 0.5 * x.std()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--energy", "quartic"], "`energy` 'quartic' takes at most 1 column(s); got 2"),
        (["--steps", "0"], "0 is not in the range x>=1"),
        (["--batch-size", "5000"], "`batch_size` must be at most the number of examples, 360"),
        (["--out", "/nowhere/model.eqx"], "must lie in a folder that exists"),
        (["--objective", "guess"], "'guess' is not one of"),
    ],
)
def test_bad_options_are_refused_and_nothing_is_written(data, tmp_path, arguments, message):
    result = _run("fit", data, "--out", tmp_path / "model.eqx", *arguments)
    assert result.exit_code != 0
    assert message in result.output
    assert [file.name for file in tmp_path.iterdir()] == ["data.csv"]


def test_a_column_that_follows_from_others_is_refused_before_any_step(tmp_path):
    rows = "".join(f"{k % 7},{k % 5},{3 * (k % 7) - 2 * (k % 5) + 1}\n" for k in range(30))
    data = _csv(tmp_path / "data.csv", "a,b,c\n" + rows)
    result = _run("fit", data, "--out", tmp_path / "model.eqx")
    assert result.exit_code == 1
    assert "got 'c', a linear function of 'a', 'b' up to rounding" in " ".join(
        result.output.split()
    )
    assert "step" not in result.output
    assert [file.name for file in tmp_path.iterdir()] == ["data.csv"]


@pytest.mark.parametrize("name", ["draws.parquet", "draws"])
def test_a_name_that_promises_another_format_is_refused(tmp_path, name):
    path = tmp_path / "model.eqx"
    ebm.save_energy(ebm.energies.Quartic(), path)
    result = _run("sample", path, "--out", tmp_path / name)
    assert result.exit_code == 2
    assert "must end in .nc or .csv; got" in " ".join(result.output.split())


def test_a_file_that_is_no_model_is_refused(tmp_path):
    path = tmp_path / "model.eqx"
    path.write_text(json.dumps({"a": 1}))
    result = _run("sample", path, "--out", tmp_path / "draws.nc")
    assert result.exit_code == 1
    assert str(path) in result.output
    assert not (tmp_path / "draws.nc").exists()


def test_a_model_that_needs_a_condition_is_not_sampled(tmp_path):
    path = tmp_path / "model.eqx"
    ebm.save_energy(ebm.energies.ConditionalGaussian([[1.0]], [0.0], [[1.0]]), path)
    result = _run("sample", path, "--out", tmp_path / "draws.nc")
    assert result.exit_code == 1
    assert "holds a ConditionalGaussian, which has no draws before it is fixed" in " ".join(
        result.output.split()
    )


def test_a_model_of_discrete_points_is_sampled_by_a_kernel_for_them(tmp_path):
    path, out = tmp_path / "model.eqx", tmp_path / "draws.csv"
    ebm.save_energy(ebm.energies.Potts(3, 0.5, ebm.energies.Graph.lattice((3, 3))), path)
    refused = _run("sample", path, "--kernel", "mala", "--out", out)
    assert refused.exit_code == 1
    assert "must be one of gibbs-with-gradients, block-gibbs" in refused.output
    assert "got 'mala'" in refused.output
    assert not out.exists()
    options = ("--num-samples", 20, "--num-warmup", 0, "--allow-unconverged")
    result = _run("sample", path, *options, "--out", out)
    assert result.exit_code == 0, result.output
    values = np.loadtxt(out, delimiter=",", skiprows=1)[:, 2:]
    assert values.shape == (80, 9)
    assert set(np.unique(values)) <= {0.0, 1.0, 2.0}


def test_a_kernel_that_is_not_for_a_model_is_refused(tmp_path):
    path, out = tmp_path / "model.eqx", tmp_path / "draws.nc"
    ebm.save_energy(ebm.energies.Quartic(), path)
    refused = _run("sample", path, "--kernel", "block-gibbs", "--out", out)
    assert refused.exit_code == 1
    assert "Quartic has continuous points; got 'block-gibbs'" in refused.output
    assert [file.name for file in tmp_path.iterdir()] == ["model.eqx"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "data.csv"], "'--out' must be another file than DATA; got 'data.csv'"),
        (["--report", "./data.csv"], "'--report' must be another file than DATA"),
        (["--out", "a.eqx", "--report", "a.eqx"], "'--report' must be another file than '--out'"),
        (["--out", "a", "--checkpoint", "a"], "'--checkpoint' must be another file than '--out'"),
    ],
)
def test_no_file_is_written_over_another(data, options, message, monkeypatch):
    monkeypatch.chdir(data.parent)
    before = data.read_text()
    result = _run("fit", "data.csv", *options)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert data.read_text() == before
    assert [file.name for file in data.parent.iterdir()] == ["data.csv"]


def test_draws_are_not_written_over_their_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ebm.save_energy(ebm.energies.Quartic(), "model.nc")
    before = (tmp_path / "model.nc").read_bytes()
    result = _run("sample", "model.nc", "--out", "model.nc")
    assert result.exit_code == 2
    assert "'--out' must be another file than MODEL; got 'model.nc'" in result.output
    assert (tmp_path / "model.nc").read_bytes() == before


def test_an_energy_without_a_start_is_refused_in_one_line(tmp_path):
    path, out = tmp_path / "model.nc", tmp_path / "draws.nc"
    broken = eqx.tree_at(lambda energy: energy.gamma, ebm.energies.Quartic(), jnp.asarray(jnp.nan))
    ebm.save_energy(broken, path, metadata={"columns": 5})
    result = _run("sample", path, "--out", out)
    assert result.exit_code == 1
    assert "no start for 4 of 4 chains" in result.output
    assert "Traceback" not in result.output
    assert not out.exists()
