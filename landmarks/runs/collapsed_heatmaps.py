"""A warning of heatmaps that have collapsed to zero."""

import logging
from pathlib import Path

from landmarks.runs.log import Logger

log = logging.getLogger(__name__)
EMPTY_CONFIDENCE = 0.1  # mean confidence below which maps are called empty ...
SETTLED_SHARE = 0.1  # ... after this share of training: all maps start near zero
MIN_STEPS = 200  # steps in which maps need not have risen


class EmptyMapsWarning(Logger):
    """Says once that the heatmaps of a model that has some have collapsed to zero.

    Nearly all cells of all targets are zero, so a network may learn to predict zero everywhere. A
    training of few steps is warned at its end only.
    """

    def __init__(self, run_dir: Path):
        super().__init__(run_dir)
        self.warned = False

    def log_epoch(self, history: list[dict], progress: float) -> None:
        """Look at the last row's confidence, which a model without heatmaps does not have."""
        row = history[-1]
        is_empty = row.get("val_confidence", 1.0) < EMPTY_CONFIDENCE
        if self.warned or progress < SETTLED_SHARE or not is_empty:
            return
        found = f"the maxima of labelled points' maps are {row['val_confidence']:.3f} in the mean"
        if row["step"] < MIN_STEPS:
            if progress >= 1:
                log.warning(
                    f"The heatmaps are still empty after {row['step']} steps: {found}, not near 1. "
                    f"These are few steps; train for longer."
                )
            return
        self.warned = True
        way_on = "if it stays so, start anew" if progress < 1 else "train for longer, or anew"
        log.warning(
            f"The heatmaps have collapsed to zero: after {100 * progress:.0f} % of training, "
            f"{row['step']} steps, {found}, not near 1; {way_on} with a higher model.sigma or "
            f"model.weight, a lower optimizer.lr, or another loss."
        )
