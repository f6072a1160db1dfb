"""Who may import whom: the rooms of the house, downwards only."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import landmarks
from landmarks.cli.command_list import COMMANDS

PACKAGE = Path(landmarks.__file__).parent
TOP = set("devices errors files geometry interrupt layout losses machine metrics".split())
LEAVES = TOP | {
    "distributed",
    "settings",
}  # what everybody uses: they import nothing of ours but one another
ANYTHING = None
ALLOWED = {  # beside the leaves and the room itself
    "cli": {"commands", "runs", "training"},
    "commands": ANYTHING,
    "evaluation": {"data", "inference", "outputs"},
    "inference": {"data", "models", "runs", "training"},  # precision and the loop that predicts
    "export": {"data", "heatmaps", "inference", "models"},
    "training": {"augment", "outputs", "runs"},
    "models": {"heatmaps", "runs"},
    "viewer": {"data"},
    "shapes": {"data"},
    "health": {"data", "outputs", "shapes"},
    "data": {"synthetic"},
    "runs": {"outputs"},
}
OUTSIDE = {
    "hydra": {"cli", "commands"},
    "omegaconf": {"cli", "commands"},
    "pandas": {"data", "outputs", "runs"},
    "cv2": {"data", "evaluation", "health", "outputs", "synthetic", "viewer"},
    "scipy": {"data", "evaluation", "health", "shapes"},
    "matplotlib": {"outputs"},
    "jinja2": {"evaluation"},
    "flask": {"viewer"},
}
FILES = sorted(p for p in PACKAGE.rglob("*.py") if "configs" not in p.parts)


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_go_downwards(file):
    room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return
    allowed = ALLOWED.get(room, set())
    for name in imports(file):
        parts = name.split(".")
        if parts[0] == "landmarks" and len(parts) > 1 and parts[1] != "__version__":
            open_to_it = allowed is ANYTHING or parts[1] in {room} | LEAVES | allowed
            assert open_to_it, f"{room} imports {name}"
        if parts[0] in OUTSIDE:
            assert room in OUTSIDE[parts[0]], f"{room} imports {parts[0]}"


def test_no_files_import_in_a_circle():
    names = {
        ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts): file for file in FILES
    }
    graph = {name: names.keys() & set(imports(file)) for name, file in names.items()}
    assert (
        graph["landmarks.cli.main"] and "landmarks.cli.start_ranks" in graph["landmarks.cli.main"]
    )
    TopologicalSorter(graph).prepare()  # raises CycleError, which names them


def test_the_top_holds_only_what_everybody_uses():
    assert {file.stem for file in PACKAGE.glob("*.py")} == {"__init__", "__main__"} | TOP


def test_two_files_have_one_name_only_where_they_do_the_same_for_their_room():
    words = {PACKAGE / "commands" / f"{word}.py" for word in COMMANDS}  # which users type
    names = [file.stem for file in FILES if file.stem != "__init__" and file not in words]
    assert len(names) == len(set(names)), {name for name in names if names.count(name) > 1}
