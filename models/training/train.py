"""Train an SE-ResNet for 32x32 pictures on CIFAR-10 and export it to ONNX.

    python -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python train.py --out runs/se                      # downloads CIFAR-10 from its authors' page
    venv/bin/python train.py --out runs/plain --no-se           # the same network without SE blocks
    venv/bin/python train.py --out runs/se --images DIR         # CIFAR-10 as files: DIR/{train,test}/<class>/*.jpg
    venv/bin/python train.py --out runs/pupil --begin runs/se --teachers runs/se runs/other
    venv/bin/python train.py --out runs/mean --begin runs/pupil runs/se --epochs 0

senet's bundled model is made in five such steps by bundled.sh. Writes OUT/model.onnx, OUT/weights.pt and OUT/report.json (per-epoch losses, test accuracy, parameters, operations).
"""
import argparse
import json
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
# Mean and standard deviation of the training pictures per channel, in units of 0..1.
MEAN, STD = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]


class SqueezeExcitation(nn.Module):
    """Hu et al., arXiv 1709.01507, section 3: global average, C -> C/r -> C, sigmoid, scale."""

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x):
        s = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(s))))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; the SE block stands before the residual addition, as in figure 3 of the paper."""

    def __init__(self, channels: int, se: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.se = SqueezeExcitation(channels) if se else nn.Identity()

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.se(self.bn2(self.conv2(y))) + x)


class Transition(nn.Module):
    """To the next stage: a 3x3 convolution to its width, then half the height and width."""

    def __init__(self, cin: int, cout: int):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.bn = nn.BatchNorm2d(cout)

    def forward(self, x):
        return F.relu(self.bn(self.pool(self.conv(x))))


class SEResNet(nn.Module):
    """A whitening stem, then three stages at 15x15, 7x7 and 3x3, each a transition and its basic blocks.

    Stem, transitions and the few epochs they need follow Jordan's airbench (arXiv 2404.00498).
    """

    def __init__(self, widths, depths, se: bool):
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 2)
        cin = 24
        for i, (width, depth) in enumerate(zip(widths, depths), 1):
            setattr(self, f"transition{i}", Transition(cin, width))
            setattr(self, f"layer{i}", nn.Sequential(*[BasicBlock(width, se) for _ in range(depth)]))
            cin = width
        self.fc = nn.Linear(cin, len(CLASSES))

    @torch.no_grad()
    def whiten(self, pictures):
        """Sets the stem to the whitening transform of the 2x2 patches of `pictures`, both signs, and freezes it (section 3.2)."""
        patches = pictures.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 12)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (vectors / (values + 5e-4).sqrt()).T.reshape(12, 3, 2, 2)
        self.stem.weight.copy_(torch.cat([filters, -filters]))
        self.stem.weight.requires_grad = False

    def forward(self, x):
        x = F.relu(self.stem(x))
        x = self.layer1(self.transition1(x))
        x = self.layer2(self.transition2(x))
        x = self.layer3(self.transition3(x))
        return self.fc(x.amax((2, 3)))


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal by Newton-Schulz steps (Jordan 2024), for convolutions as C_out x (C_in k k) matrices.

    Every weight is kept at the norm sqrt(C_out), so `lr` is the relative change of a step and no weight decay is needed.
    """

    def __init__(self, params, lr, momentum=0.6):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                buffer.mul_(group["momentum"]).add_(p.grad)
                x = p.grad.add(buffer, alpha=group["momentum"]).reshape(len(p), -1)
                x = x / (x.norm() + 1e-7)
                x = x.T if x.shape[0] > x.shape[1] else x
                for _ in range(3):
                    a = x @ x.T
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                x = x.T if len(x) != len(p) else x
                p.mul_(len(p) ** 0.5 / p.norm()).add_(x.reshape(p.shape), alpha=-group["lr"])


def load_folders(root: Path, split: str):
    from PIL import Image

    pixels, labels = [], []
    for index, name in enumerate(CLASSES):
        for path in sorted((root / split / name).glob("*.jpg")):
            pixels.append(np.asarray(Image.open(path).convert("RGB")))
            labels.append(index)
    return np.stack(pixels), np.array(labels)


def load_original(root: Path, split: str):
    from torchvision.datasets import CIFAR10

    data = CIFAR10(root, train=split == "train", download=True)
    return data.data, np.array(data.targets)


