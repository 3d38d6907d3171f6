"""Time decoding and preprocessing of JPEGs by senet and by Pillow in turns, and print the table of docs/performance.md.

    python -m venv target/pillow && target/pillow/bin/pip install numpy==2.4.6 pillow==13.0.0
    cargo build --release --example pictures
    taskset -c 0 target/pillow/bin/python benches/compare/picture_speed.py [--rounds 15] PHOTOGRAPH.jpg ...

Every PHOTOGRAPH is measured as it is, and the first one also enlarged to 4000×3000, with some grain, in several codings. senet decodes what the
crop needs and preprocesses it: the shorter side to 256, bilinear, the middle 224×224 normalised to f32. Pillow decodes the whole to RGB; then it
resizes and crops, which leaves bytes, normalised by nobody. Both are processes that stay alive and read files from memory. They take turns from
run to run, a round is as many turns as take a tenth of a second, and the first round is not counted.

A time is the median of all runs, a ratio that of two such medians; the range behind it is of the rounds' own ratios.
"""

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, features

SHORTER_SIDE, CROP = 256, 224
LARGE = (4000, 3000)
CODINGS = {
    "4:2:0, quality 90": {"quality": 90},
    "4:4:4, quality 90": {"quality": 90, "subsampling": 0},
    "4:2:0, quality 75": {"quality": 75},
    "4:2:0, progressive": {"quality": 90, "progressive": True},
}
COLUMNS = ["senet decode + preprocess", "senet decode", "Pillow decode", "Pillow decode + resize + crop"]


def enlarged(path):
    """The photograph as a camera might have taken it: large, and with grain of its own."""
    picture = np.asarray(Image.open(path).convert("RGB").resize(LARGE, Image.Resampling.LANCZOS), np.float32)
    grain = np.random.default_rng(0).normal(0, 6, picture.shape)
    return Image.fromarray(np.clip(picture + grain, 0, 255).astype(np.uint8))


def decode(data):
    return Image.open(io.BytesIO(data)).convert("RGB")


def decode_and_crop(data):
    picture = decode(data)
    shorter = min(picture.size)
    picture = picture.resize([SHORTER_SIDE * side // shorter for side in picture.size], Image.Resampling.BILINEAR)
    left, top = (round((side - CROP) / 2) for side in picture.size)
    return picture.crop((left, top, left + CROP, top + CROP))


def milliseconds(work, data):
    start = time.perf_counter()
    work(data)
    return 1e3 * (time.perf_counter() - start)


def turn(senet, path, data):
    """The times of one run of everything, in the order of COLUMNS."""
    senet.stdin.write(f"{path}\n")
    senet.stdin.flush()
    ours = [float(word) / 1e3 for word in senet.stdout.readline().split()]
    return [*ours, milliseconds(decode, data), milliseconds(decode_and_crop, data)]


def measure(senet, path, rounds):
    """Times of all runs, one list a round."""
    data = path.read_bytes()
    turns = max(1, round(100 / sum(turn(senet, path, data))))
    return [[turn(senet, path, data) for _ in range(turns)] for _ in range(rounds + 1)][1:]


def median(runs, column):
    return statistics.median(run[column] for run in runs)


def ratio(rounds, ours, theirs):
    whole = [run for runs in rounds for run in runs]
    single = [median(runs, ours) / median(runs, theirs) for runs in rounds]
    return f"**{median(whole, ours) / median(whole, theirs):.2f}** ({min(single):.2f}–{max(single):.2f})"


def row(name, path, rounds):
    runs = [run for round_runs in rounds for run in round_runs]
    times = [f"{median(runs, column):.2f}" for column in range(len(COLUMNS))]
    ratios = [ratio(rounds, 0, 2), ratio(rounds, 0, 3), ratio(rounds, 1, 2)]
    return f"| {' | '.join([name, str(path.stat().st_size // 1024), *times, *ratios])} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", nargs="+", type=Path, metavar="PHOTOGRAPH.jpg")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--program", type=Path, default="target/release/examples/pictures")
    arguments = parser.parse_args()
    print(f"Pillow {Image.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}, load before: {os.getloadavg()[0]:.1f}")
    ratios = ["senet / Pillow decode", "senet / Pillow all", "decode / Pillow decode"]
    print(f"| {' | '.join(['picture', 'KB', *COLUMNS, *ratios])} |\n|{' --- |' * (2 + len(COLUMNS) + len(ratios))}")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, subprocess.Popen([arguments.program, "time"], stdin=-1, stdout=-1, text=True) as senet:
        for path in arguments.photographs:
            name = "{}×{}".format(*Image.open(path).size)
            print(row(name, path, measure(senet, path, arguments.rounds)), flush=True)
        large = enlarged(arguments.photographs[0])
        for name, options in CODINGS.items():
            path = Path(folder) / "large.jpg"
            large.save(path, **options)
            print(row(f"{LARGE[0]}×{LARGE[1]}, {name}", path, measure(senet, path, arguments.rounds)), flush=True)
        senet.stdin.close()


if __name__ == "__main__":
    sys.exit(main())
