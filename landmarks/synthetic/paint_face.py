"""One face from one random generator: the order in which a portrait is painted."""

import cv2
import numpy as np

from landmarks.synthetic import contours as c
from landmarks.synthetic import face_features as features
from landmarks.synthetic import hair, light, occlusion
from landmarks.synthetic.background import paint_background, paint_shoulders
from landmarks.synthetic.brushes import blend, cloud, ellipse, fill, glaze, region
from landmarks.synthetic.head import Head, draw_head, project, shape_head, turn
from landmarks.synthetic.light import take_photo

_SKINS = np.array([[246, 212, 190], [228, 182, 150], [205, 152, 118], [160, 108, 78], [98, 64, 48]])
# Around the neutral head: the skull's middle, the ears and where the neck begins.
_SKULL, _NECK = [0.0, -0.14, -0.45], [0.0, 0.95, -0.7]
_EARS = [[-0.87, 0.2, -0.75], [0.87, 0.2, -0.75]]


def draw_face(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Paint a portrait.

    Returns the image (H, W, 3), uint8 RGB, long side 150 to 420 pixels, and its points (971, 2),
    float32 (x, y) in pixels with pixel centres at integers, in the 971-point layout. All randomness
    comes from rng: the same state gives the same face.
    """
    width, height, scale, middle = _draw_frame(rng)
    sitter = draw_head(rng)
    shaped = shape_head(sitter)
    flat = project(turn(sitter, shaped))
    # Framed on the face, not on the eyes alone: a bowed head stays in the picture.
    origin = middle - scale * flat[: c.NOSE_LEFT.start].mean(0)
    points = origin + scale * flat

    def place(where: list) -> np.ndarray:
        return origin + scale * project(turn(sitter, np.atleast_2d(np.array(where))))

    image = paint_background(rng, height, width)
    skin = _draw_skin(rng)
    cut = hair.draw_hair(rng)
    lean = float(np.radians(sitter.roll))
    skull, neck = place(_SKULL)[0], place(_NECK)[0]
    throat = neck * [0.7, 1] + middle * [0.3, 0] + [0, scale * rng.uniform(0.5, 0.85)]
    if cut.style == "long":
        hair.paint_hair(rng, image, cut, skin, skull, lean, scale)
    hair.paint_neck(rng, image, skin, neck, throat, scale)
    paint_shoulders(rng, image, throat + np.array([0, 0.1 * scale]), scale)
    if cut.style != "long":
        hair.paint_hair(rng, image, cut, skin, skull, lean, scale)
    if cut.style != "long" or rng.random() < 0.3:
        hair.paint_ears(image, skin, place(_EARS), lean, sitter.yaw, scale)
    hair.paint_jaw_shadow(image, points, skin, scale)
    _paint_face(rng, image, sitter, points, skin, cut, scale, origin)
    hair.paint_hairline(rng, image, cut, points, scale)
    if rng.random() < 0.14:
        occlusion.paint_glasses(rng, image, points, scale)
    if rng.random() < 0.07:
        occlusion.paint_hand(rng, image, points, skin, scale)
    return take_photo(rng, image, scale), points.astype(np.float32)


def _draw_frame(rng: np.random.Generator) -> tuple[int, int, float, np.ndarray]:
    """Image width and height, eye-corner distance and the face's middle (2,), all in pixels."""
    tall = rng.uniform(1.0, 1.4)
    long_side = np.exp(rng.uniform(np.log(150), np.log(420)))
    width, height = round(long_side / tall), round(long_side)
    scale = width * rng.uniform(0.28, 0.37) * (tall / 1.2) ** 0.5
    if rng.random() < 0.08:
        scale *= rng.uniform(1.1, 1.35)  # close-ups, whose hairline or chin may leave the picture
    middle = rng.normal([0.5, 0.5], [0.045, 0.03]) * [width, height]
    return width, height, scale, middle


def _draw_skin(rng: np.random.Generator) -> np.ndarray:
    tone = rng.beta(1.1, 1.6) * (len(_SKINS) - 1)
    low = min(int(tone), len(_SKINS) - 2)
    skin = _SKINS[low] + (tone - low) * (_SKINS[low + 1] - _SKINS[low])
    return np.clip(skin * rng.normal(1, 0.03, 3), 30, 250)


def face_outline(points: np.ndarray) -> np.ndarray:
    """The polygon around the face: jaw and forehead; their overlap beside the ears is left out."""
    jaw = points[c.JAW_LEFT][59::-1], points[c.JAW_RIGHT][:60]
    return np.concatenate([*jaw, points[c.FOREHEAD]])


def _inner_outline(points: np.ndarray) -> np.ndarray:
    """Convex polygon close around brows, eyes, nose and mouth.

    On a head turned far these hide the contour behind them, and the face ends with them.
    """
    inner = points[c.BROW_LEFT.start :]
    hull = cv2.convexHull(inner.astype(np.float32))[:, 0]
    return hull + 0.03 * (hull - inner.mean(0))


def _paint_face(
    rng: np.random.Generator,
    image: np.ndarray,
    sitter: Head,
    points: np.ndarray,
    skin: np.ndarray,
    cut: hair.Hair,
    scale: float,
    origin: np.ndarray,
) -> None:
    outline = face_outline(points)
    inner = _inner_outline(points)
    at = region(image, np.concatenate([outline, inner]), 1)
    if at is None:
        return
    corner = np.array([at[1].start, at[0].start])
    size = (at[0].stop - at[0].start, at[1].stop - at[1].start)
    # Painted flat and evenly lit on its own, then lit, then set into the picture by one mask.
    face = np.empty((*size, 3), np.uint8)
    face[:] = skin.astype(np.uint8)
    here = points - corner
    _paint_complexion(rng, face, here, skin, cut, scale)
    features.paint_nose(rng, face, here, skin, scale)
    features.paint_mouth(rng, face, here, skin, scale)
    features.paint_eyes(rng, face, here, skin, scale)
    features.paint_brows(rng, face, here, cut.colour, scale)
    contrast = rng.uniform(0.3, 0.75)
    shade = light.shade_face(sitter, light.draw_light(rng), contrast, scale, origin, at)
    shade += 0.05 * (cloud(rng, size, 14, 1) - 0.5)
    lit = np.clip(face * shade[..., None], 0, 255)
    mask = np.zeros(size, np.uint8)
    fill(mask, outline - corner, (255,))
    fill(mask, inner - corner, (255,))
    mask = cv2.GaussianBlur(mask, (0, 0), 0.6)
    blend(image[at], lit, mask.astype(np.float32) / 255)


def _paint_complexion(
    rng: np.random.Generator,
    face: np.ndarray,
    here: np.ndarray,
    skin: np.ndarray,
    cut: hair.Hair,
    scale: float,
) -> None:
    """Cheeks, folds, stubble or a beard, in place."""
    blush, lined = rng.uniform(0, 0.3), rng.uniform(0, 0.5)
    sides = ((c.NOSE_LEFT, 841, 44), (c.NOSE_RIGHT, 872, 108))
    for nose, lip, jaw in sides:
        wing, mouth = here[nose][40], here[lip]
        cheek = 0.55 * wing + 0.45 * here[jaw] - [0, 0.08 * scale]
        round_cheek = ellipse(cheek, (0.16 * scale,) * 2, 0)
        glaze(face, round_cheek, skin * [1.0, 0.72, 0.7], blush, 0.08 * scale)
        out = mouth + 0.18 * (mouth - here[[841, 872]].mean(0))
        fold = np.stack([wing, 0.5 * (wing + out) + 0.25 * (out - here[586]), out])
        glaze(face, fold, skin * 0.6, lined, 0.02 * scale, line_width=0.025 * scale)
    if rng.random() < 0.25:
        jaw = np.concatenate([here[c.JAW_LEFT][48::-1], here[c.JAW_RIGHT][:49]])
        lip = [0.5 * (here[872] + here[108]), here[586], 0.5 * (here[841] + here[44])]
        beard = np.concatenate([jaw, lip])
        tone = 0.3 * skin + 0.7 * np.clip(cut.colour, 0, 170)
        alpha = rng.choice([rng.uniform(0.15, 0.4), rng.uniform(0.6, 0.9)])
        glaze(face, beard, tone, alpha, 0.06 * scale)
