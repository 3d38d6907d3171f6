"""Compare the pixels that senet and Pillow decode from thousands of JPEGs; expects no difference at all.

    python -m venv target/pillow && target/pillow/bin/pip install numpy==2.4.6 pillow==13.0.0
    cargo build --release --example pictures
    target/pillow/bin/python benches/compare/jpeg_pixels.py [--program target/release/examples/pictures] PICTURE ...

The JPEGs are generated pictures and the PICTUREs, which are decoded as they are where they are JPEGs and encoded anew. They vary in size, from 1×1 on,
sampling, quality, restart intervals, Huffman tables, baseline and progressive coding, and colour: YCbCr, grey, RGB, CMYK, YCCK. Pillow's
libjpeg-turbo decides about the last bit: the figures of docs/performance.md are of 3.2, which Pillow 13.0.0 brings with it.

Prints every file that differs, then how many there were; exits with 1 if any differed.
"""

import argparse
import io
import itertools
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, features

SAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")
CODINGS = (
    {},
    {"optimize": True},
    {"progressive": True},
    {"restart_marker_blocks": 1},
    {"restart_marker_blocks": 3},
    {"restart_marker_rows": 1},
    {"progressive": True, "restart_marker_blocks": 2},
)
START_OF_FRAME = (0xC0, 0xC1, 0xC2)
START_OF_SCAN, JFIF, ADOBE = 0xDA, 0xE0, 0xEE


def generated(width, height, seed):
    """Waves, noise or stripes in strong colours, with some grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    if seed % 3 == 0:
        picture = np.stack([127 + 127 * np.sin(x / 3 + seed), 127 + 127 * np.cos(y / 4), 127 + 127 * np.sin((x + y) / 5)], -1)
    elif seed % 3 == 1:
        picture = rng.integers(0, 256, (height, width, 3))
    else:
        picture = np.where(((x // 3 + y // 2) % 2)[..., None] > 0, [255, 0, 255], [0, 255, 0])
    return Image.fromarray(np.clip(picture + rng.normal(0, 5, picture.shape), 0, 255).astype(np.uint8))


def encoded(picture, **options):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def segments(data):
    """(marker, start, end) of every segment up to the first scan's header."""
    at, marker = 2, None
    while marker != START_OF_SCAN:
        marker, length = data[at + 1], struct.unpack(">H", data[at + 2 : at + 4])[0]
        yield marker, at, at + 2 + length
        at += 2 + length


def as_ycck(data):
    """The same coded data, said to be YCCK."""
    kept, end = data[:2] + b"\xff\xee" + struct.pack(">H", 14) + b"Adobe" + struct.pack(">HHHB", 100, 0, 0, 2), 2
    for marker, start, end in segments(data):
        if marker not in (ADOBE, JFIF):
            kept += data[start:end]
    return kept + data[end:]


def with_luma_sampling(data, factors, size):
    """The same coded data, said to have these factors of the first component and this width and height."""
    data = bytearray(data)
    for marker, start, _ in segments(bytes(data)):
        if marker in START_OF_FRAME:
            data[start + 5 : start + 9] = struct.pack(">HH", size[1], size[0])
            data[start + 11] = factors
    return bytes(data)