def load(args, split):
    pixels, labels = load_folders(args.images, split) if args.images else load_original(args.cifar10, split)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)
    x = (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    return x, torch.from_numpy(labels)


def augment(padded, index, flip, cutout, generator):
    """Random 32x32 crop of the padded picture, flip, and a square of zeros (cutout, arXiv 1708.04552)."""
    n = len(index)
    windows = padded[index].unfold(2, 32, 1).unfold(3, 32, 1)
    span = windows.shape[2]
    dy, dx = torch.randint(span, (2, n), generator=generator)
    x = windows[torch.arange(n), :, dy, dx]
    x = torch.where(flip.view(-1, 1, 1, 1), x.flip(3), x)
    cy, cx = torch.randint(32, (2, n, 1), generator=generator)
    ramp = torch.arange(32).view(1, -1)
    rows, cols = (ramp - cy).abs() * 2 < cutout, (ramp - cx).abs() * 2 < cutout
    return x.masked_fill(rows.view(n, 1, 32, 1) & cols.view(n, 1, 1, 32), 0.0)


@torch.no_grad()
def accuracy(model, x, y):
    model.eval()
    hits = sum((model(a.contiguous(memory_format=torch.channels_last)).argmax(1) == b).sum().item()
               for a, b in zip(x.split(500), y.split(500)))
    return hits / len(y)


def finished(run: Path):
    """The network of a finished run, with its weights."""
    settings = json.loads((run / "report.json").read_text())["arguments"]
    model = SEResNet(json.loads(settings["widths"]), json.loads(settings["depths"]), settings["no_se"] == "False")
    model.load_state_dict(torch.load(run / "weights.pt"))
    return model.to(memory_format=torch.channels_last).eval()


@torch.no_grad()
def averaged(model, runs, x, generator):
    """Gives `model` the mean weights of finished runs (stochastic weight averaging, arXiv 1803.05407), and batch normalisation, if there are several, what it
    sees with them."""
    states = [finished(run).state_dict() for run in runs]
    model.load_state_dict({key: torch.stack([state[key].double() for state in states]).mean(0) for key in states[0]})
    if len(runs) == 1:
        return
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    for index in torch.randperm(len(x), generator=generator).split(500):
        model(x[index].contiguous(memory_format=torch.channels_last))
    for norm in norms:
        norm.momentum = 0.1


def blend(x, share_blended, generator):
    """Mixup (arXiv 1710.09412) of a share of the pictures, each with the one before it; what it shows is for teachers to say."""
    share = torch.rand(len(x), 1, 1, 1, generator=generator)
    share = torch.where(torch.rand(share.shape, generator=generator) < share_blended, share, 1.0)
    return torch.lerp(x.roll(1, 0), x, share)


@torch.no_grad()
def taught(teachers, x, generator):
    """Mean prediction of the teachers (distillation, arXiv 1503.02531), each of which sees the pictures or their mirror images by chance."""
    mirror = torch.rand(len(teachers), generator=generator) < 0.5
    predictions = [teacher(x.flip(3) if turn else x).float().log_softmax(1) for teacher, turn in zip(teachers, mirror)]
    return torch.stack(predictions).mean(0).softmax(1)


def count_macs(model):
    """Multiply-accumulates of one 32x32 picture, over convolutions and linear layers."""
    total = [0]

    def hook(module, _, output):
        positions = output[0, 0].numel() if output.dim() == 4 else 1
        total[0] += module.weight.numel() * positions

    hooks = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, 32, 32))
    for handle in hooks:
        handle.remove()
    return total[0]


