"""Looks at files of torch.save before they are read: they must not be compressed."""

import zipfile
from pathlib import Path

from landmarks.errors import UserError


def refuse_inflated(path: Path) -> None:
    """Refuse an archive that is far larger in memory than on the disk.

    torch.save compresses nothing. A compressed file, or one that refers to the same bytes many
    times, can fill a machine's memory with a megabyte.

    Raises:
        UserError: naming the file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # torch's older form, safetensors, or no archive: the reader says so
    unpacked = sum(member.file_size for member in members)
    is_stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
    if not is_stored or unpacked > path.stat().st_size:
        raise UserError(
            f"{path} is compressed: {path.stat().st_size} bytes that become {unpacked} in memory. "
            f"torch.save compresses nothing, so this file is not read; write it with torch.save."
        )
