"""README and documentation do what they say: Python runs as it stands, commands and links exist."""

import pathlib
import re
import shlex

import pytest
from click.testing import CliRunner

from ebm_ppl.cli import main

ROOT = pathlib.Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: pathlib.Path, *languages: str) -> list[tuple[int, str, str]]:
    """Line number, language and text of every fenced block in one of the languages."""
    text = page.read_text(encoding="utf-8")
    fences = re.finditer(r"^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [
        (text.count("\n", 0, fence.start(2)) + 1, fence[1], fence[2])
        for fence in fences
        if fence[1] in languages
    ]


def name_of(page: pathlib.Path) -> str:
    return page.relative_to(ROOT).as_posix()


def commands() -> list[list[str]]:
    """Arguments of every `ebm-ppl` command, up to the next shell operator."""
    bash = [block for page in PAGES for _, _, block in blocks(page, "bash")]
    lines = [line.partition(" #")[0] for block in bash for line in block.splitlines()]
    calls = [call for line in lines for call in re.split(r"&&|\|\||;|\|", line)]
    words = [shlex.split(call) for call in calls]
    return [call[1:] for call in words if call and pathlib.PurePath(call[0]).name == "ebm-ppl"]


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=name_of)
def test_python_blocks_run_one_after_the_other_and_print_what_the_page_says(
    page: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": page.stem}
    printed = ""
    for line, language, block in blocks(page, "python", "text"):
        if language == "python":
            capsys.readouterr()
            # The line numbers of a traceback are those of the page.
            exec(compile("\n" * (line - 1) + block, str(page), "exec"), namespace)
            printed = capsys.readouterr().out
        else:
            assert [text.rstrip() for text in printed.splitlines()] == block.splitlines()


def test_commands_exist_with_the_options_that_the_pages_give_them() -> None:
    assert commands()
    for arguments in commands():
        given = [word for word in arguments if not word.startswith("-")][:1]
        result = CliRunner().invoke(main, [*given, "--help"])
        assert result.exit_code == 0, result.output
        for option in (word.partition("=")[0] for word in arguments if word.startswith("--")):
            assert option in result.output, f"{option} in {arguments}"


def test_the_page_of_the_command_line_names_every_option() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    for name, command in main.commands.items():
        options = [option for parameter in command.params for option in parameter.opts]
        missing = [o for o in options if o.startswith("--") and f"`{o}" not in page]
        assert missing == [], name


def test_the_gallery_names_every_example() -> None:
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    examples = [path.name for path in (ROOT / "examples").glob("[!_]*.py")]
    assert [name for name in examples if f"`{name}`" not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_pictures_are_there(page: pathlib.Path) -> None:
    targets = re.findall(
        r"\]\((?!https?://|#)([^)\s#]+)[^)\s]*\)", page.read_text(encoding="utf-8")
    )
    assert [target for target in targets if not (page.parent / target).exists()] == []
