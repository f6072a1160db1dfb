"""docs/settings.md is what the program says of its settings."""

from pathlib import Path

from landmarks.cli.run_with_hydra import register_resolvers
from landmarks.cli.write_settings_md import write_reference

PAGE = Path(__file__).parents[2] / "docs/settings.md"


def test_the_page_is_up_to_date():
    register_resolvers()
    assert PAGE.read_text(encoding="utf-8") == write_reference()
