"""The mutation score: which changes there are, which are drawn, what concerns them, how they are judged."""

import itertools
import json
import pathlib
import threading

import pytest
from scipy import stats

from validation.mutants import questions, records
from validation.mutants.baseline import rows_of
from validation.mutants.changes import KINDS, Change, changes_of, is_a_program
from validation.mutants.draw import AREAS, ROUND, all_changes, area_of, draw
from validation.mutants.nearness import Nearness
from validation.mutants.process import Ended, Stopped, Tree
from validation.mutants.records import Results, Score
from validation.mutants.trial import Outcome, judge_report, judge_tests, trial_of

ROOT = pathlib.Path(__file__).parents[3]


def texts(body, kind=None):
    source = f"def f(x, y, n):\n    {body}\n".encode()
    return {change.text for change in changes_of("m.py", source) if kind in (None, change.kind)}


@pytest.mark.parametrize(
    ("body", "kind", "change"),
    [
        ("return x + y", "sign", "return x + y → return x - y"),
        ("return -jnp.log(x)", "sign", "return -jnp.log(x) → return jnp.log(x)"),
        ("x += y * n", "sign", "x += y * n → x -= y * n"),
        ("return x * y", "operator", "return x * y → return x / y"),
        ("return x < y", "operator", "return x < y → return x > y"),
        ("return jnp.minimum(x, y)", "operator", "jnp.minimum(x, y) → jnp.maximum(x, y)"),
        ("return (x + y) * n", "term", "return (x + y) * n → return (x + y)"),
        ("return x - y", "term", "return x - y → return x"),
        ("x += y * n", "term", "x += y * n → pass"),
        ("return lax.stop_gradient(x)", "term", "lax.stop_gradient(x) → x"),
        ("return x - y", "argument", "return x - y → return y - x"),
        ("return jnp.where(n, x, y)", "argument", "jnp.where(n, x, y) → jnp.where(n, y, x)"),
        ("return slope(x, y)", "argument", "return slope(x, y) → return slope(y, x)"),
        ("return 0.5 * x", "constant", "return 0.5 * x → return 1.0 * x"),
        ("return 2 * x", "constant", "return 2 * x → return 3 * x"),
        ("return x[1:]", "off by one", "return x[1:] → return x[2:]"),
        ("return n > 0", "off by one", "return n > 0 → return n >= 0"),
        ("return range(n)", "off by one", "return range(n) → return range(n - 1)"),
        ("return x.sum(axis=0)", "axis", "return x.sum(axis=0) → return x.sum(axis=1)"),
        ("return jnp.mean(x, -1)", "axis", "return jnp.mean(x, -1) → return jnp.mean(x, -2)"),
        ("return x.T", "axis", "return x.T → return x"),
    ],
)
def test_a_change_of_every_kind(body, kind, change):
    assert change in texts(body, kind)


@pytest.mark.parametrize(
    "body",
    [
        '"""Half of x - y."""',
        "x: Float[Array, '2 * n'] = y",
        "raise ValueError(f'{x - 1}')",
        "check_count('n', n - 1, 2 * y)",
        "warnings.warn('n' + str(n + 1))",
        "assert n > 0",
        "return [x] + [y]",
        "return 'a' + n",
        "return x if n is None else y",
        "return 1e-6",
    ],
)
def test_what_is_no_mathematics_is_left_alone(body):
    assert texts(body) == set()


def test_conditions_of_refusals_are_left_alone():
    assert texts("if n > 1:\n        raise ValueError(n)\n    return x") == set()
    assert texts("if n > 1:\n        return x\n    return y") != set()


def test_defaults_annotations_and_constants_of_modules_are_left_alone():
    source = b"STEPS = 2 * 3\n\n\ndef f(x: Array[2 - 1], n=3 + 1) -> Array[1 + 1]:\n    return x\n"
    assert changes_of("m.py", source) == []


def test_a_change_replaces_its_own_bytes_and_nothing_else():
    source = "def f(ξ, y):\n    # ∂E\n    return ξ - (\n        y  # one\n    )\n".encode()
    (sign,) = [change for change in changes_of("m.py", source) if change.after.count("+")]
    assert sign.apply(source).decode() == source.decode().replace("ξ - (", "ξ + (")
    assert is_a_program(sign, source)


def test_a_change_is_known_by_its_words_wherever_it_stands():
    one = b"class A:\n    def f(self, x):\n        return x[0] + x[0]\n"
    moved = b"# A comment.\n\n\n" + one
    keys = [change.key for change in changes_of("m.py", one)]
    assert keys == [change.key for change in changes_of("m.py", moved)]
    assert len(set(keys)) == len(keys)
    assert keys[0][:2] == ("m.py", "A.f")


