"""`landmarks average`: weights of several checkpoints -> one model, validated before it is kept."""

import json
import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np

from landmarks.commands.judging.judged_faces import Judged, choose_judged, require_truth, take
from landmarks.commands.predicting.predict_settings import OtherData
from landmarks.commands.preparing.data_for_model import in_order
from landmarks.commands.preparing.shared_settings import OutputFolder
from landmarks.data.batches.loader import Batches
from landmarks.data.split import load_split
from landmarks.errors import UserError, say_count
from landmarks.files import refuse_twice, replacing
from landmarks.inference.finder_protocol import Framing
from landmarks.inference.open_model import PATHS
from landmarks.inference.predictor import Predictor
from landmarks.runs.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from landmarks.runs.find_runs import FINISHED, find_checkpoint, is_kfold
from landmarks.runs.quoting import say_setting
from landmarks.settings import AmpName, DeviceName, GroupOf, PositiveInt, Threads, Workers
from landmarks.training.cpu_threads import use_threads
from landmarks.training.validation import validate
from landmarks.training.weight_averaging import average_weights, reestimate_statistics

log = logging.getLogger(__name__)
ALIKE = ("input_size", "crop", "box_margin", "box_from")
FAR = 2.0  # times the worst member's error from which models did not begin as one


@dataclass(frozen=True, kw_only=True)
class AverageSettings(OutputFolder):
    """All that an average is told, of configs/average.yaml."""

    data: Annotated[dict, GroupOf(OtherData)]
    runs: Annotated[list, PATHS] | None
    ingredients: Literal["all", "greedy"]
    statistics_from: PositiveInt
    batch_size: PositiveInt
    device: DeviceName
    amp: AmpName
    workers: Workers
    threads: Threads


class Member(NamedTuple):
    """A checkpoint with its path and its error on the validation faces, in original px²."""

    path: Path
    checkpoint: Checkpoint
    mse: float


class Tested(NamedTuple):
    """Weights with their figures on the validation faces."""

    weights: dict
    scores: dict


def average(settings: AverageSettings) -> int:
    """Average weights; return the exit code."""
    out = Path(settings.run_dir)
    paths = find_members_of(settings.runs)
    checkpoints = [load_checkpoint(path) for path in paths]
    refuse_strangers(paths, checkpoints)
    kitchen = _Kitchen(settings, paths, checkpoints[0])
    members = []
    for path, checkpoint in zip(paths, checkpoints, strict=True):
        mse = kitchen.judge(checkpoint.weights)["mse"]
        log.info(f"{path}: validation MSE {mse:.3f} px²")
        members.append(Member(path, checkpoint, mse))
    members.sort(key=lambda member: member.mse)
    chosen, tested = (_mix_greedily if settings.ingredients == "greedy" else _mix)(kitchen, members)
    best, found = members[0], tested.scores
    named = ", ".join(str(member.path) for member in chosen)
    log.info(
        f"Mean weights of {say_count(len(chosen), 'checkpoint')} ({named}): validation MSE "
        f"{found['mse']:.3f} px², NME {found['nme']:.4f}"
    )
    if not found["mse"] < FAR * members[-1].mse:
        raise UserError(
            f"The mean weights have an error of {found['mse']:.3f} px² where their models have "
            f"{best.mse:.3f} to {members[-1].mse:.3f}: these did not begin as one model, so the "
            f"mean was not kept; combine their points with checkpoint=[A,B]."
        )
    if len(chosen) == 1:
        log.warning(f"No mean is better than {best.path} alone: that one is kept.")
    elif found["mse"] > best.mse:
        log.warning(
            f"It is worse than the best member, {best.path} ({best.mse:.3f} px²); "
            f"ingredients=greedy takes only members that help."
        )
    _keep(out, best, tested)
    return 0


def find_members_of(runs: list[str] | None) -> list[Path]:
    """Return the checkpoints that runs, or .pt files, mean; of one run its best and its last.

    Raises:
        UserError: if there are not several different ones.
    """
    named = [Path(run).expanduser() for run in runs or []]
    for folder in filter(is_kfold, named):
        raise UserError(
            f"{folder} is a k-fold, whose models were validated on different faces: combine their "
            f"points with landmarks predict {say_setting('checkpoint', folder)}."
        )
    paths = [find_checkpoint(place) for place in named]
    if len(named) == 1 and named[0].is_dir():
        paths.append(find_checkpoint(named[0], "last.pt"))
    refuse_twice(paths)
    if len(paths) < 2:
        error = UserError(
            "Weights of several different checkpoints are averaged: landmarks average RUN RUN, or "
            "one run, whose best.pt and last.pt are taken."
        )
        error.code = 2
        raise error
    return paths


