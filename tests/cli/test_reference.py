"""docs/settings.md is what the program says of its settings."""

from pathlib import Path

from omegaconf import OmegaConf

from landmarks.cli.reference import write_reference

PAGE = Path(__file__).parents[2] / "docs/settings.md"


def test_the_page_is_up_to_date():
    OmegaConf.register_new_resolver("suffix", lambda v: v or "", replace=True)
    assert PAGE.read_text(encoding="utf-8") == write_reference()
