"""What a run of the training benchmark says: medians, paired ratios and verdicts, as data and as a table."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

SUBJECT = "with_ebm_ppl"
TITLES = {"with_torchebm": "TorchEBM", "with_bare_jax": "bare JAX", SUBJECT: "ebm_ppl"}

_PEER_BARS = {
    "contrastive_divergence": 3.5,
    "persistent_cd": 3.5,
    "denoising_score_matching": 3.0,
    "sliced_score_matching": 3.0,
    "score_matching": 3.0,
}
_BARE_BAR = 0.95
_FIRST_STEP_BAR = 5.0  # seconds


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Median, smallest and largest ratio of steps per CPU second, turn by turn."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}


def judge(objective: str, measured: Mapping[str, Any]) -> dict[str, Any]:
    """Medians, ratios and verdicts of one objective.

    Args:
        objective: Its name.
        measured: What `benchmarks.training.sessions.measure` returned.

    Returns:
        The medians, and if ebm_ppl took part, its ratios to each peer, with `passed` beside each bar.
    """
    rates = {name: result["steps_per_cpu_second"] for name, result in measured.items()}
    judged: dict[str, Any] = {
        "median_steps_per_cpu_second": {
            name: statistics.median(values) for name, values in rates.items()
        },
        "bars": {},
    }
    if SUBJECT not in rates:
        return judged
    bars = {"with_torchebm": _PEER_BARS[objective], "with_bare_jax": _BARE_BAR}
    for peer, bar in bars.items():
        if peer in rates:
            ratio = paired_ratio(rates[SUBJECT], rates[peer])
            judged["bars"][peer] = {**ratio, "bar": bar, "passed": ratio["median"] >= bar}
    seconds = measured[SUBJECT]["first_step"]["wall_seconds"]
    judged["bars"]["first_step"] = {
        "seconds": seconds,
        "bar": _FIRST_STEP_BAR,
        "passed": seconds <= _FIRST_STEP_BAR,
    }
    return judged


def as_markdown(results: Mapping[str, Any]) -> str:
    """The whole run as two tables: speed with its ratios, and the time to the first step."""
    objectives = results["objectives"]
    names = [name for name in TITLES if name in results["implementations"]]
    lines = [
        "Steps per CPU second, median over turns; ratios paired by turn, median [smallest, largest].",
        "",
    ]
    peers = [name for name in names if name != SUBJECT] if SUBJECT in names else []
    header = ["objective", *(TITLES[name] for name in names)]
    header += [f"ebm_ppl / {TITLES[name]} (bar)" for name in peers]
    lines += _table(
        header, [_speed_row(key, value, names, peers) for key, value in objectives.items()]
    )
    lines += [
        "",
        "Seconds to the first step, compilation included, import left out: wall clock (CPU).",
        "",
    ]
    lines += _table(
        ["objective", *(TITLES[name] for name in names)],
        [_start_row(key, value, names) for key, value in objectives.items()],
    )
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    machine = results["machine"]
    lines += ["", f"{machine['processor']}, one thread; Python {machine['python']}, {versions}."]
    return "\n".join(lines) + "\n"


def _speed_row(
    objective: str, result: Mapping[str, Any], names: Sequence[str], peers: Sequence[str]
) -> list[str]:
    judged = result["judged"]
    medians = judged["median_steps_per_cpu_second"]
    row = [objective.replace("_", " "), *(f"{medians[name]:.0f}" for name in names)]
    for peer in peers:
        found = judged["bars"][peer]
        verdict = "pass" if found["passed"] else "FAIL"
        row.append(
            f"{found['median']:.2f} [{found['low']:.2f}, {found['high']:.2f}] (≥ {found['bar']:g}: {verdict})"
        )
    return row


def _start_row(objective: str, result: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    row = [objective.replace("_", " ")]
    for name in names:
        first = result["measured"][name]["first_step"]
        row.append(f"{first['wall_seconds']:.2f} ({first['cpu_seconds']:.2f})")
    return row


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    alignment = ["---", *("---:" for _ in header[1:])]
    return ["| " + " | ".join(row) + " |" for row in (header, alignment, *rows)]
