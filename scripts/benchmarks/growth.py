"""How time and memory of the heatmap loss grow with the number of points and the maps' side."""

import argparse
from statistics import median

import torch

from benchmarks.heatmap import WEIGHT, chunked, differentiate, make_inputs
from benchmarks.memory import extra_peak
from benchmarks.model import NUM_POINTS, add_device_options, prepare_device
from benchmarks.turns import add_rounds, take_turns
from landmarks.heatmaps.heatmap_loss import pointwise
from landmarks.losses import adaptive_wing

POINTS, SIDES = (68, 250, 971, 4000), (32, 64, 128, 256)
SIDE = 64  # for the rows that differ in points


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    add_device_options(parser)
    parser.add_argument("--images", type=int, default=2, help="a batch (default: %(default)s)")
    parser.add_argument("--largest", type=int, default=10**9, help="leave out more cells than this")
    add_rounds(parser)


def measure(options: argparse.Namespace) -> dict:
    """Return {"rows": [{"points", "side", "seconds", "ns_per_cell", "extra_mib", "features_mib"}]}.

    features_mib is what the features alone take, once; their gradient takes as much again.
    """
    device = prepare_device(options)
    function = torch.compile(pointwise(adaptive_wing, WEIGHT), dynamic=False)
    shapes = [(points, SIDE) for points in POINTS] + [(NUM_POINTS, side) for side in SIDES]
    print(
        f"64 channels to K maps, {options.images} images, Adaptive Wing, forward and backward, "
        f"compiled, float32 on {device} (threads: {torch.get_num_threads()}):\n"
        f"  {'K':>5} {'side':>5} {'s':>8} {'ns a cell':>10} {'extra MiB':>10} {'features MiB':>13}"
    )
    rows = []
    for points, side in shapes:
        cells = options.images * points * side**2
        if cells > options.largest:
            continue
        inputs = make_inputs(options.images, points, side, device)

        def call(inputs=inputs) -> None:
            differentiate(chunked, inputs, function)

        take_turns({"": call}, 2)  # compiles
        seconds = median(take_turns({"": call}, options.rounds)[""])
        row = {
            "points": points,
            "side": side,
            "seconds": round(seconds, 4),
            "ns_per_cell": round(1e9 * seconds / cells, 2),
            "extra_mib": round(extra_peak(call, device) / 2**20, 1),
            "features_mib": round(4 * inputs[0].numel() / 2**20, 1),
        }
        rows.append(row)
        print(
            f"  {points:>5} {side:>5} {seconds:>8.3f} {row['ns_per_cell']:>10.2f} "
            f"{row['extra_mib']:>10.1f} {row['features_mib']:>13.1f}"
        )
    return {"rows": rows}
