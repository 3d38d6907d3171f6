"""ONNX Runtime or OpenVINO behind the protocol of examples/time_network.rs; networks.py starts it.

    python benches/compare/engines.py onnxruntime|openvino MODEL.onnx INPUT.f32 SHAPE THREADS

Both compute in f32, and read the input where it lies. Time to load does not include that of importing the package.
"""

import importlib
import sys
import time

import numpy as np


def onnxruntime(ort, model, x, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_ortvalue_input(session.get_inputs()[0].name, ort.OrtValue.ortvalue_from_numpy(x))
    binding.bind_output(session.get_outputs()[0].name, "cpu")
    return lambda: session.run_with_iobinding(binding), lambda: binding.copy_outputs_to_cpu()[0]


def openvino(ov, model, x, threads):
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()
    request.set_input_tensor(ov.Tensor(x, shared_memory=True))
    return lambda: request.infer(share_outputs=True), lambda: request.get_output_tensor().data


def microseconds(run):
    start = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - start) / 1000


def main():
    engine, model, path, shape, threads = sys.argv[1:]
    x = np.fromfile(path, "<f4").reshape([int(size) for size in shape.split(",")])
    package = importlib.import_module(engine)
    start = time.perf_counter_ns()
    run, logits = {"onnxruntime": onnxruntime, "openvino": openvino}[engine](package, model, x, int(threads))
    run()
    print((time.perf_counter_ns() - start) // 1000, flush=True)
    print(*logits().ravel().tolist(), flush=True)
    for runs in sys.stdin:
        print(*(microseconds(run) for _ in range(int(runs))), flush=True)


if __name__ == "__main__":
    main()
