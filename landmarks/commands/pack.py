"""`landmarks pack`: a data set -> a folder of shards, for `data=shards`."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from landmarks.commands.preparing.config_groups import build, build_test
from landmarks.data.shards.write_shards import say_pack, write_pack
from landmarks.errors import UserError
from landmarks.machine import say_bytes
from landmarks.runs.quoting import say_setting
from landmarks.settings import Rule

log = logging.getLogger(__name__)
MEGABYTE = 1_000_000
Megabytes = Annotated[float, Rule(lambda v: 0 < v <= 100_000, "a number above 0, up to 100000")]


@dataclass(frozen=True, kw_only=True)
class PackSettings:
    """All that packing is told, of configs/pack.yaml."""

    data: dict
    out: str
    shard_mb: Megabytes
    run_dir: str


def pack(settings: PackSettings) -> int:
    """Pack the training faces and, where there are some, the test faces; return the exit code."""
    out = Path(settings.out)
    if out.exists():  # said before the data are read
        raise UserError(f"out={out} is there already: remove it, or name another folder.")
    parts = {"train": build(settings.data, part="train")}
    test = build_test(settings.data, lambda why: log.warning(f"The test part is not packed: {why}"))
    if test is not None:
        parts["test"] = test
    note = write_pack(parts, out, int(settings.shard_mb * MEGABYTE))
    size = sum(sum(part["sizes"]) for part in note["parts"].values())
    log.info(f"{say_pack(note)}, {say_bytes(size)}: {out}")
    log.info(f"Train on them with: landmarks train data=shards {say_setting('data.root', out)}")
    return 0
