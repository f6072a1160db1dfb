"""Which layout the points have: the named one or, of that number of points, the one that fits."""

import logging
import re
from dataclasses import replace
from importlib.resources import files

import numpy as np
from omegaconf import OmegaConf

from landmarks.data.faces import Faces
from landmarks.data.reading.named_points import are_numbers
from landmarks.errors import UserError, say_count
from landmarks.layout import Layout, pair_names
from landmarks.shapes.layout_fit import find_misplaced
from landmarks.shapes.symmetry import Symmetry

log = logging.getLogger(__name__)
NAMED = "named"


def settle_layout(
    node: dict, faces: Faces, rows: np.ndarray, labelled: np.ndarray, seed: int = 0
) -> Layout:
    """Return the layout of labelled faces: the chosen one, if the labels lie where it says.

    Of a layout that "auto" has chosen and that does not fit, only the pairs are kept: whether they
    are mirror images is judged by themselves, see `landmarks.shapes.symmetry.find_symmetry`.

    Args:
        node: of configs/layout.
        rows: (n,) the faces to look at.
        labelled: (K,) bool, which points they have labels of.
        seed: of which of them.
    """
    named = choose_layout(node, faces.num_points)
    has_own = len(faces.point_names) > 0 or faces.flip is not None
    # As many points may be other ones: a layout that names its points is believed by their names.
    if named.names and named.names != list(faces.point_names) and node["name"] == "auto":
        named = Layout("none", faces.num_points)
    if node["name"] == "auto" and named.name == "none" and has_own:
        return _of_data(faces)
    spots = named.spots()
    doubt = find_misplaced(faces.points, rows, spots, seed) if spots else ""
    if not doubt:
        own = list(faces.point_names)
        if named.name == "none" and not are_numbers(own):  # which numbers these are is kept
            own = []
        named = replace(named, names=named.names or own)
        return _drop_unlabelled_eyes(named, faces, labelled)
    if node["name"] == "auto":
        return _of_data(faces) if has_own else _unname(named, doubt)
    log.warning(
        f"layout={named.name} does not fit the points of {faces.source}: {doubt}. Its regions and "
        f"its NME mean nothing; use layout=auto, or one of your own."
    )
    return named


def settle_pairs(node: dict, named: Layout, flip: np.ndarray | None) -> Layout:
    """Return the layout, or none where "auto" has chosen it and the faces' own pairs are others.

    Args:
        flip: (K,) the permutation that the faces bear out, if any.
    """
    known = named.flip_permutation()
    if node["name"] != "auto" or named.name in ("none", NAMED) or known is None or flip is None:
        return named
    others = int((flip != known).sum())
    doubt = f"other mirror images of {say_count(others, 'point')}"
    return _unname(named, doubt) if others else named


def warn_of_flip(faces: Faces, symmetry: Symmetry) -> None:
    """Warn of a flip_idx that the data name and their points do not bear out."""
    if faces.flip is None or symmetry.flip is None or symmetry.source == "flip_idx":
        return
    others = int((faces.flip != symmetry.flip).sum())
    if others:
        log.warning(
            f"flip_idx of {faces.source} gives {say_count(others, 'point')} other partners: it is "
            f"not used; correct it there."
        )


def _of_data(faces: Faces) -> Layout:
    """Return the layout that the data names: its points' names, and its pairs or those by left and
    right in the names."""
    names = list(faces.point_names)
    flip = [] if faces.flip is None else faces.flip.tolist()
    if flip and flip == [*range(len(flip))] and pair_names(names) is not None:
        log.warning(
            f"flip_idx of {faces.source} exchanges no points, and their names hold left and right: "
            f"these make the pairs."
        )
        flip = []
    return Layout(NAMED, faces.num_points, names=names, flip=flip)


def _unname(named: Layout, doubt: str) -> Layout:
    log.warning(
        f"The {named.num_points} points are in another order than layout {named.name}, which has "
        f"as many: {doubt}. They are taken to have no regions, and errors are normalised by their "
        f"box (layout none)."
    )
    return replace(named, name="none", eyes=None, regions={}, places={})


def _drop_unlabelled_eyes(named: Layout, faces: Faces, labelled: np.ndarray) -> Layout:
    if not named.eyes or labelled[named.eyes].all():
        return named
    left, right = named.eyes
    log.warning(
        f"The eyes of layout {named.name}, points {left} and {right}, are not labelled in "
        f"{faces.source}: errors are normalised by the box of a face's points."
    )
    return replace(named, eyes=None, places={})


def choose_layout(node: dict, num_points: int) -> Layout:
    """Return the configured layout; for "auto" the one that has this number of points."""
    if node["name"] == "auto":
        for file in sorted(files("landmarks.configs.layout").iterdir(), key=lambda f: f.name):
            if file.name.endswith(".yaml"):
                text = file.read_text()
                if re.search(rf"^num_points: {num_points}\b", text, re.MULTILINE):
                    return Layout(**OmegaConf.to_container(OmegaConf.create(text)))
    if "num_points" not in node:
        return Layout("none", num_points)
    if node["num_points"] != num_points:
        raise UserError(
            f"layout={node['name']} has {say_count(node['num_points'], 'point')} and the data has "
            f"{num_points}: use layout=auto or layout=none."
        )
    return Layout(**node)
