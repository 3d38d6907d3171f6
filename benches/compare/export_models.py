"""Writes the networks that networks.py compares, with random weights, as ONNX.

    target/compare/bin/python benches/compare/export_models.py target/networks [NAME ...]     # all of them: 1.5 GB

Every network takes `x`, [N, 3, side, side] with an open batch, and yields `y`, [N, 1000]. Batch norm is calibrated on noise, so that activations
neither vanish nor explode and no layer is without effect on the logits. The exporter is TorchScript's, opset 17.
"""

import argparse
import time
import warnings
from pathlib import Path

import timm
import torch
import torchvision
from torch import nn

SIDE = 224
INCEPTION_RESNET_SIDE = 299
RATIO = 16


def squeeze_excite(channels):
    return torchvision.ops.SqueezeExcitation(channels, channels // RATIO)


def se_inception():
    """GoogLeNet with an SE block after each of its nine Inception modules (SE paper, figure 2)."""
    network = torchvision.models.googlenet(aux_logits=False, init_weights=False)
    for name, module in list(network.named_children()):
        if name.startswith("inception"):
            channels = sum(branch[-1].conv.out_channels for branch in (module.branch2, module.branch3, module.branch4))
            setattr(network, name, nn.Sequential(module, squeeze_excite(channels + module.branch1.conv.out_channels)))
    return network


def se_inception_resnet_v2():
    """Inception-ResNet-v2 with an SE block at the end of each of its 40 residual branches (SE paper, figure 3)."""
    network = timm.create_model("inception_resnet_v2")
    for block in [*network.repeat, *network.repeat_1, *network.repeat_2, network.block8]:
        block.conv2d = nn.Sequential(block.conv2d, squeeze_excite(block.conv2d.out_channels))
    return network


def from_timm(name, **options):
    return lambda: timm.create_model(name, **options)


NETWORKS = {
    "seresnet50": from_timm("seresnet50"),
    "seresnext50_32x4d": from_timm("seresnext50_32x4d"),
    "legacy_senet154": from_timm("legacy_senet154"),
    "mobilenetv3_large_100": from_timm("mobilenetv3_large_100"),
    "mobilenetv3_small_100": from_timm("mobilenetv3_small_100"),
    "efficientnet_b0": from_timm("efficientnet_b0"),
    "resnet50": from_timm("resnet50"),
    "se_inception": se_inception,
    "se_inception_resnet_v2": se_inception_resnet_v2,
    "vgg11": torchvision.models.vgg11,
    "densenet121": from_timm("densenet121"),
    "ghostnet_100": from_timm("ghostnet_100"),
    "regnety_004": from_timm("regnety_004"),
    "vit_tiny_patch16_224": from_timm("vit_tiny_patch16_224"),
    # The layer scale is 1e-6 before training, which would hide every block from the logits.
    "convnext_atto": from_timm("convnext_atto", ls_init_value=0.5),
}


def calibrate(network, side):
    """Gives batch norms random weights and the statistics of noise."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum = None
            module.train()
            with torch.no_grad():
                module.weight.copy_(0.5 + torch.rand(module.weight.shape, generator=generator))
                module.bias.copy_(0.2 * torch.randn(module.bias.shape, generator=generator))
    with torch.no_grad():
        network(torch.randn(4, 3, side, side, generator=generator))
    network.eval()


def export(name, path):
    side = INCEPTION_RESNET_SIDE if name == "se_inception_resnet_v2" else SIDE
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    calibrate(network, side)
    torch.onnx.export(
        network,
        (torch.randn(2, 3, side, side),),
        path,
        dynamo=False,
        opset_version=17,
        input_names=["x"],
        output_names=["y"],
        dynamic_axes={"x": {0: "N"}, "y": {0: "N"}},
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NETWORKS))
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NETWORKS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    warnings.filterwarnings("ignore")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or NETWORKS:
        start = time.perf_counter()
        path = arguments.folder / f"{name}.onnx"
        export(name, path)
        print(f"{path}: {path.stat().st_size / 1e6:.0f} MB, {time.perf_counter() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