def test_samples_are_drawn_by_turns_and_longer_ones_go_on():
    changes = {
        area: [
            Change(f"{area}.py", "f", kind, 1, n, n + 1, "x", "y", f"{kind} {n}")
            for kind in KINDS
            for n in range(9)
        ]
        for area in AREAS
    }
    files = {f"{area}.py": b"x" * 12 for area in AREAS}

    class Root:
        def __truediv__(self, name):
            return type("File", (), {"read_bytes": lambda _: files[name]})()

    drawn = list(itertools.islice(draw(Root(), 3, changes), 2 * len(ROUND)))
    assert drawn[: len(ROUND)] == list(itertools.islice(draw(Root(), 3, changes), len(ROUND)))
    assert sorted(c.file for c in drawn[: len(ROUND)]) == sorted(f"{area}.py" for area in ROUND)
    assert len(set(drawn)) == len(drawn)
    assert drawn != list(itertools.islice(draw(Root(), 4, changes), 2 * len(ROUND)))


@pytest.fixture(scope="module")
def nearness():
    return Nearness(ROOT)


def test_names_stand_for_the_files_that_define_them(nearness):
    case = "ebm_ppl/validation/cases/samplers/mala.py"
    assert "ebm_ppl/samplers/mala.py" in nearness.of(case)
    assert "ebm_ppl/samplers/mclmc.py" not in nearness.distances(case)
    assert nearness.distances(case)["ebm_ppl/samplers/_contract/metropolis.py"] == 2
    assert nearness.nearest("ebm_ppl/samplers/mala.py", [case]) == [case]


CATALOGUE = {
    "kernels": {
        "mala": {
            "files": ["ebm_ppl/validation/cases/samplers/mala.py"],
            "targets": ["gamma", "tilted_double_well_1d"],
        },
        "gibbs-with-gradients": {
            "files": ["ebm_ppl/validation/cases/samplers/gibbs_with_gradients.py"],
            "targets": ["boltzmann_machine"],
        },
        "block-gibbs": {
            "files": ["ebm_ppl/validation/cases/samplers/block_gibbs.py"],
            "targets": ["boltzmann_machine"],
        },
    },
    "objectives": {},
    "estimators": {},
    "targets": {
        "gamma": {"files": ["ebm_ppl/energies/gamma.py"], "size": 1, "is_discrete": False},
        "beta": {"files": ["ebm_ppl/energies/beta.py"], "size": 1, "is_discrete": False},
    },
}


@pytest.mark.parametrize(
    ("file", "asked"),
    [
        ("ebm_ppl/energies/gamma.py", {"energy/gamma", "kernel/mala/gamma"}),
        (
            "ebm_ppl/samplers/mala.py",
            {"kernel/mala/tilted_double_well_1d", "kernel/mala/gamma", "claims/mala"},
        ),
        (
            "ebm_ppl/samplers/gibbs_with_gradients.py",
            {"kernel/gibbs-with-gradients/boltzmann_machine"},
        ),
        ("ebm_ppl/trainers/_loop.py", {"loop"}),
        ("ebm_ppl/streaming/_moments.py", set()),
    ],
)
def test_the_rows_that_concern_a_file(nearness, file, asked):
    assert set(questions.questions_about(file, CATALOGUE, nearness)) == asked


def test_the_tests_that_concern_a_file(nearness):
    batches = questions.tests_about("ebm_ppl/samplers/mala.py", ROOT, nearness)
    flat = [test for batch in batches for test in batch]
    assert len(set(flat)) == len(flat)
    assert all(test.startswith("tests/unit/samplers/") for test in batches[0])
    assert any("/contract/" in test for test in flat)
    assert all(
        questions.tests_about(change.file, ROOT, nearness)
        for change in (
            changes[0] for changes in all_changes(ROOT, ["annealing", "generator"]).values()
        )
    )


def test_files_belong_to_areas():
    assert area_of("ebm_ppl/_random.py") == "generator"
    assert area_of("ebm_ppl/samplers/mala.py") == "kernels"
    assert area_of("ebm_ppl/validation/suite/kernels.py") == ""


def ended(status, *rows, output="", out_of_time=False):
    lines = [json.dumps({"question": "q", "row": "a × b: c", "detail": "d"} | row) for row in rows]
    return Ended(status, "\n".join(["noise", *lines, output]), 1.0, out_of_time)


PASS, FAIL, ERROR = ({"verdict": verdict} for verdict in ("pass", "fail", "error"))


