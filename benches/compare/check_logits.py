"""Compare the logits of senet, of stock tract and of ONNX Runtime on the same noise, for every ONNX file named.

    pip install numpy onnxruntime
    cargo build --release --example logits
    python benches/compare/check_logits.py [--logits target/release/examples/logits] [--size 224] MODEL.onnx ...

Prints the largest difference to ONNX Runtime, as a share of its logits' range, and exits with 1 when senet's is above 1e-4. Open sizes of the
input become a batch of one, three channels and --size.
"""
import argparse
import subprocess
import sys

import numpy as np
import onnxruntime

LIMIT = 1e-4


def input_shape(declared, size):
    batch, channels, height, width = (d if isinstance(d, int) and d > 0 else None for d in declared)
    return batch or 1, channels or 3, height or size, width or size


def run_senet(program, model, x, rewrite):
    command = [program, model, ','.join(map(str, x.shape)), rewrite]
    done = subprocess.run(command, input=x.astype('<f4').tobytes(), stdout=subprocess.PIPE, check=True)
    return np.frombuffer(done.stdout, '<f4')


def run_onnxruntime(model, size):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=['CPUExecutionProvider'])
    declared = session.get_inputs()[0]
    x = np.random.default_rng(0).standard_normal(input_shape(declared.shape, size)).astype(np.float32)
    return x, session.run(None, {declared.name: x})[0].ravel()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('models', nargs='+', metavar='MODEL.onnx')
    parser.add_argument('--logits', default='target/release/examples/logits')
    parser.add_argument('--size', type=int, default=224)
    args = parser.parse_args()
    failed = False
    for model in args.models:
        x, reference = run_onnxruntime(model, args.size)
        spread = reference.max() - reference.min()
        differences = {r: np.abs(run_senet(args.logits, model, x, r) - reference).max() / spread for r in ('all', 'nothing')}
        failed |= not differences['all'] <= LIMIT
        print(f'{model}: senet {differences["all"]:.1e}, stock tract {differences["nothing"]:.1e} of a range of {spread:.3g}', flush=True)
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())