def small_pictures():
    seed = 0
    for width in range(1, 41):
        for height in sorted({1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, width, width * 7 % 40 + 1}):
            for sampling in SAMPLINGS:
                seed += 1
                quality = (1, 10, 30, 50, 75, 85, 90, 95, 99, 100)[seed % 10]
                coding = CODINGS[seed % len(CODINGS)]
                yield f"{width}x{height} {sampling} q{quality} {coding}", encoded(generated(width, height, seed), quality=quality, subsampling=sampling, **coding)
            coding = CODINGS[seed // 3 % len(CODINGS)]
            yield f"{width}x{height} grey {coding}", encoded(generated(width, height, seed).convert("L"), quality=seed % 100 + 1, **coding)


def all_qualities():
    for quality, sampling, coding in itertools.product(range(1, 101), SAMPLINGS, CODINGS):
        yield f"100x75 {sampling} q{quality} {coding}", encoded(generated(100, 75, quality), quality=quality, subsampling=sampling, **coding)


def other_samplings():
    """Samplings that Pillow does not write: the blocks of one that it writes, as many in an MCU, taken for another picture's."""
    for width, height in itertools.product((5, 16, 17, 33, 47, 61), (3, 16, 19, 40, 48)):
        for sampling, mcu_height, all_factors in (("4:2:2", 8, (0x12,)), ("4:2:0", 16, (0x41, 0x14))):
            data = encoded(generated(width, height, width + height), quality=85, subsampling=sampling)
            for factors in all_factors:
                mcus = [-(-width // 16), -(-height // mcu_height)]
                size = [mcus[0] * 8 * (factors >> 4) - width % 7, mcus[1] * 8 * (factors & 15) - height % 7]
                yield f"factors {factors:x} {size[0]}x{size[1]}", with_luma_sampling(data, factors, size)


def other_colours():
    for width, height, coding in itertools.product((5, 16, 17, 33, 47, 61), (3, 16, 19, 40, 48), CODINGS):
        picture = generated(width, height, width + height)
        black = np.asarray(picture)[:, :, :1] // 4 * 3
        cmyk, ycck = (Image.fromarray(np.dstack([255 - np.asarray(ink), black]), "CMYK") for ink in (picture, picture.convert("YCbCr")))
        for sampling in SAMPLINGS:
            yield f"cmyk {width}x{height} {sampling} {coding}", encoded(cmyk, quality=80, subsampling=sampling, **coding)
            yield f"ycck {width}x{height} {sampling} {coding}", as_ycck(encoded(ycck, quality=80, subsampling=sampling, **coding))
        yield f"rgb {width}x{height} {coding}", encoded(picture, quality=80, keep_rgb=True, **coding)


def photographs(paths):
    for path in paths:
        picture = Image.open(path)
        if picture.format == "JPEG":
            yield path.name, path.read_bytes()
        for sampling, coding in itertools.product(SAMPLINGS, ({}, {"progressive": True})):
            yield f"{path.name} {sampling} {coding}", encoded(picture.convert("RGB"), quality=87, subsampling=sampling, **coding)


class Senet:
    """The program, alive from file to file."""

    def __init__(self, program, folder):
        self.path = folder / "picture.jpg"
        self.process = subprocess.Popen([program, "pixels"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def decode(self, data):
        """The pixels, or why there are none."""
        self.path.write_bytes(data)
        self.process.stdin.write(f"{self.path}\n".encode())
        self.process.stdin.flush()
        head = self.process.stdout.readline().decode().strip()
        if not head or head.startswith("error"):
            return head or "the program ended"
        width, height = map(int, head.split())
        return np.frombuffer(self.process.stdout.read(3 * width * height), np.uint8).reshape(height, width, 3)


def difference(actual, expected):
    """What differs, in words; `None` if nothing does."""
    if isinstance(actual, str):
        return actual
    if actual.shape != expected.shape:
        return f"{actual.shape}, expected {expected.shape}"
    differences = np.abs(actual.astype(int) - expected)
    return f"by up to {differences.max()}, {np.count_nonzero(differences)} of {differences.size} samples" if differences.any() else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="*", type=Path, metavar="PICTURE")
    parser.add_argument("--program", type=Path, default="target/release/examples/pictures")
    arguments = parser.parse_args()
    count = wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        senet = Senet(arguments.program, Path(folder))
        sources = (small_pictures(), all_qualities(), other_samplings(), other_colours(), photographs(arguments.pictures))
        for name, data in itertools.chain(*sources):
            found = difference(senet.decode(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
            count += 1
            wrong += found is not None
            if found:
                print(f"{name}: {found}", flush=True)
    print(f"{count} files, {wrong} differ; Pillow {Image.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
