"""Where a backbone's weights come from: torchvision's published file, a file, or chance."""

import logging
import threading
import urllib.request
from pathlib import Path

import torch
from torch import nn
from torchvision.models import get_model_weights

from landmarks.errors import UserError

log = logging.getLogger(__name__)
PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "stages.", "encoder.")
PATIENCE = 4  # seconds to wait for the download server's first answer


def load_weights(network: nn.Module, name: str, weights: str) -> None:
    """Fill a torchvision network and log which file its weights came from.

    Args:
        network: torchvision's `name`, whole.
        weights: "imagenet", "none" or a file (see `model.weights` in the README).

    Raises:
        UserError: if the weights cannot be downloaded, read, or do not fit.
    """
    if weights == "none":
        return  # a random start, or a checkpoint fills them: the caller says which
    if weights == "imagenet":
        path = _published(name)
        _fill(network, name, path, least=1.0)
    else:
        _fill(network, name, Path(weights), least=0.5)


def _published(name: str) -> Path:
    """Return torchvision's file of ImageNet weights, downloading it if it is not there yet."""
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
        raise UserError(f"ImageNet weights of {name} cannot be downloaded here: {advice}.")
    log.info("Downloading %s to %s", url, path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2])
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"Downloading ImageNet weights of {name} failed ({error}): {advice}."
        ) from error
    return path


def _answers(url: str) -> bool:
    """Say whether the server answers soon; looking its name up can hang for minutes by itself."""
    heard = threading.Event()

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE):
                heard.set()
        except OSError:
            pass

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return heard.is_set()


def _fill(network: nn.Module, name: str, path: Path, least: float) -> None:
    """Load what fits by name and shape; refuse if less than the share `least` of tensors does."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"model.weights={path}: there is no such file.") from error
    except Exception as error:  # torch raises half a dozen kinds for a file that is not its own
        raise UserError(
            f"{path} cannot be read as weights; a file written by torch.save with tensors alone "
            f"is needed."
        ) from error
    for key in ("weights", "state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no dictionary of weights.")
    found = {_strip(key): value for key, value in found.items() if isinstance(value, torch.Tensor)}
    own = {key: value for key, value in network.state_dict().items() if not key.startswith("fc.")}
    fits = {key: found[key] for key in own if key in found and found[key].shape == own[key].shape}
    others = len([key for key in found if key not in fits and not key.startswith("fc.")])
    counts = f"{len(fits)} of {len(own)} tensors matched, {others} in the file were not used"
    # num_batches_tracked is absent from old files and matters to nobody.
    needed = [key for key in own if not key.endswith("num_batches_tracked")]
    if len([key for key in needed if key in fits]) < least * len(needed):
        raise UserError(f"{path} does not fit {name}: {counts}.")
    network.load_state_dict(fits, strict=False)
    log.info("%s starts from the weights in %s: %s.", name, path, counts)


def _strip(key: str) -> str:
    """Take away what wrappers and our own models put before torchvision's names."""
    stripped = True
    while stripped:
        stripped = False
        for prefix in PREFIXES:
            if key.startswith(prefix):
                key, stripped = key[len(prefix) :], True
    return key
