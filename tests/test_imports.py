"""Who may import whom: the rooms of the house, downwards only."""

import ast
from pathlib import Path

import pytest

import landmarks

PACKAGE = Path(landmarks.__file__).parent
LEAVES = {  # open to all
    *("archive", "cores", "devices", "errors", "files", "geometry", "interrupt"),
    *("quoting", "settings"),
}
ANYTHING = None
ALLOWED = {
    "cli": {"jobs", "lock", "overrides", "resume", "runs", "words", "commands"},
    "overrides": {"words"},
    "resume": {"runs", "saved", "lock", "words"},
    "saved": {"overrides", "checkpoint", "commands", "words"},
    "runs": {"lock"},
    "jobs": {"runs"},
    "commands": ANYTHING,
    "engine": {"training", "budget", "interrupt", "precision", "progress", "validation"},
    "validation": {"faults", "metrics", "precision"},
    "predictions": {"digits", "faults"},
    "submission": {"faults"},
    "augment": {"degrade", "warp"},
    "estimate": {"checkpoint", "training"},
    "shortage": {"budget", "estimate", "memory", "training"},
    "training": {"checkpoint", "ema", "precision"},
    "runlog": {"plotting"},
    "decoders": {"quadratic"},
    "heatmaps": {"foundgradient", "losses"},
    "models": {"models", "losses", "foundgradient", "heatmaps", "decoders"},
    "health": {"health", "data", "plotting"},
    "data": {"data", "synthetic"},
    "synthetic": {"synthetic"},
}
OUTSIDE = {
    "hydra": {"cli", "overrides", "words", "resume", "saved", "commands"},
    "omegaconf": {"cli", "overrides", "resume", "saved", "commands"},
    "pandas": {"data", "submission", "runlog"},
    "cv2": {"data", "health", "plotting", "synthetic"},
    "scipy": {"data"},
    "matplotlib": {"plotting"},
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
            assert allowed is ANYTHING or parts[1] in LEAVES | allowed, f"{room} imports {name}"
        if parts[0] in OUTSIDE:
            assert room in OUTSIDE[parts[0]], f"{room} imports {parts[0]}"


@pytest.mark.parametrize("room", sorted(LEAVES))
def test_leaves_import_nothing_of_ours_but_leaves(room):
    ours = {name.split(".")[1] for name in imports(PACKAGE / f"{room}.py") if "landmarks." in name}
    assert ours <= LEAVES


def test_files_stay_small():
    long = {str(f): n for f in FILES if (n := len(f.read_text().splitlines())) > 230}
    assert not long
