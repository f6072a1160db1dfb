import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps, TiffImagePlugin, features

from landmarks.data.crops.crop import read_face
from landmarks.data.images import decoding
from landmarks.data.images.decoding import (
    decode,
    exif_orientation,
    jpeg_size,
    reduction,
    unused_bits,
)
from landmarks.geometry import invert, transform

WIDTH, HEIGHT = 160, 96


def smooth(height=HEIGHT, width=WIDTH):
    """A picture without a symmetry, of which small parts are nearly flat."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    return (255 * np.stack([x, y, (x + y) / 2], 2)).clip(0, 255).astype(np.uint8)


def exif(turn, order="<"):
    """EXIF data that name an orientation, behind one other entry."""
    endian = {"<": "little", ">": "big"}[order]

    def put(value, size):
        return value.to_bytes(size, endian)

    entries = put(0x10F, 2) + put(2, 2) + put(4, 4) + b"abc\0"
    entries += put(0x112, 2) + put(3, 2) + put(1, 4) + put(turn, 2) + b"\0\0"
    mark = b"II" if order == "<" else b"MM"
    return mark + put(42, 2) + put(8, 4) + put(2, 2) + entries + put(0, 4)


def phone(turn, image=None, order="<", quality=95):
    data = cv2.imencode(".jpg", smooth() if image is None else image, [1, quality])[1].tobytes()
    segment = b"Exif\0\0" + exif(turn, order)
    return data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("order", "<>")
def test_a_jpegs_size_is_that_which_opencv_shows(turn, order):
    data = phone(turn, order=order)
    for how in ("rotate", "ignore"):
        width, height, told = jpeg_size(data, how)
        assert decode(data, exif=how).shape[:2] == (height, width)
        assert told == (turn if how == "rotate" else 1)
    assert exif_orientation(data) == turn
    assert np.array_equal(decode(data, exif="ignore"), decode(phone(1)))


@pytest.mark.parametrize("broken", ["short", "twice", "odd", "type"])
def test_a_header_that_leaves_doubt_says_nothing(broken):
    data = phone(6)
    begin = data.index(b"Exif\0\0") - 4
    segment = data[begin : begin + 4 + 6 + len(exif(6))]
    changed = {
        "short": data.replace(b"II*\0", b"II*\1"),
        "twice": data[:begin] + segment + data[begin:],
        "odd": phone(9),
        "type": data.replace(b"\x12\x01\x03\0", b"\x12\x01\x04\0"),
    }[broken]
    assert changed != data and jpeg_size(changed) is None


def test_a_turned_jpeg_is_reduced_only_by_whole_blocks():
    assert reduction((4032, 3024, 6), 8.9) == 8 and reduction((4032, 3024, 1), 3) == 2
    assert reduction((4030, 3024, 6), 8) == 2 and reduction((4030, 3024, 1), 8) == 8
    assert reduction((4031, 3024, 3), 8) == 1 and reduction(None, 8) == 1


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("side", [(96, 160), (97, 158), (93, 155)])
@pytest.mark.parametrize("crop", ["letterbox", "center", np.array([[0.1, 0, 3], [0, 0.1, 2]])])
def test_a_phones_photo_lands_where_its_matrix_says(turn, side, crop, monkeypatch):
    data = phone(turn, smooth(*side))
    monkeypatch.setattr("landmarks.data.crops.crop.read_bytes", lambda path: data)
    out, whole = np.zeros((16, 16, 3), np.uint8), decode(data)[:, :, ::-1].astype(int)
    matrix = read_face("", crop, out)
    places = np.stack(np.meshgrid(np.arange(16), np.arange(16)), 2).reshape(-1, 2).astype(float)
    x, y = transform(invert(matrix), places).round().astype(int).T
    height, width = whole.shape[:2]
    inner = (x > 9) & (x < width - 10) & (y > 9) & (y < height - 10)
    assert inner.sum() > 20
    beside = out.reshape(-1, 3)[inner] - whole[y[inner], x[inner]]
    assert np.abs(beside).max() <= 5  # 1.6 to 2.7 grey levels a pixel


@pytest.mark.parametrize("ending", [".png", ".tiff", ".ppm", ".jp2"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_sixteen_bits_are_read_by_those_that_are_used(ending, bits):
    grey = smooth()[:, :, :1].repeat(3, 2)
    deep = (grey.astype(np.uint16) << (bits - 8)) if bits < 16 else grey.astype(np.uint16) * 257
    deep[0, 0] = (1 << bits) - 1
    data = cv2.imencode(ending, deep)[1].tobytes()
    image = decode(data)
    assert image.dtype == np.uint8 and np.abs(image.astype(int) - grey)[1:].max() <= 1
    assert decode(data, cv2.IMREAD_GRAYSCALE).max() == 255
    assert unused_bits(data) == 16 - bits


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("ending", [".png", ".bmp", ".tiff", ".webp"])
def test_eight_bits_are_read_as_they_were(channels, ending):
    image = np.random.default_rng(0).integers(0, 255, (40, 30, channels)).astype(np.uint8)
    data = np.frombuffer(cv2.imencode(ending, image)[1].tobytes(), np.uint8)
    for flags in (cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE, cv2.IMREAD_REDUCED_GRAYSCALE_8):
        assert np.array_equal(decode(data.tobytes(), flags), cv2.imdecode(data, flags))
    assert unused_bits(data.tobytes()) == 0


def pictures():
    """Pictures as people have them: (what, PIL's image, its format and options)."""
    grey, rgb = (Image.fromarray(smooth()).convert(mode) for mode in ("L", "RGB"))
    alpha = Image.fromarray(np.dstack([smooth(), smooth()[:, :, :1]]))
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    return [
        ("CMYK", rgb.convert("CMYK"), "JPEG", {"quality": 95}),
        ("CMYK", rgb.convert("CMYK"), "TIFF", {}),
        ("grey", grey, "JPEG", {}),
        ("grey with alpha", grey.convert("LA"), "PNG", {}),
        ("16 bit grey", deep, "PNG", {}),
        ("16 bit grey", deep, "TIFF", {}),
        ("palette", rgb.quantize(64), "PNG", {}),
        ("palette with transparency", rgb.quantize(64), "PNG", {"transparency": 0}),
        ("palette", rgb.quantize(64), "TIFF", {}),
        ("palette", rgb.quantize(64), "GIF", {}),
        ("one bit", rgb.convert("1"), "PNG", {}),
        ("one bit", rgb.convert("1"), "TIFF", {}),
        ("alpha", alpha, "PNG", {}),
        ("alpha", alpha, "WEBP", {"lossless": True, "exact": True}),
        ("alpha", alpha, "AVIF", {"quality": 95}),
        ("colour", rgb, "AVIF", {"quality": 95}),
        ("LZW", rgb, "TIFF", {"compression": "tiff_lzw"}),
        ("JPEG inside", rgb, "TIFF", {"compression": "jpeg", "quality": 95}),
    ]


@pytest.mark.parametrize(
    ("what", "image", "kind", "options"),
    pictures(),
    ids=[f"{kind} {what}" for what, _, kind, _ in pictures()],
)
def test_pictures_of_any_kind_have_the_colours_that_pil_shows(what, image, kind, options):
    if kind == "AVIF" and not (features.check("avif") and cv2.haveImageWriter("a.avif")):
        pytest.skip("PIL or OpenCV was built without AVIF")
    file = io.BytesIO()
    image.save(file, kind, **options)
    found = decode(file.getvalue())[:, :, ::-1].astype(int)
    if what == "16 bit grey":
        shown = (np.asarray(image) // 257)[:, :, None]
    else:
        shown = np.asarray(Image.open(file).convert("RGB"))
    assert found.shape == (HEIGHT, WIDTH, 3) and np.abs(found - shown).max() <= 2


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_followed_or_ignored_in_every_format(turn, kind):
    named, file, tags = Image.Exif(), io.BytesIO(), TiffImagePlugin.ImageFileDirectory_v2()
    named[0x112] = tags[0x112] = turn
    image = Image.fromarray(smooth())
    said = {"tiffinfo": tags} if kind == "TIFF" else {"exif": named.tobytes()}
    image.save(file, kind, **said, **({"lossless": True} if kind == "WEBP" else {}))
    data = file.getvalue()
    turned = np.asarray(ImageOps.exif_transpose(Image.open(file)).convert("RGB"))
    for exif_name, shown in (("rotate", turned), ("ignore", np.asarray(image))):
        found = decode(data, exif=exif_name)[:, :, ::-1].astype(int)
        assert found.shape == shown.shape and np.abs(found - shown).mean() < 3
    assert exif_orientation(data) == turn


@pytest.mark.parametrize("behind", [b"\0" * 100_000, b"\0\0\0\x18ftypmp42" + b"\x7f" * 300_000])
def test_a_jpeg_with_something_behind_it_is_whole(behind):
    assert np.array_equal(decode(phone(6) + behind), decode(phone(6)))
    assert jpeg_size(phone(6) + behind) == (HEIGHT, WIDTH, 6)


@pytest.mark.parametrize("options", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]])
def test_a_jpeg_that_was_cut_anywhere_is_none(options):
    data = cv2.imencode(".jpg", smooth(), options)[1].tobytes()
    assert decode(data) is not None
    for kept in (1, 20, 300, len(data) // 2, len(data) - 40, len(data) - 3, len(data) - 1):
        for flags in (cv2.IMREAD_COLOR, cv2.IMREAD_REDUCED_GRAYSCALE_8):
            assert decode(data[:kept], flags) is None


def test_a_name_that_no_file_can_have_is_none():
    assert decoding.read_bytes("a\0b.jpg") is None and decoding.stamp("a\0b") == (-1, -1, -1)


@pytest.mark.parametrize("side", [(1, 700), (700, 1), (30, 3000), (3000, 11), (3, 40_000), (1, 1)])
@pytest.mark.parametrize(
    "crop", ["letterbox", "center", "stretch", np.array([[0.3, 0, 2], [0, 0.3, 2]])]
)
@pytest.mark.parametrize("size", [16, 128])
def test_an_image_of_any_shape_is_cropped(side, crop, size, monkeypatch):
    image = np.full((*side, 3), 200, np.uint8)
    for ending in (".jpg", ".png"):
        data = cv2.imencode(ending, image)[1].tobytes()
        monkeypatch.setattr("landmarks.data.crops.crop.read_bytes", lambda path, data=data: data)
        out = np.zeros((size, size, 3), np.uint8)
        matrix = read_face("", crop, out)
        assert np.isfinite(invert(matrix)).all()
        assert out.max() >= 100 or not isinstance(crop, str)
