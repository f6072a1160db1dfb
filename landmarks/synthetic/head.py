"""A head with an identity, an expression and a pose: numbers in, points in 3-D and 2-D out."""

from dataclasses import dataclass, replace

import numpy as np

from landmarks.synthetic import contours as c

# Rotations turn about the top of the neck, this far behind the eyes.
PIVOT = np.array([0.0, 0.25, -0.75])
CAMERA_DISTANCE = 7.0
_EYE_CENTRE = np.array([0.345, 0.0])
_NEUTRAL = c.neutral_points()
_LEFT_EYE = np.r_[c.EYE_LEFT, c.LID_LEFT, c.PUPIL_LEFT]
_RIGHT_EYE = np.r_[c.EYE_RIGHT, c.LID_RIGHT, c.PUPIL_RIGHT]
_LOWER_LIP = np.r_[c.LIP_LOWER_OUTER, c.LIP_LOWER_INNER]
_LIPS = np.r_[c.LIP_UPPER_OUTER, c.LIP_UPPER_INNER, _LOWER_LIP]


@dataclass(frozen=True)
class Head:
    """All zeros is the neutral head. Identity values are about standard deviations (-2 to 2)."""

    face_width: float = 0.0
    jaw_width: float = 0.0
    lower_length: float = 0.0
    forehead_height: float = 0.0
    eye_size: float = 0.0
    eye_gap: float = 0.0
    eye_slant: float = 0.0
    brow_height: float = 0.0
    brow_thickness: float = 0.0
    brow_arch: float = 0.0
    nose_width: float = 0.0
    nose_length: float = 0.0
    nose_depth: float = 0.0
    mouth_width: float = 0.0
    mouth_height: float = 0.0
    lip_fullness: float = 0.0
    mouth_open: float = 0.0  # 0 closed to 1 wide
    smile: float = 0.0  # -1 sad to 1 broad
    eyes_closed: float = 0.0  # negative is wide open, 1 shut
    brows_up: float = 0.0  # -1 frown to 1
    brows_skew: float = 0.0  # one brow above the other
    gaze_x: float = 0.0  # -1 to 1, image left to right
    gaze_y: float = 0.0
    yaw: float = 0.0  # degrees, positive turns the nose to the image's right
    pitch: float = 0.0  # degrees, positive lowers the chin
    roll: float = 0.0  # degrees, positive is clockwise in the image


_IDENTITY = tuple(Head.__dataclass_fields__)[:16]


def draw_head(rng: np.random.Generator) -> Head:
    """A random head: yaw and pitch within 30 degrees, roll within 25."""
    traits = dict(zip(_IDENTITY, np.clip(rng.standard_normal(16), -2.2, 2.2), strict=True))
    mouth_open = rng.choice([0.0, rng.uniform(0, 0.5), rng.uniform(0.2, 1.0)], p=[0.5, 0.37, 0.13])
    eyes_closed = rng.choice(
        [rng.uniform(-0.55, 0.45), rng.uniform(0.5, 0.9), 1.0], p=[0.9, 0.06, 0.04]
    )
    return Head(
        **traits,
        mouth_open=mouth_open,
        smile=float(np.clip(rng.normal(0.25, 0.45), -0.6, 1.0)),
        eyes_closed=eyes_closed,
        brows_up=float(np.clip(rng.normal(0, 0.4), -1, 1)),
        brows_skew=float(rng.normal(0, 0.15)),
        gaze_x=float(np.clip(rng.normal(0, 0.4), -1, 1)),
        gaze_y=float(np.clip(rng.normal(0, 0.3), -1, 1)),
        yaw=float(np.clip(rng.normal(0, 17), -30, 30)),
        pitch=float(np.clip(rng.normal(0, 8), -30, 30)),
        roll=float(np.clip(rng.normal(0, 8), -25, 25)),
    )


def _ramp(values: np.ndarray, start: float, stop: float) -> np.ndarray:
    u = np.clip((values - start) / (stop - start), 0, 1)
    return u * u * (3 - 2 * u)


def warp_skin(head: Head, xyz: np.ndarray) -> np.ndarray:
    """Bones, nose and dropped jaw: moves neutral skin xyz (n, 3), landmarks or not."""
    x, y, z = (np.array(v) for v in xyz.T)
    outer = _ramp(np.abs(x), 0.45, 0.9)
    low = _ramp(y, 0.2, 1.1)
    x *= 1 + 0.035 * head.face_width * outer + 0.05 * head.jaw_width * low * outer
    x *= 1 + 0.02 * head.jaw_width * low
    nose = np.exp(-((x / 0.3) ** 2)) * _ramp(y, 0.05, 0.45) * (1 - _ramp(y, 0.5, 0.72))
    x *= 1 + 0.09 * head.nose_width * nose
    z += 0.045 * head.nose_depth * nose * np.exp(-((x / 0.2) ** 2))
    y += 0.045 * head.nose_length * nose
    y += 0.06 * head.lower_length * _ramp(y, 0.2, 1.3)
    y -= 0.05 * head.forehead_height * _ramp(-y, 0.25, 0.85)
    drop = head.mouth_open * _ramp(y, 0.72, 0.95) * (1 - 0.6 * _ramp(np.abs(x), 0.3, 0.75))
    y += 0.17 * drop
    z -= 0.06 * drop
    return np.stack([x, y, z], axis=1)


