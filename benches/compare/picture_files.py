"""Compare what senet and Pillow read of every file in the given folders: test pictures of other projects, generated sets.

    cargo build --release --example pictures
    python benches/compare/picture_files.py [--program target/release/examples/pictures] [--list KIND] FOLDER ...

Needs numpy==2.4.6 and pillow==13.0.0. Every file is given to both, whatever its name. Pillow's answer is `ImageOps.exif_transpose(Image.open(file))`
converted to RGB. Prints a line for each folder: the files that are equal, refused by both, refused by senet alone (then by kind), read by senet alone, and
different; then the files of each `--list KIND`: equal, both, senet, pillow, differ, crash. Exits with 1 if any differed or the program ended.
"""

import argparse
import collections
import io
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

KINDS = ("equal", "both", "senet", "pillow", "differ", "crash")
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


class Senet:
    """The example `pictures`, started anew if it ends."""

    def __init__(self, program):
        self.program, self.process = program, None

    def pixels(self, path):
        """RGB, or the error as text; None if the program ended."""
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen([self.program, "pixels"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.process.stdin.write(str(path).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            return None
        if line.startswith(b"error"):
            return line.decode(errors="replace").strip()
        width, height = map(int, line.split())
        return np.frombuffer(self.process.stdout.read(width * height * 3), np.uint8).reshape(height, width, 3)


def pillow_pixels(data):
    """Format and RGB of what Pillow reads; the format or None, and None, of what it does not."""
    image = None
    try:
        # Of other formats, some start other programs, which may never end.
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        kind = image.format
        return kind, np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except Exception:  # noqa: BLE001 - whatever Pillow raises, it does not read the file
        return image and image.format, None


def compared(senet, path):
    """What became of the file, and why."""
    ours = senet.pixels(path)
    kind, theirs = pillow_pixels(path.read_bytes())
    if ours is None:
        return "crash", ""
    if isinstance(ours, str):
        reason = re.sub(r"\d+", "N", ours.removeprefix("error "))
        return ("both" if theirs is None else "senet"), f"{kind}: {reason[:150]}"
    if theirs is None:
        return "pillow", str(kind)
    if ours.shape != theirs.shape:
        return "differ", f"{kind} {ours.shape} {theirs.shape}"
    return ("equal", "") if np.array_equal(ours, theirs) else ("differ", f"{kind}, by {np.abs(ours.astype(int) - theirs).max()}, {(ours != theirs).any(2).mean():.1%} of pixels")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default="target/release/examples/pictures")
    parser.add_argument("--list", action="append", default=[], choices=KINDS)
    parser.add_argument("folder", nargs="+", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    # Pillow refuses what is twice as large.
    Image.MAX_IMAGE_PIXELS = 50_000_000
    Image.init()
    senet, wrong = Senet(options.program), 0
    print("| folder | files | equal | refused by both | by senet alone | by Pillow alone | differ | ended |\n" + "| --- " * 8 + "|")
    for folder in options.folder:
        files = sorted(path for path in folder.rglob("*") if path.is_file() and "\n" not in str(path)) if folder.is_dir() else [folder]
        results = [(path, *compared(senet, path)) for path in files]
        counts = collections.Counter(kind for _, kind, _ in results)
        print("|", folder.name, "|", len(files), "|", " | ".join(str(counts[kind]) for kind in KINDS), "|", flush=True)
        for reason, count in collections.Counter(reason for _, kind, reason in results if kind == "senet").most_common():
            print(f"    {count:5} refused by senet alone, {reason}")
        for path, kind, reason in results:
            if kind in options.list:
                print(f"    {kind}: {path} {reason}")
        wrong += counts["differ"] + counts["crash"]
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
