"""The folder that a command writes to, as its settings name it."""

from dataclasses import dataclass
from pathlib import Path

from landmarks.settings import RunName


@dataclass(frozen=True, kw_only=True)
class OutputFolder:
    """The settings that every command has which leaves files."""

    name: RunName
    run_dir: str

    def make_folder(self) -> Path:
        """Return the folder, made where it is missing."""
        folder = Path(self.run_dir)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
