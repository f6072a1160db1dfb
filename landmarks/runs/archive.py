"""Files of torch.save, looked at before they are read: what they hold is stored as it is."""

import zipfile
from pathlib import Path

from landmarks.errors import UserError


def refuse_inflated(path: Path) -> None:
    """Refuse an archive that is far larger in memory than on the disk.

    torch stores what it writes as it is; where a file is compressed, or names the same bytes many
    times, a megabyte of it can fill a machine's memory.

    Raises:
        UserError: naming the file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # torch's older form, safetensors, or none: whoever reads it says so
    unpacked = sum(member.file_size for member in members)
    is_stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
    if not is_stored or unpacked > path.stat().st_size:
        raise UserError(
            f"{path} is compressed: {path.stat().st_size} bytes that become {unpacked} in memory. "
            f"torch.save compresses nothing, so it is not read; write it anew with torch.save."
        )
