"""The pages: their site builds, their links lead somewhere, and the commands they show exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from landmarks.cli.command_line import mend_words
from landmarks.cli.command_list import COMMANDS, load_command
from landmarks.cli.overrides import check_settings
from landmarks.cli.run_with_hydra import register_resolvers
from landmarks.settings import settings_of

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
COMMAND = re.compile(
    rf"^landmarks (?:{'|'.join(COMMANDS)})\b[^#(\n]*",
    re.MULTILINE,
)
README_LINES = 130


def test_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("material")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "index.html").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_whole(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    blocks = [block for block in re.split(r"\n\s*\n", text) if re.search(r"^\|", block, re.M)]
    for block in blocks:
        rows = block.strip().splitlines()
        assert all(row[0] == "|" and row.rstrip()[-1] == "|" for row in rows), block
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1, block
        assert re.fullmatch(r"[|\s:-]+", rows[1]), block


def test_every_page_stands_in_the_site():
    listed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [p.name for p in (ROOT / "docs").glob("*.md") if f"- {p.name}" not in listed] == []


def test_readme_is_short():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= README_LINES


def shown_commands():
    """Return (page, words) of every `landmarks` command in a page's blocks of code."""
    found = []
    for page in PAGES:
        blocks = re.findall(r"^```\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
        for command in COMMAND.findall("\n".join(blocks)):
            found.append(pytest.param(command, id=f"{page.name}-{len(found)}"))
    return found


@pytest.mark.parametrize("command", shown_commands())
def test_shown_commands_set_what_there_is(command):
    _, name, *words = shlex.split(command)
    words = [word for word in mend_words(words) if "=" in word and not re.search(r"=[\w.]+,", word)]
    register_resolvers()
    OmegaConf.register_new_resolver("now", lambda p: "now", replace=True)
    with initialize_config_module("landmarks.configs", version_base="1.3"):
        config = compose(name, overrides=words)
    check_settings(settings_of(load_command(name)), config, words, name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_are_there(page):
    named = re.findall(
        r"`((?:landmarks|configs|tests|scripts|docs)/[\w/.-]+\w/?)[`:]", page.read_text("utf-8")
    )
    missing = [name for name in named if "NAME" not in name and not (ROOT / name).exists()]
    assert missing == []