def _shape_eye(head: Head, eye: np.ndarray) -> np.ndarray:
    """One eye (128, 3): inner loop, lid loop, pupil; x measured outwards from the face's middle."""
    d = eye[:, :2] - _EYE_CENTRE
    d *= [1 + 0.04 * head.eye_size, 1 + 0.1 * head.eye_size]
    # Shut lids meet a little above the lower lid's line: the upper one does most of the way.
    meet = 0.024 - 0.3 * d[:, 0] ** 2
    way = np.full(len(d), float(head.eyes_closed))
    way[63:-1] *= 0.75
    way[-1] = max(head.eyes_closed, 0.0)
    d[:, 1] += way * (meet - d[:, 1])
    d[:, 1] -= 0.04 * head.eye_slant * d[:, 0]
    d[:, 0] += 0.012 * head.eye_gap
    return np.concatenate([d + _EYE_CENTRE, eye[:, 2:]], axis=1)


def _shape_brow(head: Head, brow: np.ndarray, up: float) -> np.ndarray:
    """One brow loop (64, 3) with x measured outwards."""
    x, y, z = brow.T
    middle = -0.2 + 0.6 * np.clip(x - 0.45, 0, None) ** 1.5
    y = middle + (y - middle) * (1 + 0.18 * head.brow_thickness)
    y = y - 0.02 * head.brow_height - 0.012 * head.brow_arch * np.cos((x - 0.42) * 5) - 0.06 * up
    y = y + 0.03 * min(up, 0.0) * (0.4 - x)  # a frown pulls the inner ends down
    return np.stack([x + 0.03 * min(up, 0.0) * _ramp(-x, -0.5, -0.15), y, z], axis=1)


def _shape_mouth(head: Head, points: np.ndarray) -> None:
    lips = points[_LIPS]
    side = np.clip(np.abs(lips[:, 0]) / 0.28, 0, 1)
    middle = 1 - side**2
    line = 0.76
    y = lips[:, 1]
    y = line + (y - line) * (1 + 0.13 * head.lip_fullness - 0.2 * max(head.smile, 0.0))
    lower = np.r_[np.zeros(64), np.ones(64)]
    opening = 0.23 * head.mouth_open * np.sqrt(middle)
    y += np.where(lower > 0, 0.85 * opening, -0.15 * opening)
    rise = 0.01 * head.smile * middle - 0.055 * head.smile * side**2
    y += rise + 0.02 * head.mouth_height - 0.015
    width = 0.97 + 0.08 * head.mouth_width + 0.2 * head.smile - 0.1 * head.mouth_open
    lips[:, 0] *= width
    lips[:, 1] = y
    lips[:, 2] -= 0.06 * head.smile * side
    points[_LIPS] = lips


def shape_head(head: Head) -> np.ndarray:
    """The head's landmarks (971, 3) before it is turned."""
    points = _NEUTRAL.copy()
    _shape_mouth(head, points)
    outwards = {-1: (_LEFT_EYE, c.BROW_LEFT), 1: (_RIGHT_EYE, c.BROW_RIGHT)}
    for sign, (eye, brow) in outwards.items():
        mirror = np.array([sign, 1, 1])
        points[eye] = _shape_eye(head, points[eye] * mirror) * mirror
        up = head.brows_up + sign * head.brows_skew
        points[brow] = _shape_brow(head, points[brow] * mirror, up) * mirror
    pupils = [c.PUPIL_LEFT, c.PUPIL_RIGHT]
    points[pupils, :2] += [0.05 * head.gaze_x, 0.015 * head.gaze_y]
    # The lips have opened already: the skin's drop is for what lies around them.
    still = replace(head, mouth_open=0.0)
    warped = warp_skin(head, points)
    warped[_LIPS] = warp_skin(still, points[_LIPS])
    return warped


def rotation(head: Head) -> np.ndarray:
    """Rotation (3, 3) of column vectors in the head's frame."""
    yaw, pitch, roll = np.radians([head.yaw, head.pitch, head.roll])
    sin, cos = np.sin(yaw), np.cos(yaw)
    about_y = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    sin, cos = np.sin(pitch), np.cos(pitch)
    about_x = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
    sin, cos = np.sin(roll), np.cos(roll)
    about_z = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


def turn(head: Head, xyz: np.ndarray) -> np.ndarray:
    """Turn points (n, 3) of the head's frame as the head is turned."""
    return (xyz - PIVOT) @ rotation(head).T + PIVOT


def project(turned: np.ndarray) -> np.ndarray:
    """Perspective picture (n, 2) of turned points (n, 3), in units of the eye-corner distance."""
    return turned[:, :2] * (CAMERA_DISTANCE / (CAMERA_DISTANCE - turned[:, 2:]))
