"""What `${name:...}` stands for in the files of settings."""

import re

from omegaconf import OmegaConf


def register_resolvers() -> None:
    """Tell OmegaConf what our files of settings ask for."""
    for name, function in {
        "suffix": _suffix,
        "gpus_of_job": _gpus_of_job,
        "for_gpus": _for_gpus,
    }.items():
        OmegaConf.register_new_resolver(name, function, replace=True)


def _suffix(name: str | None) -> str:
    # A name ends a folder's name; it must not become a path.
    return "-" + re.sub(r"[^\w.-]+", "_", str(name)) if name else ""


def _gpus_of_job(gpus: int | str, device: str) -> int:
    """Return how many GPUs a launcher gives to each job that wants so many; 0: there are none."""
    import torch  # it takes seconds, and few launchers ask

    if device == "cpu" or not torch.cuda.is_available():
        return 0
    return torch.cuda.device_count() if gpus == "auto" else int(gpus)


def _for_gpus(gpus: int | str, each: int) -> int:
    """Return what a job with so many GPUs needs, of what it needs for each."""
    return each if gpus == "auto" else each * int(gpus)
