"""Where a model fails, in sentences: what an evaluation says first."""

import numpy as np

MIN_SHARE = 0.02  # of the faces, that a slice must have to be named
MIN_FACES = 5
MIN_RATIO = 1.15  # times the mean error
WORST = 0.05  # share of the faces whose part in the error is told
UNTOLD = ("(unknown)", "(others)")


def name_weaknesses(metrics: dict, squared: np.ndarray, count: int = 3) -> list[str]:
    """Return up to `count` + 2 sentences, the gravest slices between regions and single faces.

    Args:
        metrics: as in metrics.json.
        squared: (N,) the faces' errors.
    """
    said = []
    regions = [row for row in metrics["regions"] if row["share"] is not None]
    if len(regions) > 1:
        worst = max(regions, key=lambda row: row["share"])
        said.append(
            f"{worst['share']:.0%} of the squared error lies in {worst['region']}, which has "
            f"{worst['points'] / metrics['points']:.0%} of the points."
        )
    for ratio, name, part in _slices(metrics)[:count]:
        error = (
            f"NME {part['nme']:.4f}" if part["nme"] is not None else f"MSE {part['mse']:.2f} px²"
        )
        said.append(
            f"Faces with {name} {part['label']} ({part['faces']} of {metrics['faces']}): {error}, "
            f"{ratio:.1f} times the mean."
        )
    known = np.sort(squared[np.isfinite(squared)])[::-1]
    number = max(1, round(WORST * len(known)))
    if len(known) >= 2 / WORST and known.sum() > 0:
        share = known[:number].sum() / known.sum()
        said.append(
            f"The worst {number} of {len(known)} faces have {share:.0%} of the squared error."
        )
    return said


def _slices(metrics: dict) -> list[tuple[float, str, dict]]:
    """Return (times the mean error, name, part) of what is well above it, one a slice."""
    found = []
    key = "mse" if metrics["nme"] is None else "nme"  # of large faces the MSE is large anyway
    enough = max(MIN_FACES, MIN_SHARE * metrics["faces"])
    for each in metrics["slices"]:
        parts = [
            (part[key] / metrics[key], each["name"], part)
            for part in each["parts"]
            if part[key] is not None and part["faces"] >= enough and part["label"] not in UNTOLD
        ]
        if len(parts) > 1 and metrics[key]:
            found.append(max(parts, key=lambda part: part[0]))
    return sorted((part for part in found if part[0] >= MIN_RATIO), key=lambda part: -part[0])
