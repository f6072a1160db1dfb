"""Initial weights of a backbone: torchvision's published ones, a file's, or random ones."""

import logging
import re
import threading
import urllib.request
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from landmarks.errors import UserError, did_you_mean
from landmarks.runs.checkpoint import refuse_inflated
from landmarks.settings import Needs, Rule

log = logging.getLogger(__name__)
# What wrappers, detectors and this program's models put before torchvision's names.
PREFIXES = "module. _orig_mod. model. backbone. stages. encoder. body. net. network.".split()
WRAPPERS = ("weights", "state_dict", "training", "model", "model_state_dict")
CLASSIFIERS = ("fc.", "classifier.", "head.", "last_linear.")
# torchvision's own published DenseNet and detector files are older than its code.
OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
OLD_DETECTOR = re.compile(r"(fpn\.(?:inner|layer)_blocks\.\d|rpn\.head\.conv)\.(weight|bias)$")
PUBLISHED = {"imagenet": None, "coco": "keypointrcnn_resnet50_fpn"}  # None: of any network
WeightsName = Annotated[str, Needs("/init", None)]
_FILE = Rule(lambda weights: weights not in (*PUBLISHED, "none", None), "naming a file")
Partial = Annotated[bool, Needs("weights", _FILE), Needs("/init", None)]
TIMEOUT = 4  # seconds to wait for the download server's first answer


def load_weights(
    backbone: nn.Module, name: str, weights: str | Path, partial: bool, whole: bool = False
) -> None:
    """Load weights into a backbone or detector; log which file was used and what of it fitted.

    A file holds tensors by torchvision's names, bare or wrapped, as checkpoints of this and other
    programs have them. It was written by torch.save (no code in it is run) or by safetensors.

    Args:
        backbone: of torchvision's network `name`.
        weights: "imagenet" or "coco" (what torchvision publishes), "none", a file, or a run's
            folder.
        partial: take what fits, even if it is less than half.
        whole: take all of a detector's file, not its backbone alone.

    Raises:
        UserError: if the weights cannot be downloaded or read, or do not fit.
    """
    path = find_weights(name, weights)
    if path is None:
        return  # random weights, or a checkpoint follows: the caller logs which
    least = 1.0 if weights in PUBLISHED else 0.0 if partial else 0.5
    _fill(backbone, name, path, least, whole)


def find_weights(name: str | None, weights: str | Path) -> Path | None:
    """Return the file of weights, downloaded first if need be; None for "none".

    Args:
        name: of torchvision's network; None: the detector.
        weights: as in `load_weights`.

    Raises:
        UserError: if there is no such file, or it cannot be downloaded.
    """
    if weights == "none":
        return None
    if weights in PUBLISHED:
        path = _published(PUBLISHED[weights] or name or PUBLISHED["coco"])
    else:
        path = Path(weights)
        path = path / "best.pt" if path.is_dir() else path
    if not path.is_file():
        raise UserError(
            f"model.weights={path}: there is no such file: name one, a run's folder, "
            f"{', '.join(PUBLISHED)} or none.{did_you_mean(str(weights), [*PUBLISHED, 'none'])}"
        )
    return path


def check_weights(name: str | None, weights: str | Path) -> None:
    """Refuse weights that cannot be had or read, see `find_weights`, before anything is built."""
    path = find_weights(name, weights)
    if path is not None:
        _read(path, whole=False)


def _published(name: str) -> Path:
    """Return torchvision's file of published weights, downloading it if it is not there yet."""
    url = get_model_weights(name).DEFAULT.url
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / url.rpartition("/")[2]
    if path.is_file():
        return path
    advice = (
        f"get {url} on another machine and put it at {path}, name a file with "
        f"model.weights=FILE, or start from random weights with model.weights=none"
    )
    if not _answers(url):
        raise UserError(f"Published weights of {name} cannot be downloaded here: {advice}.")
    log.info(f"Downloading {url} to {path}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2])
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"Downloading published weights of {name} failed ({error}): {advice}."
        ) from error
    return path


def _answers(url: str) -> bool:
    """Say whether the server answers soon; looking its name up can hang for minutes by itself."""
    heard = threading.Event()

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT):
                heard.set()
        except OSError:
            pass

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(TIMEOUT)
    return heard.is_set()


def _fill(backbone: nn.Module, name: str, path: Path, least: float, whole: bool) -> None:
    """Load what fits by name and shape; refuse if less than the share `least` of tensors does."""
    found = _read(path, whole)
    own = {_strip(key): (key, value.shape) for key, value in backbone.state_dict().items()}
    fits = {key: own[key][0] for key in own if key in found and found[key].shape == own[key][1]}
    # num_batches_tracked is absent from old files and is not used.
    needed = [key for key in own if not key.endswith("num_batches_tracked")]
    missing = [key for key in needed if key not in fits]
    rest = [key for key in found if key not in fits and not key.startswith(CLASSIFIERS)]
    report = (
        f"{len(fits)} of {len(own)} tensors matched, {_count(missing)} missing, "
        f"{_count(rest)} in the file not used"
    )
    matched = len(needed) - len(missing)
    if matched < least * len(needed) or matched == 0:
        way_on = " model.partial=true takes those that match." if matched and least < 1 else ""
        raise UserError(f"{path} does not fit {name}: {report}.{way_on}")
    broken = [key for key in fits if not found[key].isfinite().all()]
    if broken:
        raise UserError(
            f"{path} holds numbers that are not finite, in {_count(broken)}: name another."
        )
    backbone.load_state_dict({fits[key]: found[key] for key in fits}, strict=False)
    level = logging.WARNING if missing else logging.INFO
    log.log(level, f"{name} starts from the weights in {path}: {report}.")


def _count(keys: list[str]) -> str:
    """Return how many keys there are, and the names of the first few."""
    if not keys:
        return "0"
    return f"{len(keys)} ({', '.join([*keys[:3], *['...'] * (len(keys) > 3)])})"


def _read(path: Path, whole: bool) -> dict[str, Tensor]:
    """Return the tensors of a file by torchvision's names, where they are known.

    Raises:
        UserError: if there is no dictionary of tensors in it.
    """
    try:
        if path.suffix == ".safetensors":
            found = _read_safetensors(path)
        else:
            refuse_inflated(path)
            found = torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # torch raises many kinds for a file that is not its own
        raise UserError(
            f"{path} cannot be read as weights; a file written by torch.save with tensors alone, "
            f"or by safetensors, is needed."
        ) from error
    for key in WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no dictionary of weights.")
    tensors = {key: value for key, value in found.items() if isinstance(value, Tensor)}
    if whole:  # in this program's detector, all but the backbone is in the head
        return {_strip(key.removeprefix("head.")): value for key, value in tensors.items()}
    # Of a whole model (or a detector) only the backbone is used.
    inside = {key: tensors[key] for key in tensors if re.search(r"(^|\.)backbone\.", key)}
    return {_strip(key): value for key, value in (inside or tensors).items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise UserError(
            f"Reading {path} needs the package safetensors: pip install safetensors."
        ) from error
    return load_file(path)


def _strip(key: str) -> str:
    """Remove prefixes of torchvision's name, and update an outdated one."""
    stripped = True
    while stripped:
        stripped = False
        for prefix in PREFIXES:
            if key.startswith(prefix):
                key, stripped = key[len(prefix) :], True
    layer = "0.0" if key.startswith("rpn") else "0"
    return OLD_DETECTOR.sub(rf"\g<1>.{layer}.\2", OLD_DENSENET.sub(r"\1\2", key))
