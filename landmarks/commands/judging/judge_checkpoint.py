"""From what `checkpoint=` names to a judgement: a model, several as one, or a k-fold."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from landmarks.commands.judging.judge import Sharing, judge_file, judge_model, say_files
from landmarks.commands.judging.judged_faces import (
    SplitName,
    choose_judged,
    is_named,
    with_occluded,
)
from landmarks.commands.preparing.data_for_model import in_order, read_data
from landmarks.data.faces import Faces
from landmarks.data.split import load_split
from landmarks.distributed.deal_work import refuse_several
from landmarks.distributed.rank_messages import first_of_node
from landmarks.errors import UserError
from landmarks.evaluation.write_evaluation import Judgement
from landmarks.inference.finder_protocol import Finder, Framing
from landmarks.inference.open_model import Sources, list_checkpoints, open_finder
from landmarks.inference.rebuild_model import describe_model
from landmarks.layout import Layout
from landmarks.runs.checkpoint import load_checkpoint
from landmarks.runs.find_runs import is_kfold

log = logging.getLogger(__name__)


def judge_checkpoint(
    source: Sources,
    data: dict,
    split: SplitName | None,
    out: Path,
    framing: Framing,
    sharing: Sharing,
    **options: Any,
) -> tuple[Judgement | None, Finder | None]:
    """Return a judgement of a model, see `judge_model`, and the model.

    A k-fold is judged by the predictions that it keeps: of each face by the model that has not seen
    it. On other faces the mean of its models counts; then, as of any model, there is one.

    Args:
        source: see `open_finder`.
        data: of configs/data; what is None there is as in training.
        split: see `choose_judged`.
        options: as of `open_finder`.

    Raises:
        UserError: for an option or a framing of a model where a k-fold's own predictions count.
    """
    paths = list_checkpoints(source)
    if isinstance(source, str) and is_kfold(Path(source)) and split in (None, "val", "all"):
        faces = _faces_of_folds(paths, data)
        if faces is not None:
            refuse_several(f"{source} is a k-fold, whose own predictions are judged by one process")
            _refuse_options({**options, **asdict(framing)})
            return _judge_folds(Path(source), paths, faces, out, sharing), None
    if paths[0].suffix.lower() == ".onnx" and not is_named(data):
        raise UserError(
            f"{paths[0]}: an exported model knows no faces to be judged on; name them with "
            f"data=FORMAT and data.root=FOLDER."
        )
    finder = open_finder(source, **options)
    with first_of_node("what the first process of this machine reads"):
        judged = choose_judged(finder.config, [path.parent for path in paths], data, split)
    judged = judged._replace(faces=in_order(judged.faces, finder.layout.names))
    if judged.trained:
        who = "The model was" if len(paths) == 1 else "Some of the models were"
        log.warning(
            f"{who} trained on {judged.trained} of these {len(judged.rows)} faces: other faces "
            f"will have larger errors."
        )
    if judged.split in ("val", "train"):
        sharing = share_as_split(sharing, finder.config.get("split", {}))
    return judge_model(finder, paths, judged, out, framing, sharing), finder


def share_as_split(sharing: Sharing, split: dict) -> Sharing:
    """Return which faces belong together: those that a run's split kept together, unless named."""
    if sharing.groups is not None or split.get("by") != "groups":
        return sharing
    return sharing._replace(table=sharing.table or split["file"], groups=split["column"])


def _faces_of_folds(paths: list[Path], data: dict) -> Faces | None:
    """Return the faces that a k-fold was trained on, if it is those that the data name."""
    faces = read_data(data, with_occluded(load_checkpoint(paths[0]).config), "train")
    if is_named(data):
        try:
            load_split(paths[0].parent / "split.npz", faces)
        except UserError:
            return None
    return faces


def _refuse_options(given: dict) -> None:
    """Refuse what would change nothing."""
    own = {"ensemble": "mean", "one_at_a_time": False}
    for name in ("decoder", "flip_test", "box_from", "box_margin", *own):
        if given.get(name) != own.get(name) and given.get(name) is not None:
            raise UserError(
                f"{name}={str(given[name]).lower()} changes nothing: a k-fold is judged by the "
                f"predictions that it keeps; leave it out, or name a fold, such as RUN/fold-0."
            )


def _judge_folds(
    run: Path, paths: list[Path], faces: Faces, out: Path, sharing: Sharing
) -> Judgement:
    """Judge a k-fold's predictions of the faces that each model was not trained on."""
    checkpoint = load_checkpoint(paths[0])
    kind = describe_model(checkpoint.config["model"])
    model = {
        **say_files(paths),
        "path": str(run),
        "model": f"out of fold, {len(paths)} models: {kind}",
        "epoch": None,
        "flip_test": None,
    }
    log.info(f"{run}: out-of-fold predictions of {len(paths)} models.")
    sharing = share_as_split(sharing, checkpoint.config["split"])
    layout, stored = Layout(**checkpoint.layout), run / "predictions.npz"
    faces = in_order(faces, layout.names)
    return judge_file(stored, faces, "out of fold", layout, out, sharing, model)
