"""What a file or folder of labels looks like, so that a refusal can name what reads it."""

import os
import re
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from landmarks.data.reading.part_names import part_of
from landmarks.data.reading.text_file import refuse_binary
from landmarks.data.tables.table_rows import FLAT, find_nested, read_header
from landmarks.errors import UserError

HEAD = 1 << 16  # bytes of a file that are looked at
MAX_FILES = 3000  # files of a folder that are looked at
MAX_OF_AN_ENDING = 3  # of each ending
ENDINGS = (".yaml", ".yml", ".json", ".xml", ".pts", ".mat", ".csv", ".tsv", ".parquet", ".txt")
CONVERT = (
    "it is not read here: convert it to COCO keypoints (data=coco), or to a table of file_name, "
    "x_0, y_0, x_1, ... in pixels (data=table)"
)
COCO = (
    "read it with data=coco data.root={path.parent} data.train_annotations={path.name} "
    "data.train_images=FOLDER"
)
FILE = "read it with data={reader} data.train={path} data.images=FOLDER"
ROOT = "read its folder with data={reader} data.root={path.parent}"
TREE = "read a folder of such files with data={reader} data.root=FOLDER"
MAX_UP, MAX_DOWN = 2, 2  # folders above and below one that may be meant
SEPARATORS = re.compile(r"[,;\t]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan", re.IGNORECASE)


class Kind(NamedTuple):
    """A kind of labels: its name, the reader that takes it ("" where none does), what to do.

    The advice may name {reader} and {path}, the file.
    """

    what: str
    reader: str = ""
    advice: str = CONVERT


YOLO = Kind(
    "YOLO-pose labels",
    "yolo",
    "read them with data=yolo data.root=FOLDER, which holds data.yaml",
)
PTS = Kind("300-W's .pts files", "ibug", "read them with data=ibug data.root=FOLDER")
FACIAL = Kind("Kaggle's Facial Keypoints Detection", "facial_keypoints", ROOT)
DLIB = Kind("dlib's XML (imglab)", "dlib", FILE)
CVAT = Kind("CVAT's XML", "cvat", FILE)
LABELME = Kind("LabelMe's JSON", "labelme", TREE)
LABEL_STUDIO = Kind("Label Studio's JSON", "label_studio", FILE)
MAT = Kind(
    "a MATLAB file",
    "mat_files",
    "read a folder of one a face, as 300W-LP, with data=mat_files data.root=FOLDER; of others, "
    "write the points to a CSV (data=table)",
)
COFW = Kind("COFW's MATLAB file", "cofw", ROOT)
POINTS = Kind("a list of one face's points", "points", TREE)
# What stands near the beginning of a file, all of it, of which kind it then is.
MARKS = (
    (r"(<[?!].*)?<dataset\b", r"<image\s+file=", DLIB),
    (r"(<[?!].*)?<annotations\b", r"<(image|track)\s+id=", CVAT),
    (r"(<[?!].*)?<annotation\b", r"<(filename|object)>", Kind("Pascal VOC's XML")),
    (r"<\?xml|<\w+>", r"", Kind("XML of a kind unknown here")),
    (r'[{\[].*"shapes"\s*:', r'"(imagePath|shape_type)"\s*:', LABELME),
    (r'[{\[].*"original_width"\s*:', r'"(value|keypointlabels|rectanglelabels)"', LABEL_STUDIO),
    (r'[{\[].*"(_via_\w+|shape_attributes)"\s*:', r"", Kind("VIA's JSON")),
    (r'\[\s*\{.*"image_id"\s*:', r'"keypoints"\s*:', Kind("COCO results, without images")),
    (r'\{.*"images"\s*:', r'"file_name"\s*:', Kind("COCO keypoints", "coco", COCO)),
    (r'\{.*"annotations"\s*:', r'"image_id"\s*:', Kind("COCO keypoints", "coco", COCO)),
    (r'\{.*"categories"\s*:', r'"(keypoints|supercategory)"\s*:', Kind("COCO", "coco", COCO)),
    (r'[{\[]\s*["{\[\]}]', r"", Kind("JSON of a kind unknown here")),
    (r"(.*\n)?(kpt_shape|names|nc)\s*:", r"\b(train|val|kpt_shape)\s*:", YOLO),
    (r"version\s*:.*\n?", r"n_points\s*:", PTS),
    (r"#?filename,file_size,", r"region_shape_attributes", Kind("VIA's CSV")),
    (r"scorer\b", r"bodyparts", Kind("DeepLabCut's table with three header lines", "table", FILE)),
    (r"[^\n]*_x\b[^\n]*\bImage\s*\n", r"(\d+ ){99}", FACIAL),
    (r"RowId\b|ImageId\b", r"", FACIAL),
    (r"\s*\d+\s*\n\s*\w+_x +\w+_y", r"", Kind("CelebA's list", "table", FILE)),
)


