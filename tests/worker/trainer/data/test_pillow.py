"""Pictures in the trainer against Pillow: the same bytes."""
import io
import math
import os
import subprocess
import zlib

import numpy
import pytest
from PIL import Image, ImageEnhance, ImageOps

TOOL = os.environ["BSNN_PICTURE_TOOL"]
GREY = (128, 128, 128)


def ours(operation, value, picture):
    """`picture` is [H, W, 3]."""
    height, width, _ = picture.shape
    done = subprocess.run([TOOL, operation, repr(value), str(height), str(width)], check=True, capture_output=True,
                          input=picture.transpose(2, 0, 1).tobytes())
    return numpy.frombuffer(done.stdout, numpy.uint8).reshape(3, height, width).transpose(1, 2, 0)


def affine(*matrix, resample=Image.Resampling.NEAREST):
    return lambda image: image.transform(image.size, Image.Transform.AFFINE, matrix, resample, fillcolor=GREY)


def rotate(image, degrees):
    turned = image.convert("RGBA").rotate(degrees)
    return Image.composite(turned, Image.new("RGBA", turned.size, (128,) * 4), turned).convert("RGB")


PILLOW = {
    "invert": lambda image, _: ImageOps.invert(image),
    "autocontrast": lambda image, _: ImageOps.autocontrast(image),
    "equalize": lambda image, _: ImageOps.equalize(image),
    "posterize": lambda image, value: ImageOps.posterize(image, int(value)),
    "solarize": lambda image, value: ImageOps.solarize(image, value),
    "color": lambda image, value: ImageEnhance.Color(image).enhance(value),
    "contrast": lambda image, value: ImageEnhance.Contrast(image).enhance(value),
    "brightness": lambda image, value: ImageEnhance.Brightness(image).enhance(value),
    "sharpness": lambda image, value: ImageEnhance.Sharpness(image).enhance(value),
    "shear_y": lambda image, value: affine(1, 0, 0, value, 1, 0, resample=Image.Resampling.BICUBIC)(image),
    "translate_x": lambda image, value: affine(1, 0, value, 0, 1, 0)(image),
    "translate_y": lambda image, value: affine(1, 0, 0, 0, 1, value)(image),
    "rotate": rotate,
}
FACTORS = [1 + sign * level * 0.9 / 9 for level in range(10) for sign in (-1, 1)]
VALUES = {
    "posterize": [4, 5, 6, 7, 8], "solarize": [256 - level * 256 / 9 for level in range(10)],
    "shear_y": [sign * level * 0.3 / 9 for level in range(10) for sign in (-1, 1)],
    "translate_x": [sign * level * 150 / 331 / 9 * 32 for level in range(10) for sign in (-1, 1)],
    "translate_y": [sign * level * 150 / 331 / 9 * 32 for level in range(10) for sign in (-1, 1)],
    "rotate": [level * 30 / 9 for level in range(10)],
    "color": FACTORS, "contrast": FACTORS, "brightness": FACTORS, "sharpness": FACTORS,
}


def pictures():
    dice = numpy.random.default_rng(1)
    ramp = numpy.linspace(0, 1, 32)
    smooth = numpy.stack([60 + 120 * ramp[:, None] * ramp, 255 * ramp[:, None] * numpy.ones(32),
                          30 * numpy.ones((32, 32))], -1)
    return {"noise": dice.integers(0, 256, (32, 32, 3), dtype=numpy.uint8),
            "dim": dice.integers(40, 90, (32, 32, 3), dtype=numpy.uint8),
            "smooth": smooth.astype(numpy.uint8),
            "flat": numpy.full((32, 32, 3), 7, numpy.uint8),
            "oblong": dice.integers(0, 256, (21, 50, 3), dtype=numpy.uint8)}


@pytest.mark.parametrize("operation", PILLOW)
def test_an_operation_gives_pillows_bytes(operation):
    for name, picture in pictures().items():
        for value in VALUES.get(operation, [0]):
            expected = numpy.asarray(PILLOW[operation](Image.fromarray(picture), value))
            assert (ours(operation, value, picture) == expected).all(), (name, value)


