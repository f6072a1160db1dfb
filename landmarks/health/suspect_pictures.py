"""suspects.png: the worst faces with their points, each under its reason."""

from collections import deque
from pathlib import Path

import cv2

from landmarks.data.faces import Faces
from landmarks.data.images.decoding import read_image
from landmarks.health.suspects import Finding, worst_first
from landmarks.outputs.pictures import arrange, draw_face, save_picture

MAX_PICTURED = 16
TITLE = 26  # pixels of black above a face


def save_suspects(path: Path, parts: dict[str, Faces], findings: list[Finding]) -> int:
    """Write at most `MAX_PICTURED` suspects as a grid; return how many.

    Reasons take turns, so that one common fault does not fill the picture. Where no image can be
    read, nothing is written.
    """
    waiting: dict[str, deque] = {}
    for finding in worst_first(findings):
        if finding.reason not in ("missing", "corrupt"):
            waiting.setdefault(finding.reason, deque()).append(finding)
    tiles, turns = [], deque(waiting.values())
    while turns and len(tiles) < MAX_PICTURED:
        queue = turns.popleft()
        finding = queue.popleft()
        if queue:
            turns.append(queue)
        faces = parts[finding.part]
        image = read_image(faces.path(finding.row), exif=faces.exif)
        if image is None:
            continue
        points = None if faces.points is None else faces.points[finding.row]
        tile = draw_face(image, points, None)
        tile = cv2.copyMakeBorder(tile, TITLE, 0, 0, 0, cv2.BORDER_CONSTANT)
        title = f"{finding.reason} {finding.score:.1f}  {finding.name[-22:]}"
        place, font = (6, TITLE - 8), cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(tile, title, place, font, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
        tiles.append(tile)
    if tiles:
        save_picture(path, arrange(tiles))
    return len(tiles)
