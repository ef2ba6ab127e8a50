"""The README does what it says: its Python runs as it stands, its commands exist."""

import pathlib
import re
import shlex

import pytest
from click.testing import CliRunner

from validation.cli import main

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[tuple[int, str]]:
    """Line number and text of every fenced block in a language."""
    fences = re.finditer(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    return [(README.count("\n", 0, fence.start(1)) + 1, fence[1]) for fence in fences]


def commands() -> list[list[str]]:
    """Arguments of every `ebm-ppl` command, up to the next shell operator."""
    lines = [line.partition(" #")[0] for _, block in blocks("bash") for line in block.splitlines()]
    calls = [call for line in lines for call in re.split(r"&&|\|\||;|\|", line)]
    words = [shlex.split(call) for call in calls]
    return [call[1:] for call in words if call and pathlib.PurePath(call[0]).name == "ebm-ppl"]


@pytest.mark.slow
def test_python_blocks_run_one_after_the_other(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "readme"}
    assert blocks("python")
    for line, block in blocks("python"):
        # The line numbers of a traceback are those of the README.
        exec(compile("\n" * (line - 1) + block, str(ROOT / "README.md"), "exec"), namespace)


def test_commands_exist_with_the_options_that_the_readme_gives_them() -> None:
    assert commands()
    for arguments in commands():
        given = [word for word in arguments if not word.startswith("-")][:1]
        result = CliRunner().invoke(main, [*given, "--help"])
        assert result.exit_code == 0, result.output
        for option in (word.partition("=")[0] for word in arguments if word.startswith("--")):
            assert option in result.output, f"{option} in {arguments}"


def test_links_and_pictures_are_there() -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)\s]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
