"""The folder that a command writes to, as its settings name it."""

from dataclasses import dataclass
from pathlib import Path

from landmarks.distributed.processes import is_main
from landmarks.settings import RunName


@dataclass(frozen=True, kw_only=True)
class OutputFolder:
    """The settings that every command has which leaves files."""

    name: RunName
    run_dir: str

    def make_folder(self) -> Path:
        """Return the folder, made where it is missing, by the process that writes there."""
        folder = Path(self.run_dir)
        if is_main():
            folder.mkdir(parents=True, exist_ok=True)
        return folder
