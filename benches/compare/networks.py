"""Times senet, stock tract, ONNX Runtime and OpenVINO on the same networks in one run, and prints the tables of docs/performance.md.

    python -m venv target/compare && target/compare/bin/pip install -r benches/compare/requirements.txt
    cargo build --release --example time_network
    target/compare/bin/python benches/compare/export_models.py target/networks
    target/compare/bin/python benches/compare/networks.py target/networks/*.onnx [--threads 2] [--batch 8] [--simd avx2] [--winograd off]

Each engine is a process of its own that stays alive, bound to the first --threads cores, so that memory is told apart. The engines take turns for
--rounds rounds, in changing order; a turn is --seconds long, after one run that is not counted. A time is the median of all runs of an engine, a
ratio that of two such medians, followed by the least and the greatest of the rounds' own ratios. Logits of noise must lie within 1e-3 of the range
of ONNX Runtime's, within 1e-4 without Winograd's convolutions: where senet's do not, or where senet does not run, the exit code is 1.

--simd avx2 has senet and OpenVINO do without AVX-512; ONNX Runtime and tract have no such switch, and use it where the machine has it.
"""

import argparse
import datetime
import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
LIMIT = {"off": 1e-4, "f2": 1e-3, "f4": 1e-3}
NAMES = {"senet": "senet", "tract": "stock tract", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
BASELINES = ["onnxruntime", "openvino", "tract"]


@dataclass
class Engine:
    """A process that runs one network when told to."""

    process: subprocess.Popen
    load_ms: float
    logits: np.ndarray
    rounds_ms: list = field(default_factory=list)
    """The times of all runs, one list a round."""
    memory_mb: list = field(default_factory=list)
    """Peak and final resident memory, once stopped."""

    def run(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return [microseconds / 1000 for microseconds in answer(self.process)]

    def turn(self, seconds):
        """Times as many runs as `seconds` hold, and three at least, after one that brings weights and activations back into the caches."""
        (first_ms,) = self.run(1)
        self.rounds_ms.append(self.run(max(3, round(1000 * seconds / first_ms))))

    def median_ms(self):
        return statistics.median(itertools.chain(*self.rounds_ms))

    def stop(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        self.memory_mb = [int(re.search(rf"{key}:\s+(\d+) kB", status)[1]) * 1024 / 1e6 for key in ("VmHWM", "VmRSS")]
        self.process.stdin.close()
        self.process.wait()


def answer(process):
    """The numbers of the next line; none when the process has ended."""
    return [float(word) for word in process.stdout.readline().split()]


def start(name, model, x, shape, arguments):
    """The engine after its first run, or `None` if it cannot run `model`; then it has said why."""
    shape = ",".join(map(str, shape))
    environment = dict(os.environ)
    if name in ("senet", "tract"):
        rewrite = arguments.winograd if name == "senet" else "nothing"
        command = [arguments.program, model, x, shape, rewrite, arguments.simd or "best"]
    else:
        command = [sys.executable, HERE / "engines.py", name, model, x, shape, str(arguments.threads)]
        if arguments.simd:
            environment["ONEDNN_MAX_CPU_ISA"] = arguments.simd.upper()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
    load_us, logits = answer(process), answer(process)
    if process.poll() is not None or not logits:
        process.wait()
        return None
    return Engine(process, load_us[0] / 1000, np.array(logits))


def freeze(path, batch, folder):
    """Copies the network with its open batch fixed to `batch`, as every engine likes best; returns the copy and the input's shape."""
    model = onnx.load(path)
    constants = {constant.name for constant in model.graph.initializer}
    (image,) = (value for value in model.graph.input if value.name not in constants)
    image.type.tensor_type.shape.dim[0].dim_value = batch
    shape = [dim.dim_value for dim in image.type.tensor_type.shape.dim]
    if 0 in shape:
        raise SystemExit(f"{path}: input of shape {shape}, expected only the batch to be open")
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.shape.dim[0].dim_value = batch
    copy = folder / path.name
    onnx.save(model, copy)
    return copy, shape


def compare(path, arguments):
    """Every engine that runs the network, by name, after all rounds."""
    with tempfile.TemporaryDirectory() as folder:
        model, shape = freeze(path, arguments.batch, Path(folder))
        x = Path(folder) / "x.f32"
        np.random.default_rng(0).standard_normal(shape).astype("<f4").tofile(x)
        started = {name: start(name, model, x, shape, arguments) for name in NAMES}
    engines = {name: engine for name, engine in started.items() if engine}
    order = list(engines.values())
    for _ in range(arguments.rounds):
        for engine in order:
            engine.turn(arguments.seconds)
        order = order[1:] + order[:1]
    for engine in order:
        engine.stop()
    return engines


def ratio(engines, baseline):
    """senet's time by that of `baseline`: of medians, and the extremes over the rounds."""
    if not {"senet", baseline} <= engines.keys():
        return "–"
    senet, other = engines["senet"], engines[baseline]
    rounds = [statistics.median(a) / statistics.median(b) for a, b in zip(senet.rounds_ms, other.rounds_ms)]
    return f"**{senet.median_ms() / other.median_ms():.2f}** ({min(rounds):.2f}–{max(rounds):.2f})"


def difference(engines, name):
    """The largest difference of logits to ONNX Runtime's, as a share of their range; not a number where one of the two does not run."""
    if not {name, "onnxruntime"} <= engines.keys():
        return float("nan")
    reference = engines["onnxruntime"].logits
    return np.abs(engines[name].logits - reference).max() / np.ptp(reference)


def print_table(title, columns, results, cells):
    """`cells` makes the row of one network's engines."""
    rows = [["network", *columns], ["---"] * (1 + len(columns)), *([network, *cells(engines)] for network, engines in results.items())]
    print(f"\n{title}:\n", *(f"| {' | '.join(row)} |" for row in rows), sep="\n")


def each(text):
    """A row of `text` of every engine."""
    return lambda engines: [text(engines[name]) if name in engines else "does not run" for name in NAMES]


def heading(arguments):
    cpu = re.search(r"model name\s+: (.*)", Path("/proc/cpuinfo").read_text())
    locked = re.search(r'name = "tract-onnx"\nversion = "(.*)"', (ROOT / "Cargo.lock").read_text())[1]
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return (
        f"{datetime.date.today()}, {cpu[1] if cpu else 'unknown processor'}, {'AVX2' if arguments.simd else 'its best instruction set'}, "
        f"threads: {arguments.threads}, batch: {arguments.batch}, rounds: {arguments.rounds}, load of the machine before: {os.getloadavg()[0]:.1f}. "
        f"senet at {commit or 'an unknown commit'}, tract {locked}, ONNX Runtime {version('onnxruntime')}, OpenVINO {version('openvino')}."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--threads", type=int, choices=[1, 2], default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=0.4, help="length of a turn")
    parser.add_argument("--simd", choices=["avx2"])
    parser.add_argument("--winograd", choices=["off", "f2", "f4"], default="f4", help="of senet")
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/examples/time_network")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])

    print(heading(arguments), flush=True)
    results = {}
    for path in arguments.models:
        results[path.stem] = compare(path, arguments)
        print(f"{path.stem} done", file=sys.stderr, flush=True)

    titles = list(NAMES.values())
    print_table("Milliseconds a run", titles, results, each(lambda engine: f"{engine.median_ms():.2f}"))
    ratios = [f"senet / {NAMES[name]}" for name in BASELINES]
    print_table("Ratios of time", ratios, results, lambda engines: [ratio(engines, name) for name in BASELINES])
    print_table("Resident memory, peak / final, MB", titles, results, each(lambda engine: " / ".join(f"{mb:.0f}" for mb in engine.memory_mb)))
    print_table("Milliseconds to load and run once", titles, results, each(lambda engine: f"{engine.load_ms:.0f}"))
    title = "Largest difference of logits to ONNX Runtime's, as a share of their range"
    print_table(title, titles, results, lambda engines: [f"{difference(engines, name):.0e}" for name in NAMES])
    return int(not all(difference(engines, "senet") <= LIMIT[arguments.winograd] for engines in results.values()))


if __name__ == "__main__":
    sys.exit(main())
