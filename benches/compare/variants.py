"""Makes 16-bit and quantised variants of f32 networks, and compares senet with ONNX Runtime on each, picture by picture.

    pip install -r benches/compare/requirements.txt nncf pillow
    cargo build --release --bin senet --example logits
    python benches/compare/variants.py --pictures FOLDER --out target/variants [--mean 0.485,0.456,0.406] [--std 0.229,0.224,0.225] NETWORK.onnx ...

Variants: fp16 with 16-bit and with 32-bit ends; ONNX Runtime's static quantisation as QDQ (8-bit, unsigned and signed activations, per tensor and per
channel) and as QLinear operators, its dynamic quantisation, and NNCF's. They are calibrated on the first 32 pictures; those that exist are kept.

Printed for each: SE blocks found and those of the f32 network; of how many pictures the first class is ONNX Runtime's on the same file (all its
optimisations), and the f32 network's, for senet and for ONNX Runtime without its optimisations; the largest difference of logits to ONNX Runtime
as a share of their range, and ONNX Runtime's own between its levels. A network must have an input of [N, 3, 224, 224].
"""

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from PIL import Image

SIDE, RESIZED, CALIBRATION = 224, 256, 32


def read(path, mean, std):
    """Shorter side to 256, centre crop of 224, as torchvision has it."""
    picture = Image.open(path).convert("RGB")
    width, height = picture.size
    scale = RESIZED / min(width, height)
    picture = picture.resize((max(RESIZED, int(width * scale)), max(RESIZED, int(height * scale))), Image.BILINEAR)
    left, top = (picture.width - SIDE) // 2, (picture.height - SIDE) // 2
    values = np.asarray(picture.crop((left, top, left + SIDE, top + SIDE)), np.float32) / 255
    return ((values - mean) / std).transpose(2, 0, 1)


def session(path, optimised=True):
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def make_variants(network, pictures, folder):
    """Paths of all variants by name, made where they do not exist."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.transformers.float16 import convert_float_to_float16

    name = session(network).get_inputs()[0].name

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.left = iter([{name: picture[None]} for picture in pictures[:CALIBRATION]])

        def get_next(self):
            return next(self.left, None)

    def static(kind, activations, weights, per_channel):
        return lambda path: quantize_static(network, path, Reader(), quant_format=kind, activation_type=activations, weight_type=weights, per_channel=per_channel)

    def with_nncf(path):
        import nncf

        dataset = nncf.Dataset([picture[None] for picture in pictures[:CALIBRATION]], lambda values: {name: values})
        onnx.save(nncf.quantize(onnx.load(network), dataset, subset_size=CALIBRATION), path)

    unsigned, signed = QuantType.QUInt8, QuantType.QInt8
    makers = {
        "fp16": lambda path: onnx.save(convert_float_to_float16(onnx.load(network), keep_io_types=False), path),
        "fp16_f32io": lambda path: onnx.save(convert_float_to_float16(onnx.load(network), keep_io_types=True), path),
        "qdq_u8s8": static(QuantFormat.QDQ, unsigned, signed, False),
        "qdq_u8s8_pc": static(QuantFormat.QDQ, unsigned, signed, True),
        "qdq_s8s8_pc": static(QuantFormat.QDQ, signed, signed, True),
        "qop_u8u8": static(QuantFormat.QOperator, unsigned, unsigned, False),
        "qop_u8s8_pc": static(QuantFormat.QOperator, unsigned, signed, True),
        "dynamic": lambda path: quantize_dynamic(network, path, weight_type=unsigned),
        "nncf": with_nncf,
    }
    paths = {variant: folder / f"{network.stem}.{variant}.onnx" for variant in makers}
    for variant, path in paths.items():
        if not path.exists():
            makers[variant](path)
    return paths


def run_onnxruntime(path, pictures, optimised=True):
    running = session(path, optimised)
    declared = running.get_inputs()[0]
    dtype = np.float16 if "float16" in declared.type else np.float32
    return np.concatenate([running.run(None, {declared.name: picture[None].astype(dtype)})[0].reshape(1, -1) for picture in pictures]).astype(np.float32)


def run_senet(program, path, pictures):
    done = subprocess.run([program, path, f"1,3,{SIDE},{SIDE}", "all"], input=pictures.tobytes(), capture_output=True)
    if done.returncode:
        return None, done.stderr.decode().strip()[:200]
    return np.frombuffer(done.stdout, "<f4").reshape(len(pictures), -1), ""


def se_blocks(program, path):
    done = subprocess.run([program, "inspect", path, "--json"], capture_output=True)
    return len(json.loads(done.stdout)["se_blocks"]) if done.returncode == 0 else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="+", type=Path, metavar="NETWORK.onnx")
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mean", default="0.485,0.456,0.406")
    parser.add_argument("--std", default="0.229,0.224,0.225")
    parser.add_argument("--binaries", type=Path, default=Path("target/release"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    mean, std = (np.float32([float(v) for v in text.split(",")]) for text in (args.mean, args.std))
    files = sorted(p for p in args.pictures.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    pictures = np.ascontiguousarray(np.stack([read(path, mean, std) for path in files]), "<f4")
    print("network, variant | SE blocks | senet = ONNX Runtime | senet = f32 | ONNX Runtime = f32 | senet off by | levels apart by")
    for network in args.networks:
        wanted = se_blocks(args.binaries / "senet", network)
        exact = run_onnxruntime(network, pictures).argmax(1)
        for variant, path in {"f32": network, **make_variants(network, pictures, args.out)}.items():
            ours, said = run_senet(args.binaries / "examples/logits", path, pictures)
            if ours is None:
                print(f"{network.stem} {variant} | {said}", flush=True)
                continue
            theirs, plain = run_onnxruntime(path, pictures), run_onnxruntime(path, pictures, optimised=False)
            spread = theirs.max() - theirs.min()
            same = [int((a.argmax(1) == b).sum()) for a, b in [(ours, theirs.argmax(1)), (ours, exact), (theirs, exact)]]
            apart = [float(np.abs(a - theirs).max() / spread) for a in (ours, plain)]
            found = se_blocks(args.binaries / "senet", path)
            print(f"{network.stem} {variant} | {found} of {wanted} | {' | '.join(map(str, same))} | {' | '.join(f'{a:.1e}' for a in apart)}", flush=True)


if __name__ == "__main__":
    main()
