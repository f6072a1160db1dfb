"""Draw faces.png: synthetic faces that a model has not seen, with true and predicted points.

python docs/pictures/draw.py            # trains for half an hour first
python docs/pictures/draw.py RUN        # a run's folder, of any model with 971 points
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from landmarks.data.tables.landmarks_csv import map_labels
from landmarks.geometry import transform
from landmarks.synthetic.write_faces import write_faces

SEED = 7  # training has 0
DRAWN = 24  # faces, of which those numbered in SHOWN are shown
SHOWN = (7, 14, 22)
WIDTH, HEIGHT = 256, 320  # pixels of a face in the picture
MARGIN = 0.22  # about the points, share of their box's height
FINE = 4  # times as many while drawing, so that edges are smooth
TRUE, PREDICTED = (90, 220, 70), (60, 60, 255)  # green and red, BGR
TRAIN = (
    *("data=synthetic", "data.train=4000", "data.test=60"),
    *("model=resnet18", "model.weights=none", "input_size=96", "batch_size=16"),
    *("epochs=null", "max_time=26m"),
)


def run_landmarks(command: str, run_dir: Path, *settings: str) -> Path:
    """Run a `landmarks` command and return its folder."""
    words = [command, f"run_dir={run_dir}", *settings]
    subprocess.run([sys.executable, "-m", "landmarks", *words], check=True)
    return run_dir


def predict(checkpoint: Path, images: Path, out: Path) -> dict[str, np.ndarray]:
    """Return file name -> predicted points (K, 2), original pixels."""
    settings = (f"checkpoint={checkpoint}", f"input={images}", "npz=true", "round=false")
    run_landmarks("predict", out, *settings)
    with np.load(out / "predictions.npz") as found:
        return dict(zip(found["names"].tolist(), found["points"], strict=True))


def draw(image: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the part of a face's image about its points (HEIGHT, WIDTH, 3), points drawn in."""
    low, high = truth.min(0), truth.max(0)
    scale = FINE * HEIGHT / ((1 + 2 * MARGIN) * (high - low)[1])
    size = np.array([FINE * WIDTH, FINE * HEIGHT])
    matrix = np.array([[scale, 0, 0], [0, scale, 0]])
    matrix[:, 2] = (size - 1) / 2 - scale * (low + high) / 2
    large = cv2.warpAffine(
        image, matrix, size.tolist(), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    for points, colour, radius in ((truth, TRUE, 1.2), (predicted, PREDICTED, 0.8)):
        for x, y in transform(matrix, points).round().astype(int).tolist():
            cv2.circle(large, (x, y), round(FINE * radius), colour, -1, cv2.LINE_AA)
    return cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def main() -> None:
    """Train if no run is named, predict, and write faces.png beside this file."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run = (
            Path(sys.argv[1]) if sys.argv[1:] else run_landmarks("train", folder / "train", *TRAIN)
        )
        write_faces(folder / "faces", 1, DRAWN, SEED)
        test = folder / "faces" / "test"
        predicted = predict(run, test / "images", folder / "predict")
        names, truth = map_labels(test / "landmarks.csv", str(folder / "cache"))
        tiles = [
            draw(cv2.imread(str(test / "images" / name)), truth[i], predicted[name])
            for i, name in enumerate(map(bytes.decode, names.tolist()))
            if i in SHOWN
        ]
    picture = np.hstack(tiles)
    cv2.imwrite(str(Path(__file__).with_name("faces.png")), picture)


if __name__ == "__main__":
    main()