def describe_other(path: Path, reader: str, but_test: bool = False) -> str:
    """Return one sentence on what a file or folder looks like and what to do, or "".

    Args:
        path: it need not be there.
        reader: the last word of data=..., which was asked to read it; "" is returned where it
            seems to be the right one. "": none was.
        but_test: pass over a folder's files whose names say that they are of test faces.
    """
    try:
        is_folder = path.is_dir()
        kind, found = _of_folder(path, but_test) if is_folder else (_of_file(path), path)
    except OSError:
        return ""
    if kind is None or (reader and kind.reader == reader) or (kind is PTS and reader == "points"):
        return ""
    advice = kind.advice
    if part_of(found.relative_to(path) if is_folder else Path(found.name)) == "test":
        advice = advice.replace("data.train", "data.test").replace(
            "data.images", "data.test_images"
        )
    advice = advice.format(path=found, reader=kind.reader)
    return f"'{found}' looks like {kind.what}; {advice}."


def kind_of(path: Path) -> Kind:
    """Return what a file looks like; of what is not known, a kind without a reader.

    Raises:
        UserError: if it is binary; OSError: if it cannot be read.
    """
    return _of_file(path) or Kind("of a kind unknown here")


def refuse_other(path: Path, reader: str) -> None:
    """Raise UserError if the file or folder looks like what `reader` does not read."""
    said = describe_other(path, reader)
    if said:
        raise UserError(said)


def refuse_damaged(path: Path) -> None:
    """Raise UserError if a file of labels is cut off, or is a pointer or another form of one."""
    try:
        kind = _of_file(path)
        if kind is not None and kind.reader == "table":
            read_header(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error


def refuse_near(root: Path, *marks: str) -> None:
    """Raise UserError if a folder near this one holds what belongs here: one that holds it, or one
    inside of it, was named by mistake.

    Args:
        root: a folder without the marks.
        marks: paths, of which one stands in the folder that is meant.
    """

    def is_meant(folder: Path) -> bool:
        return any((folder / mark).exists() for mark in marks)

    above = [*Path(os.path.abspath(root)).parents][:MAX_UP]  # noqa: PTH100 (links stay links)
    found = next((folder for folder in (*above, *folders_below(root)) if is_meant(folder)), None)
    if found is not None:
        raise UserError(f"No faces in '{root}': did you mean data.root={found}?")


def folders_below(root: Path) -> list[Path]:
    """Return the folders down to two levels below one, the nearest first."""
    levels = [[root]]
    for _ in range(MAX_DOWN):
        inner = (path for folder in levels[-1] for path in _listed(folder) if path.is_dir())
        levels.append(list(islice(inner, MAX_FILES)))
    return [folder for level in levels[1:] for folder in level]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(islice(folder.iterdir(), MAX_FILES))
    except OSError:
        return []


def _of_folder(root: Path, but_test: bool) -> tuple[Kind | None, Path]:
    """Return the kind of the first file in or below a folder that has one, and that file; one of
    test faces after all others of its ending."""

    def is_of_test(path: Path) -> bool:
        return part_of(path.relative_to(root)) == "test"

    walked = ((Path(folder) / name) for folder, _, names in os.walk(root) for name in sorted(names))
    files = [path for path in islice(walked, MAX_FILES) if not path.name.startswith("._")]
    files = sorted((it for it in files if not (but_test and is_of_test(it))), key=is_of_test)
    for ending in ENDINGS:
        for path in [p for p in files if p.suffix.lower() == ending][:MAX_OF_AN_ENDING]:
            kind = _of_file(path)
            if kind is not None:
                return kind, path
    return None, root


def _of_file(path: Path) -> Kind | None:
    if path.suffix.lower() in (".parquet", ".pq"):
        return _of_parquet(path)
    if path.suffix.lower() == ".mat":
        return COFW if path.name.lower().startswith(("cofw_train", "cofw_test")) else MAT
    refuse_binary(path)
    with path.open("rb") as file:
        head = file.read(HEAD).decode("utf-8-sig", errors="replace")
    text = head.lstrip()
    for start, within, kind in MARKS:
        if re.match(start, text, re.DOTALL) and re.search(within, text):
            return kind
    return _of_numbers(path, [line for line in head.splitlines() if line.strip()])


def _of_parquet(path: Path) -> Kind:
    try:
        nested = find_nested(path)
    except UserError:  # its reader says why
        nested = []
    return Kind("a table of nested columns", "", FLAT) if nested else Kind("a table", "table", FILE)


def _of_numbers(path: Path, lines: list[str]) -> Kind | None:
    """Return the kind of a file by the numbers in its lines."""
    if not lines:
        return None
    first = lines[0].split()
    if len(first) == 207 and all(map(NUMBER.fullmatch, first[:206])):
        return Kind("WFLW's list", "wflw", "read it with data=wflw data.root=FOLDER")
    rows = [SEPARATORS.sub(" ", line).split() for line in lines]
    if not all(NUMBER.fullmatch(field) for row in rows[:20] for field in row):
        is_table = SEPARATORS.search(lines[0]) or path.suffix.lower() in (".csv", ".tsv")
        return Kind("a table", "table", FILE) if is_table else None
    shares = [abs(float(field)) <= 1.5 for row in rows[:20] for field in row[1:5]]
    if all(len(row) >= 5 and row[0].isdigit() for row in rows[:20]) and all(shares):
        return YOLO
    if len(rows) == 1 or any(len(row) != 2 for row in rows[1:20]):
        return None
    return PTS if path.suffix.lower() == ".pts" else POINTS