@pytest.mark.parametrize(
    ("process", "outcome"),
    [
        (ended(0, PASS, PASS), None),
        (ended(0, PASS, FAIL), Outcome.VERDICT),
        (ended(0, PASS, ERROR), Outcome.CRASH),
        (ended(1, PASS, output="TypeError: no"), Outcome.CRASH),
        (ended(-9, PASS, out_of_time=True), Outcome.CRASH),
    ],
)
def test_what_the_report_says_of_a_change(process, outcome):
    noticed = judge_report(process)
    assert (noticed and noticed[0]) == outcome
    assert len(rows_of(process)) <= 2


def test_what_the_tests_say_of_a_change():
    assert judge_tests(ended(0)) is None
    assert judge_tests(ended(5)) is None
    failed = ended(1, output="FAILED tests/a.py::test_b[0] - assert 1 == 2")
    assert judge_tests(failed) == "tests/a.py::test_b[0]"
    assert judge_tests(ended(-11)) == "exit status -11"
    assert judge_tests(ended(-9, out_of_time=True)) == "out of time"
    with pytest.raises(RuntimeError, match="asked wrongly"):
        judge_tests(ended(4))


CHANGE = Change("ebm_ppl/_random.py", "f", "sign", 3, 0, 1, "x", "-x", "x → -x")


def trials(*outcomes):
    return [
        trial_of(
            Change(*CHANGE.key[:2], "sign", 3, 0, 1, "x", "y", f"x → {n}"), outcome, "why", 2.0
        )
        for n, outcome in enumerate(outcomes)
    ]


def test_the_score_leaves_out_what_is_equivalent():
    score = Score.of(trials(*[Outcome.TEST] * 9, Outcome.SURVIVED, Outcome.EQUIVALENT))
    assert (score.killed, score.asked) == (9, 10)
    # Clopper and Pearson's ends by beta's quantiles.
    assert score.interval == pytest.approx(
        (stats.beta.ppf(0.025, 9, 2), stats.beta.ppf(0.975, 10, 1))
    )
    assert Score.of([]).interval == (0.0, 1.0)


def test_the_page_names_survivors_and_reasons():
    found = trials(Outcome.VERDICT, Outcome.SURVIVED, Outcome.EQUIVALENT)
    page = records.page(found, 7)
    survivors, equivalent = page.split("## Survivors")[1].split("## Judged equivalent")
    assert "x → 1" in survivors
    assert "x → 2`. why" in equivalent
    assert "1 of 2 noticed: 50.0%" in page
    assert "| generator | 1 | 0 | 0 | 1 | 1 |" in page


def test_results_are_kept_as_they_come_and_found_again(tmp_path):
    results = Results(tmp_path / "new" / "seed_0.json", 0, "abc")
    assert results.load()
    for trial in trials(Outcome.TEST, Outcome.SURVIVED):
        results.add(trial)
    again = Results(tmp_path / "new" / "seed_0.json", 0, "abc")
    assert again.load()
    assert [again.get(trial.key) for trial in trials(Outcome.TEST, Outcome.SURVIVED)] == trials(
        Outcome.TEST, Outcome.SURVIVED
    )
    again.forget(Outcome.SURVIVED)
    assert again.get(trials(Outcome.TEST, Outcome.SURVIVED)[1].key) is None
    assert not Results(tmp_path / "new" / "seed_0.json", 0, "other sources").load()


def test_every_change_judged_equivalent_is_one_of_today():
    known = records.equivalents()
    areas = {area_of(file) for file, _, _ in known}
    today = {c.key for changes in all_changes(ROOT, sorted(areas)).values() for c in changes}
    assert set(known) <= today
    assert all(len(reason) > 20 for reason in known.values())


def test_processes_run_in_a_copy_under_a_limit_and_end_when_told(tmp_path):
    (tmp_path / "ebm_ppl").mkdir()
    (tmp_path / "ebm_ppl" / "__init__.py").write_text("x = 1\n")
    stop = threading.Event()
    tree = Tree(tmp_path, tmp_path / "cache", stop)
    script = "import ebm_ppl; print(ebm_ppl.x)"
    try:
        assert tree.run("-c", script, limit=20).output.strip() == "1"
        tree.write("ebm_ppl/__init__.py", b"x = 2\n")
        assert tree.run("-c", script, limit=20).output.strip() == "2"
        assert (tmp_path / "ebm_ppl" / "__init__.py").read_text() == "x = 1\n"
        endless = tree.run("-c", "while True: pass", limit=1)
        assert endless.out_of_time
        assert endless.status < 0
        stop.set()
        with pytest.raises(Stopped):
            tree.run("-c", "import time; time.sleep(60)", limit=20)
    finally:
        tree.close()
    assert not tree.root.exists()