def export(model, path: Path):
    """Dynamic batch; nodes named after their modules: `/layer1/layer1.0/se/fc1/Conv` becomes `layer1.0.se.fc1.Conv`."""
    torch.onnx.export(model.eval(), (torch.zeros(2, 3, 32, 32),), str(path), dynamo=False, opset_version=17,
                      input_names=["image"], output_names=["logits"],
                      dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}})
    proto = onnx.load(path)

    def rename(name):
        parts = [p for p in name.split("/") if p]
        kept = [p for i, p in enumerate(parts) if i + 1 == len(parts) or not parts[i + 1].startswith(p + ".")]
        return ".".join(kept)

    for node in proto.graph.node:
        node.name = rename(node.name)
        for values in (node.input, node.output):
            for i, value in enumerate(values):
                values[i] = rename(value) if value.startswith("/") else value
    onnx.checker.check_model(proto)
    onnx.save(proto, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=Path, help="CIFAR-10 as files, DIR/{train,test}/<class>/*.jpg")
    parser.add_argument("--cifar10", type=Path, default=Path("data"), help="where the original CIFAR-10 is kept or downloaded to")
    parser.add_argument("--no-se", action="store_true", help="the same network without SE blocks")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--lr", type=float, default=0.18, help="first learning rate of the convolutions (Muon), falling to 0")
    parser.add_argument("--lr-rest", type=float, default=0.01, help="the same of all other parameters (AdamW)")
    parser.add_argument("--label-smoothing", type=float, default=0.2)
    parser.add_argument("--pad", type=int, default=2, help="pixels of reflected border for the random crop")
    parser.add_argument("--cutout", type=int, default=8, help="side of the erased square, pixels")
    parser.add_argument("--widths", type=int, nargs=3, default=[64, 144, 240])
    parser.add_argument("--depths", type=int, nargs=3, default=[1, 2, 1])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--teachers", type=Path, nargs="+", default=[], help="OUT folders of runs whose mean prediction is learned instead of the labels")
    parser.add_argument("--begin", type=Path, nargs="+", help="OUT folders of runs whose weights, or their mean, are the first ones")
    parser.add_argument("--mix", type=float, default=0.5, help="share of pictures that are blended with another one, where there are teachers")
    parser.add_argument("--resume", action="store_true", help="go on after the last whole epoch of OUT/checkpoint.pt")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)

    x, y = load(args, "train")
    xt, yt = load(args, "test")
    padded = F.pad(x, [args.pad] * 4, mode="reflect")
    model = SEResNet(args.widths, args.depths, not args.no_se)
    model.whiten(x[:5000])
    teachers = [finished(run) for run in args.teachers]
    parameters, macs = sum(p.numel() for p in model.parameters()), count_macs(model)
    model = model.to(memory_format=torch.channels_last)
    if args.begin:
        averaged(model, args.begin, x, generator)
    print(f"{parameters} parameters, {macs / 1e6:.1f} M multiply-accumulates", flush=True)

    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    filters = [p for name, p in trained if p.dim() == 4 and ".se." not in name]
    rest = [p for name, p in trained if p.dim() != 4 or ".se." in name]
    optimizers = [Muon(filters, lr=args.lr), torch.optim.AdamW(rest, lr=args.lr_rest, betas=(0.9, 0.95), weight_decay=0.01)]
    steps = args.epochs * (len(x) // args.batch)
    schedules = [torch.optim.lr_scheduler.LambdaLR(o, lambda t: 1 - t / max(steps, 1)) for o in optimizers]

    # Where the processor has no bfloat16 products, PyTorch emulates them at a tenth of the speed of f32.
    half = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    history, start, done = [], time.time(), 0
    mirrored = torch.rand(len(x), generator=generator) < 0.5
    checkpoint = args.out / "checkpoint.pt"
    if args.resume and checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        for restored, key in (optimizers, "optimizers"), (schedules, "schedules"):
            for part, saved in zip(restored, state[key]):
                part.load_state_dict(saved)
        generator.set_state(state["generator"])
        history, done = state["history"], state["done"]
        start -= history[-1]["seconds"]

    def report(top1, train_top1=None):
        told = {"parameters": parameters, "multiply_accumulates": macs, "train_top1": train_top1, "test_top1": top1,
                "arguments": {k: str(v) for k, v in vars(args).items()}, "history": history}
        (args.out / "report.json").write_text(json.dumps(told, indent=1))

    for epoch in range(len(history), args.epochs):
        model.train()
        order, losses = torch.randperm(len(x), generator=generator), []
        # Each picture is mirrored in every other epoch, which wastes fewer views than independent coin tosses.
        flips = mirrored ^ (epoch % 2 == 1)
        for index in order[:len(x) // args.batch * args.batch].split(args.batch):
            batch = augment(padded, index, flips[index], args.cutout, generator)
            batch = (blend(batch, args.mix, generator) if teachers else batch).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                target = taught(teachers, batch, generator) if teachers else y[index]
                logits = model(batch)
            # What teachers predict is smooth already.
            loss = F.cross_entropy(logits.float(), target, label_smoothing=0.0 if teachers else args.label_smoothing)
            model.zero_grad(set_to_none=True)
            loss.backward()
            for part in (*optimizers, *schedules):
                part.step()
            losses.append(loss.item())
            done += 1
            if done % 10 == 0:
                print(f"epoch {epoch + 1} step {done}/{steps} loss {np.mean(losses[-10:]):.3f} "
                      f"{done * args.batch / (time.time() - start):.0f} images/s", flush=True)
        top1 = accuracy(model, xt, yt)
        history.append({"epoch": epoch + 1, "loss": float(np.mean(losses)), "test_top1": top1, "seconds": time.time() - start})
        report(top1)
        print(json.dumps(history[-1]), flush=True)
        torch.save({"model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers],
                    "schedules": [s.state_dict() for s in schedules], "generator": generator.get_state(), "history": history, "done": done}, checkpoint)
    top1 = accuracy(model, xt, yt)
    report(top1, accuracy(model, x, y))
    print(f"test top-1 {top1}")
    torch.save(model.state_dict(), args.out / "weights.pt")
    model = model.to(memory_format=torch.contiguous_format)
    export(model, args.out / "model.onnx")


if __name__ == "__main__":
    main()
