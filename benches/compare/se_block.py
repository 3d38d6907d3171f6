"""Time of ONNX Runtime on the SE blocks that `cargo bench --bench se_block` measures, and the program that writes them.

    python -m venv target/compare && target/compare/bin/pip install -r benches/compare/requirements.txt
    taskset -c 0 target/compare/bin/python benches/compare/se_block.py            # one core; prints microseconds
    target/compare/bin/python benches/compare/se_block.py --write                 # writes benches/se_blocks/*.onnx anew

A `plain` block is x * gate(x), a `residual` one Relu(x * gate(x) + shortcut); the reduction ratio is the paper's (16). The files are small because
their weights are computed: both engines fold the sines into constants when they load them.
"""

import argparse
import itertools
import statistics
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

BLOCKS = Path(__file__).parent.parent / "se_blocks"
SHAPES = [(256, 56), (512, 28), (1024, 14), (2048, 7)]
KINDS = ["plain", "residual"]
RATIO = 16


def constant(name, values, dtype):
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(values, dtype), name))


def weights(name, shape, size):
    """`size` times the sines of 0, 1, 2, … as a tensor of `shape`."""
    return [
        constant(f"{name}.start", 0.0, np.float32),
        constant(f"{name}.end", float(np.prod(shape)), np.float32),
        constant(f"{name}.step", 1.0, np.float32),
        constant(f"{name}.size", size, np.float32),
        constant(f"{name}.shape", shape, np.int64),
        helper.make_node("Range", [f"{name}.start", f"{name}.end", f"{name}.step"], [f"{name}.range"]),
        helper.make_node("Sin", [f"{name}.range"], [f"{name}.sin"]),
        helper.make_node("Mul", [f"{name}.sin", f"{name}.size"], [f"{name}.flat"]),
        helper.make_node("Reshape", [f"{name}.flat", f"{name}.shape"], [name]),
    ]


def inputs_of(kind):
    return ["x"] if kind == "plain" else ["x", "shortcut"]


def file_of(channels, side, kind):
    return BLOCKS / f"{channels}x{side}_{kind}.onnx"


def block(channels, side, kind):
    squeezed = channels // RATIO
    map_shape = [1, channels, side, side]
    nodes = [
        *weights("se.fc1.weight", [squeezed, channels, 1, 1], channels**-0.5),
        *weights("se.fc1.bias", [squeezed], 1.0),
        *weights("se.fc2.weight", [channels, squeezed, 1, 1], squeezed**-0.5),
        *weights("se.fc2.bias", [channels], 1.0),
        helper.make_node("GlobalAveragePool", ["x"], ["means"], "se.squeeze"),
        helper.make_node("Conv", ["means", "se.fc1.weight", "se.fc1.bias"], ["hidden"], "se.fc1", kernel_shape=[1, 1]),
        helper.make_node("Relu", ["hidden"], ["active"], "se.relu"),
        helper.make_node("Conv", ["active", "se.fc2.weight", "se.fc2.bias"], ["logits"], "se.fc2", kernel_shape=[1, 1]),
        helper.make_node("Sigmoid", ["logits"], ["gates"], "se.gate"),
        helper.make_node("Mul", ["x", "gates"], ["y" if kind == "plain" else "scaled"], "se.scale"),
    ]
    if kind == "residual":
        nodes += [
            helper.make_node("Add", ["scaled", "shortcut"], ["sum"], "add"),
            helper.make_node("Relu", ["sum"], ["y"], "relu"),
        ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, map_shape) for name in inputs_of(kind)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, map_shape)]
    graph = helper.make_graph(nodes, f"se_{channels}x{side}_{kind}", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="senet")
    onnx.checker.check_model(model, full_check=True)
    return model


def write():
    BLOCKS.mkdir(exist_ok=True)
    for (channels, side), kind in itertools.product(SHAPES, KINDS):
        onnx.save(block(channels, side, kind), file_of(channels, side, kind))


def measure(channels, side, kind, seconds):
    """Microseconds of every run, one thread, inputs and output bound beforehand so that nothing is copied."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(file_of(channels, side, kind), options, providers=["CPUExecutionProvider"])
    shape = (1, channels, side, side)
    values = (np.arange(np.prod(shape)) % 1000 / 500 - 1).astype(np.float32).reshape(shape)
    binding = session.io_binding()
    for name in inputs_of(kind):
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(values))
    binding.bind_ortvalue_output("y", ort.OrtValue.ortvalue_from_numpy(np.empty(shape, np.float32)))
    for _ in range(100):
        session.run_with_iobinding(binding)
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter_ns()
        session.run_with_iobinding(binding)
        times.append((time.perf_counter_ns() - start) / 1000)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the ONNX files and stop")
    parser.add_argument("--seconds", type=float, default=3.0, help="time per block")
    arguments = parser.parse_args()
    if arguments.write:
        write()
        return
    print(f"ONNX Runtime {ort.__version__}, one thread, microseconds")
    for kind, (channels, side) in itertools.product(KINDS, SHAPES):
        times = measure(channels, side, kind, arguments.seconds)
        print(f"{channels:>5} x {side}² {kind:>8}: median {statistics.median(times):7.1f}  min {min(times):7.1f}  of {len(times)}")


if __name__ == "__main__":
    main()
