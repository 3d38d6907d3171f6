"""Compare what senet feeds a network with what timm and transformers feed it, given the same config files.

    pip install -r benches/compare/requirements.txt transformers
    cargo build --release --example preprocess
    python benches/compare/contracts.py [--preprocess target/release/examples/preprocess] PICTURE ...

Every contract is tried on generated pictures of awkward sizes and on the PICTUREs, all saved as PNG so that no JPEG decoder takes part. Prints a
line for each contract and exits with 1 if one differs: values by more than 1e-5, or, where the crop's offset ends in a half, which transformers'
processors for Pillow round down, by more than that after moving the crop.
"""
import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import transformers
from onnx import TensorProto, helper, save
from PIL import Image
from timm.data import create_transform, resolve_data_config

LIMIT = 1e-5
SIZES = [(61, 47), (47, 61), (300, 200), (123, 457), (640, 481), (224, 224), (97, 96), (1000, 31)]


def timm_contracts():
    base = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    for mode in ("center", "squash", "border"):
        for size in ([3, 224, 224], [3, 96, 160], [3, 65, 33]):
            for crop_pct, interpolation in ((0.875, "bilinear"), (0.9, "bicubic"), (0.95, "lanczos"), (1.0, "nearest")):
                yield {**base, "input_size": size, "crop_mode": mode, "crop_pct": crop_pct, "interpolation": interpolation}
    yield {"input_size": [3, 224, 224]}
    yield {"input_size": [3, 64, 64], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "crop_mode": "border"}


def transformers_contracts():
    for kind, settings in [
        ("ViT", {}),
        ("ViT", {"size": {"height": 97, "width": 64}, "resample": 3}),
        ("DeiT", {"size": {"height": 256, "width": 250}, "crop_size": {"height": 224, "width": 220}}),
        ("Bit", {"size": {"shortest_edge": 120}, "crop_size": {"height": 96, "width": 97}}),
        ("MobileNetV2", {}),
        ("MobileViT", {"size": {"shortest_edge": 288}, "crop_size": {"height": 256, "width": 256}}),
        ("ConvNext", {"size": {"shortest_edge": 224}}),
        ("ConvNext", {"size": {"shortest_edge": 384}}),
        ("EfficientNet", {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.47, 0.47, 0.48]}),
        ("EfficientNet", {"rescale_offset": True, "rescale_factor": 1 / 127.5, "include_top": False}),
    ]:
        yield getattr(transformers, f"{kind}ImageProcessorPil")(**settings)


def write_network(path):
    """A classifier of pictures of any size."""
    info = helper.make_tensor_value_info
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["pooled"]), helper.make_node("Flatten", ["pooled"], ["y"])]
    graph = helper.make_graph(nodes, "g", [info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])], [info("y", TensorProto.FLOAT, ["N", 3])])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def largest_difference(actual, expected):
    """Also the crops one pixel further, where a half was rounded up."""
    if actual.size != expected.size:
        return math.inf, math.inf
    actual = actual.reshape(expected.shape)
    moved = []
    for down in (0, 1):
        for right in (0, 1):
            height, width = expected.shape[1] - down, expected.shape[2] - right
            moved.append(np.abs(actual[:, :height, :width] - expected[:, down:, right:]).max())
    return moved[0], min(moved)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="*")
    parser.add_argument("--preprocess", default="target/release/examples/preprocess")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        generated = [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in SIZES]
        pictures = generated + [Image.open(path).convert("RGB") for path in args.pictures]
        for index, picture in enumerate(pictures):
            picture.save(folder / f"{index}.png", compress_level=1)
        write_network(folder / "model.onnx")

        def compare(name, file, content, feed, may_move):
            (folder / file).write_text(content)
            exact, moved = 0.0, 0.0
            for index, picture in enumerate(pictures):
                done = subprocess.run([args.preprocess, folder, folder / f"{index}.png"], capture_output=True, check=True)
                differences = largest_difference(np.frombuffer(done.stdout, "<f4"), feed(picture))
                exact, moved = max(exact, differences[0]), max(moved, differences[1])
            (folder / file).unlink()
            wrong = not (moved if may_move else exact) <= LIMIT
            note = "" if exact <= LIMIT else f" ({exact:.1e} where a half is rounded up)" if may_move else ""
            print(f"{'WRONG' if wrong else 'equal'} {moved if may_move else exact:.1e}{note}  {name}", flush=True)
            return wrong

        for cfg in timm_contracts():
            transform = create_transform(**resolve_data_config(pretrained_cfg=cfg))
            text = json.dumps({"architecture": "x", "pretrained_cfg": cfg})
            failed |= compare(f"timm {json.dumps(cfg)}", "config.json", text, lambda picture: transform(picture).numpy(), False)
        for processor in transformers_contracts():
            feed = lambda picture: np.asarray(processor(picture, return_tensors="np")["pixel_values"][0])
            kept = {key: value for key, value in processor.to_dict().items() if key in ("size", "crop_size", "rescale_factor")}
            name = f"{type(processor).__name__} {json.dumps(kept)}"
            failed |= compare(name, "preprocessor_config.json", processor.to_json_string(), feed, True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
