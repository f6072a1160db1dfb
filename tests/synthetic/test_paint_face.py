import cv2
import numpy as np
import pytest

from landmarks.synthetic import contours as c
from landmarks.synthetic.paint_face import draw_face, face_outline

COUNT = 50


@pytest.fixture(scope="module")
def faces() -> list[tuple[np.ndarray, np.ndarray]]:
    return [draw_face(np.random.default_rng([11, 0, i])) for i in range(COUNT)]


def colours(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Colours (n, 3) at the nearest pixels; points outside the image are dropped."""
    x, y = np.rint(points).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < image.shape[1]) & (y < image.shape[0])
    return image[y[inside], x[inside]].astype(float)


def eye_scale(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[c.OUTER_CORNERS[0]] - points[c.OUTER_CORNERS[1]]))


def test_same_generator_same_face(faces):
    image, points = draw_face(np.random.default_rng([11, 0, 3]))
    assert np.array_equal(image, faces[3][0])
    assert np.array_equal(points, faces[3][1])
    assert not np.array_equal(points, faces[4][1])


def test_shapes_types_and_sizes(faces):
    for image, points in faces:
        assert image.dtype == np.uint8 and image.shape[2] == 3 and image.flags.c_contiguous
        assert points.dtype == np.float32 and points.shape == (971, 2)
        assert np.isfinite(points).all()
        height, width = image.shape[:2]
        assert 150 <= height <= 420 and 0.99 <= height / width <= 1.41
    assert len({image.shape for image, _ in faces}) > 40


def test_points_are_not_rounded(faces):
    assert np.abs(faces[0][1] - np.rint(faces[0][1])).mean() > 0.2


def test_points_lie_in_or_near_the_image(faces):
    outside = []
    for image, points in faces:
        limit = np.array(image.shape[1::-1]) - 1
        beyond = np.maximum(np.maximum(-points, points - limit), 0).max(axis=1)
        outside.append(beyond / limit.max())
    outside = np.array(outside)
    assert (outside == 0).mean() > 0.97
    assert (outside.max(axis=1) < 0.15).mean() > 0.95


def test_pupils_are_darker_than_the_sclera_beside_them(faces):
    darker = []
    for image, points in faces:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
        eyes = ((c.EYE_LEFT, c.LID_LEFT, c.PUPIL_LEFT), (c.EYE_RIGHT, c.LID_RIGHT, c.PUPIL_RIGHT))
        for eye, lid, pupil in eyes:
            loop, rim, centre = points[eye], points[lid], points[pupil]
            opening = np.linalg.norm(loop[16] - loop[48])
            if opening < 0.05 * eye_scale(points):
                continue
            ends = np.stack([0.45 * loop[0] + 0.55 * rim[0], 0.45 * loop[32] + 0.55 * rim[32]])
            far = ends[np.linalg.norm(ends - centre, axis=1).argmax()]
            at_pupil, beside = colours(grey, centre[None]), colours(grey, far[None])
            if len(at_pupil) and len(beside):
                darker.append(at_pupil[0, 0] < beside[0, 0])
    assert len(darker) > COUNT
    assert np.mean(darker) > 0.75


def test_lips_are_redder_than_the_skin_around(faces):
    redder = []
    for image, points in faces:
        outer, inner = points[c.LIP_LOWER_OUTER], points[c.LIP_LOWER_INNER][::-1]
        lip = colours(image, 0.5 * (outer + inner)[10:22])
        below = outer[10:22] + 0.9 * (outer - inner)[10:22]
        skin = colours(image, below + 0.05 * (points[0] - points[586]))
        if len(lip) and len(skin) and np.ptp(lip.mean(0)) > 4:  # a grey photo has no red
            share = [(patch[:, 0] / (patch.sum(1) + 1)).mean() for patch in (lip, skin)]
            redder.append(share[0] > share[1])
    assert len(redder) > COUNT / 2
    assert np.mean(redder) > 0.85


def change_across(image: np.ndarray, points: np.ndarray, where: slice, offset: float) -> float:
    """Mean colour difference across a contour moved inwards by offset, in eye-corner distances."""
    inwards = points[c.NOSE_MIDLINE].mean(0) - points[where]
    inwards *= eye_scale(points) / np.linalg.norm(inwards, axis=1, keepdims=True)
    limit = np.array(image.shape[1::-1]) - 1
    sides = [(points[where] + (offset + k) * inwards).clip(0, limit) for k in (-0.03, 0.03)]
    return float(np.abs(colours(image, sides[0]) - colours(image, sides[1])).mean())


@pytest.mark.parametrize("where", [slice(0, 128), slice(136, 265)], ids=["jaw", "hairline"])
def test_the_face_ends_at_its_contour(faces, where):
    """Colours change most across the contour itself, less across copies of it moved in or out."""
    changes = {
        offset: np.mean([change_across(image, points, where, offset) for image, points in faces])
        for offset in (-0.15, -0.08, 0.0, 0.08, 0.15)
    }
    at_contour = changes.pop(0.0)
    assert at_contour > 15
    assert at_contour > 1.4 * max(changes.values())


def test_brows_are_darker_than_the_skin_between_them(faces):
    darker = []
    for image, points in faces:
        brow = points[c.BROW_LEFT]
        inside = colours(image, 0.5 * (brow[8:26] + brow[60:42:-1]))
        between = colours(image, points[c.NOSE_MIDLINE][:6])
        if len(inside) and len(between):
            darker.append(inside.mean() < between.mean())
    assert np.mean(darker) > 0.8


def test_outline_encloses_the_features():
    rng = np.random.default_rng(5)
    _, points = draw_face(rng)
    outline = face_outline(points)
    assert all(
        cv2.pointPolygonTest(outline, tuple(map(float, p)), False) > 0
        for p in points[[567, 586, 889, 921]]
    )


def test_some_pictures_have_black_bars_and_some_are_grey(faces):
    bars = [any((edge == 0).all() for edge in (f[0], f[-1], f[:, 0], f[:, -1])) for f, _ in faces]
    assert 0.1 < np.mean(bars) < 0.6