# The policy as the paper prints it; values by level as auto_augment.h says.
POLICY = """invert 1 7 contrast 2 6; rotate 7 2 translate_x 3 9; sharpness 8 1 sharpness 9 3; shear_y 5 8 translate_y 7 9;
autocontrast 5 8 equalize 9 2; shear_y 2 7 posterize 3 7; color 4 3 brightness 6 7; sharpness 3 9 brightness 7 9;
equalize 6 5 equalize 5 1; contrast 6 7 sharpness 6 5; color 7 7 translate_x 5 8; equalize 3 7 autocontrast 4 8;
translate_y 4 3 sharpness 2 6; brightness 9 6 color 2 8; solarize 5 2 invert 0 3; equalize 2 0 autocontrast 6 0;
equalize 2 8 equalize 6 4; color 9 9 equalize 6 6; autocontrast 8 4 solarize 2 8; brightness 1 3 color 7 0;
solarize 4 5 autocontrast 9 3; translate_y 9 9 translate_y 7 9; autocontrast 9 2 solarize 8 3; equalize 8 8 invert 1 3;
translate_y 7 9 autocontrast 9 1"""


class Stream:
    """random_stream.h: SplitMix64 over a key of three numbers."""

    def __init__(self, a, b, c):
        self.state = self.mix(self.mix(self.mix(a) ^ b) ^ c)

    @staticmethod
    def mix(z):
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return z ^ z >> 31

    def bits(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        return self.mix(self.state)

    def below(self, bound):
        return self.bits() * bound >> 64

    def uniform(self):
        return (self.bits() >> 11) * 2.0**-53


def value_of(operation, level, sign):
    if operation == "posterize":
        return int(numpy.round(numpy.linspace(8, 4, 10))[level])
    if operation == "solarize":
        return numpy.linspace(256, 0, 10)[level]
    if operation == "rotate":
        return numpy.linspace(0, 30, 10)[level]
    if operation == "shear_y":
        return sign * numpy.linspace(0, 0.3, 10)[level]
    if operation.startswith("translate"):
        return sign * numpy.linspace(0, 150 / 331, 10)[level] * 32
    return 1 + sign * numpy.linspace(0, 0.9, 10)[level]


def test_auto_augment_is_the_papers_policy_in_pillow():
    policy = [pair.split() for pair in POLICY.split(";")]
    assert len(policy) == 25
    picture = pictures()["smooth"]
    seen = set()
    for seed in range(400):
        stream = Stream(seed, 0, 0)
        index = stream.below(25)
        image = Image.fromarray(picture)
        for operation, chance, level in (policy[index][:3], policy[index][3:]):
            done = stream.uniform() < int(chance) / 10
            sign = -1 if stream.below(2) == 0 else 1
            if done:
                image = PILLOW[operation](image, value_of(operation, int(level), sign))
        assert (ours("auto", seed, picture) == numpy.asarray(image)).all(), (seed, policy[index])
        seen.add(index)
    assert len(seen) == 25


def photo(height, width, seed=3):
    """Something smooth with detail, as photographs are."""
    dice = numpy.random.default_rng(seed)
    y, x = numpy.mgrid[:height, :width] / max(height, width)
    waves = [numpy.sin(2 * numpy.pi * (a * x + b * y + c)) for a, b, c in dice.uniform(-9, 9, (3, 3))]
    return numpy.clip(128 + 90 * numpy.stack(waves, -1) + dice.normal(0, 12, (height, width, 3)), 0, 255).astype(numpy.uint8)


def tool(*words):
    return subprocess.run([TOOL, *map(str, words)], capture_output=True)


def saved(image, **options):
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


RGB = Image.fromarray(photo(83, 61))
JPEGS = {
    "plain": (RGB, {}), "best": (RGB, {"quality": 100, "subsampling": 0}), "progressive": (RGB, {"progressive": True}),
    "422": (RGB, {"subsampling": 1}), "420": (RGB, {"subsampling": 2}), "grey": (RGB.convert("L"), {}),
    "cmyk": (RGB.convert("CMYK"), {}), "restarts": (RGB, {"restart_marker_blocks": 3}), "rgb": (RGB, {"keep_rgb": True})}
PNGS = {"rgb": RGB, "rgba": RGB.convert("RGBA"), "grey": RGB.convert("L"), "bits": RGB.convert("1"), "palette": RGB.quantize(17),
        "grey_alpha": RGB.convert("LA")}


@pytest.mark.parametrize("name", JPEGS)
def test_jpeg_is_decoded_as_by_pillow(tmp_path, name):
    image, options = JPEGS[name]
    (tmp_path / "x").write_bytes(saved(image, format="JPEG", **options))
    ours_pixels = numpy.frombuffer(tool("decode", tmp_path / "x").stdout, numpy.uint8).reshape(83, 61, 3).astype(int)
    expected = numpy.asarray(Image.open(tmp_path / "x").convert("RGB")).astype(int)
    # Both are libjpeg-turbo, of two releases.
    assert abs(ours_pixels - expected).max() <= 1
    assert (ours_pixels != expected).mean() < 0.01


@pytest.mark.parametrize("name", PNGS)
def test_png_is_decoded_as_by_pillow(tmp_path, name):
    (tmp_path / "x").write_bytes(saved(PNGS[name], format="PNG"))
    expected = numpy.asarray(Image.open(tmp_path / "x").convert("RGB"))
    assert tool("decode", tmp_path / "x").stdout == expected.tobytes()


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (256, 256), (257, 255), (40, 33), (1000, 7), (900, 640)])
@pytest.mark.parametrize("side", [224, 64])
def test_the_test_view_is_torchvisions(tmp_path, size, side):
    image = Image.fromarray(photo(*size))
    image.save(tmp_path / "x.png")
    width, height = image.size
    shorter = round(side * 256 / 224)
    if width <= height:
        resized = image.resize((shorter, int(shorter * height / width)), Image.Resampling.BILINEAR)
    else:
        resized = image.resize((int(shorter * width / height), shorter), Image.Resampling.BILINEAR)
    top, left = int(round((resized.height - side) / 2.0)), int(round((resized.width - side) / 2.0))
    expected = numpy.asarray(resized.crop((left, top, left + side, top + side)))
    assert tool("middle", tmp_path / "x.png", side).stdout == expected.transpose(2, 0, 1).tobytes()


