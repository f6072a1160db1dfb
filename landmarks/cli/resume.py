"""How a run resumes: in its own folder, with its own settings."""

import logging
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from landmarks.cli.command_line import overrides_in, read_value, searched
from landmarks.cli.saved_settings import differences, put_on_top, read_own, refuse_kept
from landmarks.errors import UserError
from landmarks.runs.find_runs import FAILED, FINISHED, all_checkpoints, find_checkpoint
from landmarks.runs.quoting import change_texts, literal, say_setting, write_word
from landmarks.runs.run_lock import is_held

log = logging.getLogger(__name__)
RESUMED = "resumed"  # the name of its settings among Hydra's
# How long, on what and before whom a run trains says nothing of which run it is.
MACHINE = "device gpus threads workers compile graph data.cache data.cache_dir".split()
OF_A_START = {"epochs", "max_time", "patience", "logger", "pictured_region", "report", *MACHINE}
OWN_PLACE = ("resume", "run_dir", "hydra.run.dir", "hydra.output_subdir")


class Resumed(NamedTuple):
    """A run that is taken up again.

    Attributes:
        run: its folder.
        arguments: for Hydra, which makes nothing in the run's folder but its log. The settings of a
            run are those of its last checkpoint, whatever happens to this start.
        words: that set something in them.
        changed: {key: (the run's own value, the present one)}.
    """

    run: Path
    arguments: list[str]
    words: list[str]
    changed: dict

    def say(self) -> None:
        """Log what differs from the run's own settings."""
        listed = [f"{key}: {before} -> {after}" for key, (before, after) in self.changed.items()]
        if listed:
            log.info(f"Settings other than the run's own: {', '.join(listed)}.")


def resume_run(arguments: list[str]) -> Resumed | None:
    """Compose what `resume=auto` or `resume=PATH` goes on with; None where a new run is begun.

    The run's own settings are registered with Hydra as RESUMED, with the words beside `resume` on
    top. `resume=auto` takes the newest unfinished run that has the settings given beside it and is
    not being trained, and begins one where there is none: one command then begins a run and goes on
    with it. With `run_dir` it means the run in that folder.

    Raises:
        UserError: if PATH holds no checkpoint to resume from, if a word cannot be taken beside
            resume, or if a run in `run_dir` cannot be gone on with by itself.
    """
    words = overrides_in(arguments)
    wanted, place = (read_value(words, key) for key in ("resume", "run_dir"))
    wanted, place = str(wanted or ""), None if place is None else Path(str(place))
    if not wanted:
        return None
    folders = searched(arguments)
    about = [word for word in words if not word.startswith(("resume=", "run_dir=", "hydra."))]
    if wanted == "auto":
        checkpoint = _newest(about, folders) if place is None else _only(place, about, folders)
        if checkpoint is None:
            return None
    elif read_value(about, "init"):
        raise UserError(
            f"init= starts a new run from a model's weights, resume={wanted} goes on with an old "
            f"run: give one of the two."
        )
    else:
        checkpoint = find_checkpoint(Path(wanted), "last.pt")
    run = checkpoint.parent.resolve()
    if place is not None and place.resolve() != run:
        raise UserError(
            f"run_dir={place}: resume={wanted} goes on in its own folder; leave it out."
        )
    own = read_own(checkpoint)
    settings = put_on_top(own, about, folders)
    changed = differences(own, settings)
    refuse_kept(own, changed, about)
    _register(settings)
    rest = [word for word in arguments if word not in words or word.startswith("hydra.")]
    kept = [word for word in rest if word.partition("=")[0] not in OWN_PLACE]
    own_place = {"resume": str(checkpoint.resolve()), "run_dir": str(run)}
    kept += [write_word(key, text) for key, text in own_place.items()]
    return Resumed(run, [*kept, "hydra.output_subdir=null"], about, changed)


def _only(run: Path, words: list[str], folders: tuple[str, ...]) -> Path | None:
    """Return the last checkpoint in a folder; None if it has none."""
    checkpoint = run / "last.pt"
    if not checkpoint.is_file():
        return None
    reason = _unfit(checkpoint, words, folders) or _unready(run)
    if reason:
        raise UserError(
            f"resume=auto run_dir={run}: the run there {reason}. Go on with it by "
            f"{say_setting('resume', run)}, or name another folder."
        )
    return checkpoint


def _newest(words: list[str], folders: tuple[str, ...]) -> Path | None:
    """Return the last checkpoint of the newest run to go on with, and say which are passed over."""
    finished = None
    for checkpoint in all_checkpoints("last.pt"):
        run = checkpoint.parent
        if (run / FINISHED).exists():
            if finished is None and not _unfit(checkpoint, words, folders):
                finished = run
            continue
        reason = _unfit(checkpoint, words, folders) or _unready(run)
        if not reason:
            return checkpoint
        taken = say_setting("resume", run)
        log.warning(f"resume=auto passes {run} over: it {reason}. {taken} takes it.")
    if finished is not None:
        alike = ", which has these settings," if words else ""
        log.warning(
            f"resume=auto: {finished}{alike} is finished; beginning a new run. "
            f"{say_setting('resume', finished)} with a higher epochs= or max_time= trains it on."
        )
    else:
        alike = "has these settings" if words else "can be gone on with"
        log.warning(f"resume=auto: no unfinished run in runs/ {alike}; beginning one.")
    return None


def _unfit(checkpoint: Path, words: list[str], folders: tuple[str, ...]) -> str | None:
    """Say in which settings a run differs from these words, if it does."""
    try:
        own = read_own(checkpoint)
        changed = differences(own, put_on_top(own, words, folders))
        changed = {
            key: pair
            for key, pair in changed.items()
            if OF_A_START.isdisjoint((key, key.partition(".")[0]))
        }
    except UserError as error:
        return f"does not fit ({str(error).rstrip('.')})"
    if not changed:
        return None
    listed = [f"{key}={before}, not {after}" for key, (before, after) in list(changed.items())[:3]]
    return f"has other settings ({'; '.join(listed)}{'; ...' if len(changed) > 3 else ''})"


def _unready(run: Path) -> str | None:
    """Say why a run is not to be gone on with by itself, if it is not."""
    if is_held(run):
        return "is being trained by another process"
    if (run / FAILED).is_file():
        said = " ".join((run / FAILED).read_text(encoding="utf-8", errors="replace")[:500].split())
        return f"ended in an error ({said.rstrip('.')})"
    return None


def _register(settings: dict) -> None:
    """Make settings a command's own to Hydra, with nothing else of Hydra's but train's."""
    train = OmegaConf.create(files("landmarks.configs").joinpath("train.yaml").read_text())
    defaults = ["_self_", *(item for item in train.defaults if "override" in str(item))]
    place = {"resume": None, "run_dir": None}
    node = {"defaults": defaults, **change_texts(settings, literal), **place, "hydra": train.hydra}
    ConfigStore.instance().store(RESUMED, OmegaConf.create(node))