def refuse_strangers(paths: list[Path], checkpoints: list[Checkpoint]) -> None:
    """Refuse checkpoints whose weights cannot be averaged, or that were validated elsewhere.

    Raises:
        UserError: naming the two and what parts them.
    """
    first, shapes = checkpoints[0], _shapes(checkpoints[0])
    for path, other in zip(paths[1:], checkpoints[1:], strict=True):
        what = next((key for key in ALIKE if other.config[key] != first.config[key]), None)
        if other.layout != first.layout or other.num_points != first.num_points:
            what = "layout"
        elif _shapes(other) != shapes:
            what = "model"
        if what is not None:
            raise UserError(
                f"{path} and {paths[0]} differ in their {what}: weights of one model are averaged; "
                f"combine the points of different ones with checkpoint=[A,B]."
            )


def _shapes(checkpoint: Checkpoint) -> dict:
    return {name: tensor.shape for name, tensor in checkpoint.weights.items()}


class _Kitchen:
    """Mixes weights and judges them on the members' own validation faces."""

    def __init__(self, settings: AverageSettings, paths: list[Path], first: Checkpoint):
        asked = {"device": settings.device, "amp": settings.amp, "graph": False}
        self.predictor = Predictor(paths[0], **asked)
        use_threads(settings.threads, self.predictor.device)
        run = paths[0].parent
        training, validation = (
            choose_judged(first.config, [run], settings.data, part) for part in ("train", "val")
        )
        names = self.predictor.layout.names
        training, validation = (
            part._replace(faces=in_order(part.faces, names)) for part in (training, validation)
        )
        _refuse_other_splits(paths, training)
        require_truth(validation.faces, validation.rows, first.num_points)
        count = min(len(training.rows), settings.statistics_from)
        sample = training.rows[np.linspace(0, len(training.rows) - 1, count).astype(int)]
        self.eyes = self.predictor.layout.eyes
        self.seen = self._batches(settings, training, sample)
        self.judged = self._batches(settings, validation, validation.rows)

    def _batches(self, settings: AverageSettings, judged: Judged, rows: np.ndarray) -> Batches:
        framing = Framing(
            batch_size=settings.batch_size,
            on_error=settings.data["on_error"],
            workers=settings.workers,
        )
        return self.predictor.batches(take(judged.faces, rows), framing)

    def judge(self, weights: dict) -> dict:
        """Return the figures of weights as they are."""
        self.predictor.model.load_state_dict(weights)
        return validate(self.predictor.model, self.judged, self.predictor.precision, self.eyes)

    def mix(self, members: list[Member]) -> Tested:
        """Return the mean of members' weights, its batch norms estimated anew, and its figures."""
        model = self.predictor.model
        model.load_state_dict(average_weights([member.checkpoint.weights for member in members]))
        reestimate_statistics(model, self.seen, self.predictor.precision)
        weights = {name: tensor.cpu().clone() for name, tensor in model.state_dict().items()}
        return Tested(weights, self.judge(weights))


def _refuse_other_splits(paths: list[Path], training: Judged) -> None:
    """Refuse runs that were validated on faces that another one was trained on."""
    own = load_split(paths[0].parent / "split.npz", training.faces)
    for path in paths[1:]:
        other = load_split(path.parent / "split.npz", training.faces)
        if not all(np.array_equal(a, b) for a, b in zip(own, other, strict=True)):
            raise UserError(
                f"{path.parent} was validated on other faces than {paths[0].parent}, which one of "
                f"the two was trained on: train runs to be averaged with one split.seed or "
                f"split.file."
            )


def _mix(kitchen: _Kitchen, members: list[Member]) -> tuple[list[Member], Tested]:
    return members, kitchen.mix(members)


def _mix_greedily(kitchen: _Kitchen, members: list[Member]) -> tuple[list[Member], Tested]:
    """Take members, the best first, as long as each makes the mean better."""
    best = members[0]
    chosen, tested = [best], Tested(best.checkpoint.weights, kitchen.judge(best.checkpoint.weights))
    for member in members[1:]:
        tried = kitchen.mix([*chosen, member])
        helps = tried.scores["mse"] < tested.scores["mse"]
        verdict = "taken" if helps else "left out"
        log.info(f"With {member.path}: {tried.scores['mse']:.3f} px², {verdict}")
        if helps:
            chosen, tested = [*chosen, member], tried
    return chosen, tested


def _keep(out: Path, best: Member, tested: Tested) -> None:
    out.mkdir(parents=True, exist_ok=True)
    metrics = {**best.checkpoint.metrics}
    metrics |= {"val_mse": tested.scores["mse"], "val_nme": tested.scores["nme"]}
    kept = replace(best.checkpoint, weights=tested.weights, metrics=metrics, training=None)
    shutil.copyfile(best.path.parent / "split.npz", out / "split.npz")
    save_checkpoint(out / "best.pt", kept)
    with replacing(out / FINISHED) as part:
        part.write_text(json.dumps(metrics), encoding="utf-8")
    log.info(f"A model like any other: {out / 'best.pt'}")
