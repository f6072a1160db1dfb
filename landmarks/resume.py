"""How a run resumes, in its own folder and with its own settings; no other run takes that."""

import logging
from pathlib import Path

from omegaconf import OmegaConf

from landmarks.errors import UserError
from landmarks.overrides import overrides_in
from landmarks.runs import find_checkpoint, newest_checkpoint

log = logging.getLogger(__name__)


def resume_run(arguments: list[str]) -> tuple[list[str], Path | None]:
    """Turn `resume=auto` or `resume=PATH` into the old run's own overrides, and its folder.

    Hydra makes a new folder for every start; a resumed run must go on in its own, with the
    settings it was started with. Overrides given beside `resume` win over the saved ones.
    `resume=auto` takes the newest run that is not finished, and starts afresh where there is none,
    from `init` if that is given: one command then starts a run and goes on with it.

    Raises:
        UserError: if PATH holds no checkpoint to resume from, or `init` is given beside PATH.
    """
    given = {word.split("=", 1)[0]: word for word in overrides_in(arguments)}
    wanted = given.get("resume", "resume=null").split("=", 1)[1]
    if wanted in ("null", ""):
        return arguments, None
    if wanted == "auto":
        checkpoint = newest_checkpoint("last.pt", unfinished=True)
        if checkpoint is None:
            log.warning("resume=auto: no unfinished run in runs/; starting a new one.")
            return [word for word in arguments if word != given["resume"]], None
    elif given.get("init", "init=null") not in ("init=null", "init="):
        raise UserError(
            f"init= starts a new run from a model's weights, resume={wanted} goes on with an old "
            f"run: give one of the two."
        )
    else:
        checkpoint = find_checkpoint(Path(wanted), "last.pt")
    saved_file = checkpoint.parent / ".hydra" / "overrides.yaml"
    if not saved_file.is_file():
        raise UserError(
            f"{checkpoint} cannot be resumed: {saved_file} with the run's settings is missing; "
            f"a run resumes in its own folder."
        )
    saved = {word.split("=", 1)[0]: word for word in OmegaConf.load(saved_file)}
    kept = [word for key, word in saved.items() if key not in {*given, "resume", "run_dir"}]
    others = [word for word in arguments if word != given["resume"]]
    place = [_quote("resume", checkpoint.resolve()), _quote("run_dir", checkpoint.parent.resolve())]
    return [*kept, *others, *place], checkpoint.parent


def refuse_taken(arguments: list[str]) -> None:
    """Refuse to begin a run in the folder of another one.

    Raises:
        UserError: that says how to go on with that one.
    """
    given = dict(word.split("=", 1) for word in overrides_in(arguments))
    run = Path(given.get("run_dir", "").strip("'\""))
    if "run_dir" in given and (run / "last.pt").is_file():
        raise UserError(
            f"run_dir={run} holds a run: go on with it by resume={run}, or name another folder."
        )


def _quote(key: str, value: Path) -> str:
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{text}'"