@pytest.mark.parametrize("box", [(0, 0, 120, 90), (3, 5, 17, 80), (100, 40, 11, 13), (119, 89, 1, 1), (7, 0, 64, 64)])
def test_a_training_view_is_pillows_crop_and_resize(tmp_path, box):
    image = Image.fromarray(photo(120, 90))
    image.save(tmp_path / "x.png")
    top, left, height, width = box
    expected = image.crop((left, top, left + width, top + height)).resize((64, 64), Image.Resampling.BILINEAR)
    assert tool("cut", tmp_path / "x.png", 64, *box).stdout == numpy.asarray(expected).transpose(2, 0, 1).tobytes()


def reference_box(height, width, stream):
    """torchvision's RandomResizedCrop.get_params, with our numbers."""
    def between(low, high):
        return low + (high - low) * stream.uniform()
    for _ in range(10):
        area = height * width * between(0.08, 1)
        ratio = math.exp(between(math.log(3 / 4), math.log(4 / 3)))
        w, h = int(round(math.sqrt(area * ratio))), int(round(math.sqrt(area / ratio)))
        if 0 < w <= width and 0 < h <= height:
            return stream.below(height - h + 1), stream.below(width - w + 1), h, w
    ratio = width / height
    if ratio < 3 / 4:
        w, h = width, int(round(width / (3 / 4)))
    elif ratio > 4 / 3:
        h, w = height, int(round(height * (4 / 3)))
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


def test_random_boxes_are_random_resized_crops():
    shares = []
    for seed in range(150):
        for height, width in ((375, 500), (100, 10), (10, 100), (3, 3)):
            expected = reference_box(height, width, Stream(seed, 0, 0))
            assert tuple(map(int, tool("box", seed, height, width).stdout.split())) == expected
            if height == 375:
                shares.append(expected[2] * expected[3] / (height * width))
    assert min(shares) < 0.15 and max(shares) > 0.9


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_damaged_pictures_are_named_with_an_offset(tmp_path, kind):
    whole = saved(RGB, format=kind)
    for cut in (1, 3, 20, len(whole) // 2, len(whole) - 40):
        (tmp_path / "x").write_bytes(whole[:cut])
        done = tool("decode", tmp_path / "x")
        assert done.returncode == 3 and done.stderr.startswith(b"offset "), (cut, done)
        if kind == "JPEG" and cut > 20:
            assert done.stderr.startswith(b"offset %d:" % cut)
    (tmp_path / "x").write_bytes(b"GIF89a" + whole)
    assert b"neither JPEG" in tool("decode", tmp_path / "x").stderr
    # A header that says 65500 x 65500 pixels, and nothing behind it.
    wide = bytearray(whole)
    if kind == "JPEG":
        at = wide.index(b"\xff\xc0") + 5
        wide[at:at + 4] = b"\xff\xdc\xff\xdc"
    else:
        wide[16:24] = b"\0\0\xff\xdc\0\0\xff\xdc"
        wide[29:33] = zlib.crc32(wide[12:29]).to_bytes(4, "big")
    (tmp_path / "x").write_bytes(wide)
    done = tool("decode", tmp_path / "x")
    assert b"65500x65500 pixels (allowed: at most 67108864)" in done.stderr
