"""Makes a family of small ONNX graphs, operator by operator, and compares senet with ONNX Runtime, without its
optimisations, on each.

    pip install numpy onnx onnxruntime
    cargo build --release --example logits
    python benches/compare/onnx_family.py [--logits target/release/examples/logits] [--only Conv,MaxPool] [--keep DIR]

Every case is one operator with one set of attributes, at every opset from 7 to 23 at which its definition changed; some hundreds more have attributes
and an opset at random. It stands behind a convolution with a ReLU, so that it is where it would be in a network, and a 1x1 convolution follows where its
output is a map. Three runs are compared with ONNX Runtime's: the kernels at the best instruction set, those of plain Rust (`scalar`), and stock tract
for information.

A case is wrong where a value is further from ONNX Runtime's than 1e-4 of the range of values, 1e-6 of the largest and 1e-5. A refusal is printed, since it must be a sentence that
helps. The exit code is 1 when a case is wrong, or a program ends otherwise than with a sentence.
"""

import argparse
import collections
import concurrent.futures
import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

FIRST, LAST = 7, 23
C, H, W = 8, 9, 10
INPUT = [1, 3, H, W]
LIMIT, ROUNDING, FLOOR = 1e-4, 1e-6, 1e-5
ROUNDED = {"FLOAT16": 1e-2}
INT64_MAX = 2**63 - 1

rng = np.random.default_rng(0)
X = rng.standard_normal(INPUT).astype(np.float32)
CONV = (rng.standard_normal((C, 3, 3, 3)) * 0.3).astype(np.float32)
CONV_BIAS = (rng.standard_normal(C) * 0.3).astype(np.float32)


class Graph:
    """A graph under construction: `conv` or `x` is what the case starts from."""

    def __init__(self, opset):
        self.opset, self.nodes, self.parameters, self.count = opset, [], [], 0

    def constant(self, value, dtype=np.float32):
        self.count += 1
        name = f"k{self.count}"
        self.parameters.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def ints(self, values):
        return self.constant(values, np.int64)

    def op(self, kind, *inputs, outputs=1, domain="", **attributes):
        self.count += 1
        names = [f"v{self.count}_{at}" for at in range(outputs)]
        inputs = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        self.nodes.append(helper.make_node(kind, inputs, names, name=f"{kind}_{self.count}", domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def axes(self, kind, x, axes, since, **attributes):
        """An operator whose axes became an input at opset `since`."""
        if axes is None:
            return self.op(kind, x, **attributes)
        if self.opset >= since:
            return self.op(kind, x, self.ints(axes), **attributes)
        return self.op(kind, x, axes=axes, **attributes)

    def model(self, output):
        graph = helper.make_graph(
            self.nodes,
            "case",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, INPUT)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            self.parameters,
        )
        opsets = [helper.make_opsetid("", self.opset)] + [helper.make_opsetid(d, 1) for d in sorted({n.domain for n in self.nodes} - {""})]
        return helper.make_model(graph, opset_imports=opsets, ir_version=min(10, onnx.IR_VERSION))


CASES = []


def case(kind, label, build, since=FIRST, until=LAST):
    """`build(graph, map)` returns the output; `kind` names the operator whose versions count."""
    CASES.append((kind, label, build, since, until))


def simple(kind, label="", since=FIRST, prepare=None, **attributes):
    def build(g, x):
        return g.op(kind, prepare(g, x) if prepare else x, **attributes)

    case(kind, label or ",".join(f"{k}={v}" for k, v in attributes.items()), build, since)


def versions(kind, since, until):
    """Opsets of the range at which the definition of `kind` changed, and the last one."""
    history = [s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.name == kind and s.domain == ""]
    first = min(history, default=1)
    return sorted({v for v in history if since <= v <= until} | {max(since, first), until}) if first <= until else []


# Pointwise operators.
positive = lambda g, x: g.op("Add", g.op("Abs", x), np.float32(0.1))
small = lambda g, x: g.op("Mul", g.op("Tanh", x), np.float32(0.9))
for kind in "Relu Sigmoid Tanh Softplus Softsign Abs Neg Floor Ceil Exp Identity Sin Cos Atan Sinh Cosh Erf Sign Round HardSwish Mish Selu Elu Celu LeakyRelu HardSigmoid ThresholdedRelu Gelu Asinh Dropout Shrink".split():
    simple(kind)
for kind in ["Log", "Sqrt", "Reciprocal"]:
    simple(kind, prepare=positive)
for kind in ["Asin", "Acos", "Atanh", "Tan"]:
    simple(kind, prepare=small)
for alpha in [0.5, 2.0]:
    for kind in ["Elu", "Celu", "LeakyRelu", "ThresholdedRelu"]:
        simple(kind, alpha=alpha)
simple("Selu", alpha=1.5, gamma=1.2)
simple("HardSigmoid", alpha=1 / 6, beta=0.5)
simple("HardSigmoid", alpha=0.1, beta=0.3)
simple("Gelu", approximate="tanh")
simple("Shrink", lambd=0.3, bias=0.1)
case("Swish", "sigmoid times x", lambda g, x: g.op("Mul", x, g.op("Sigmoid", x)))
for slope in [np.float32([0.2]), np.full((C, 1, 1), 0.3, np.float32), np.full((1,), -0.5, np.float32), np.float32(np.linspace(-1, 1, C)).reshape(C, 1, 1)]:
    case("PRelu", f"slope {slope.shape} {slope.ravel()[0]:.1f}", lambda g, x, slope=slope: g.op("PRelu", x, slope))


def clip(low, high):
    def build(g, x):
        if g.opset < 11:
            return g.op("Clip", x, **{k: v for k, v in [("min", low), ("max", high)] if v is not None})
        names = ["" if v is None else g.constant(np.float32(v)) for v in (low, high)]
        while names and not names[-1]:
            names.pop()
        return g.op("Clip", x, *names)

    return build


for low, high in [(0.0, 6.0), (-0.5, 0.5), (0.2, None), (None, 0.3), (None, None), (0.0, 1.0)]:
    case("Clip", f"{low} to {high}", clip(low, high))

for to in ["INT32", "INT64", "FLOAT16", "DOUBLE", "BOOL", "UINT8", "INT8", "BFLOAT16"]:
    number = getattr(TensorProto, to)
    case("Cast", f"to {to} and back", lambda g, x, n=number: g.op("Cast", g.op("Cast", g.op("Mul", positive(g, x), np.float32(7.3)), to=n), to=TensorProto.FLOAT), since=13 if to == "BFLOAT16" else FIRST)
case("CastLike", "int32 and back", lambda g, x: g.op("CastLike", g.op("CastLike", g.op("Mul", x, np.float32(3)), g.constant([1], np.int32)), np.float32(1)), since=15)
case("Where", "greater", lambda g, x: g.op("Where", g.op("Greater", x, np.float32(0.3)), x, np.float32(-0.2)), since=9)
case("Where", "less, maps", lambda g, x: g.op("Where", g.op("Less", x, g.op("Tanh", x)), x, g.op("Neg", x)), since=9)
case("GreaterOrEqual", "", lambda g, x: g.op("Cast", g.op("GreaterOrEqual", x, np.float32(0)), to=1), since=12)
case("LessOrEqual", "", lambda g, x: g.op("Cast", g.op("LessOrEqual", x, np.float32(0)), to=1), since=12)
case("Equal", "", lambda g, x: g.op("Cast", g.op("Equal", x, np.float32(0)), to=1), since=11)
case("Not", "and or xor", lambda g, x: g.op("Cast", g.op("Xor", g.op("Or", g.op("Not", g.op("Greater", x, np.float32(0.1))), g.op("Less", x, np.float32(1))), g.op("And", g.op("Less", x, np.float32(2)), g.op("Greater", x, np.float32(0.4)))), to=1), since=9)
case("IsNaN", "", lambda g, x: g.op("Where", g.op("IsNaN", g.op("Log", g.op("Sub", x, np.float32(0.2)))), np.float32(0), x), since=9)
case("IsInf", "", lambda g, x: g.op("Where", g.op("IsInf", g.op("Div", x, g.op("Relu", x))), np.float32(2), x), since=10)

# Of two maps, and of a map and a constant.
per_channel = (np.arange(C, dtype=np.float32) + 1).reshape(1, C, 1, 1) / 4
beside = {
    "number": np.float32(1.5),
    "one": np.float32([0.75]),
    "channels": per_channel,
    "channels without batch": per_channel[0],
    "row": (np.arange(W, dtype=np.float32) + 1) / 4,
    "column": (np.arange(H, dtype=np.float32) + 1).reshape(H, 1) / 4,
    "map": (np.arange(C * H * W, dtype=np.float32) + 1).reshape(1, C, H, W) / 500,
    "five axes": per_channel[None],
}
for kind in ["Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"]:
    since = 8 if kind in ("Max", "Min") else FIRST
    base = positive if kind == "Pow" else (lambda g, x: x)
    for name, value in beside.items():
        case(kind, f"with {name}", lambda g, x, k=kind, v=value, b=base: g.op(k, b(g, x), v), since)
    for name in ["number", "channels", "map"]:
        value = beside[name]
        reverse = (lambda g, x: positive(g, x)) if kind in ("Div", "Pow") else (lambda g, x: x)
        case(kind, f"{name} first", lambda g, x, k=kind, v=value, r=reverse: g.op(k, v, r(g, x)), since)
    case(kind, "two maps", lambda g, x, k=kind: g.op(k, positive(g, x), g.op("Sigmoid", x)), since)
    case(kind, "map and its mean", lambda g, x, k=kind: g.op(k, positive(g, x), g.op("Sigmoid", g.op("GlobalAveragePool", x))), since)
for kind in ["Sum", "Mean", "Max", "Min"]:
    case(kind, "of three", lambda g, x, k=kind: g.op(k, x, g.op("Tanh", x), g.op("Neg", x)), 8)
    case(kind, "of one", lambda g, x, k=kind: g.op(k, x), 8)
    case(kind, "broadcast", lambda g, x, k=kind: g.op(k, x, per_channel, np.float32(0.3)), 8)
case("Mod", "fmod", lambda g, x: g.op("Mod", x, np.float32(0.7), fmod=1), since=10)
case("Pow", "integer exponent", lambda g, x: g.op("Pow", x, g.constant(np.int64(2), np.int64)), since=12)
for exponent in [2.0, 3.0, 0.5, -1.0]:
    case("Pow", f"to {exponent}", lambda g, x, e=exponent: g.op("Pow", positive(g, x), np.float32(e)))

# Normalisation.
scale, shift, mean, variance = (np.float32(v) for v in (np.linspace(0.5, 1.5, C), np.linspace(-1, 1, C), np.linspace(0, 1, C), np.linspace(0.5, 2, C)))
case("BatchNormalization", "", lambda g, x: g.op("BatchNormalization", x, scale, shift, mean, variance))
case("BatchNormalization", "epsilon 0.1", lambda g, x: g.op("BatchNormalization", x, scale, shift, mean, variance, epsilon=0.1))
case("BatchNormalization", "negative scale", lambda g, x: g.op("BatchNormalization", x, -scale, shift, mean, variance))
case("BatchNormalization", "training", lambda g, x: g.op("BatchNormalization", x, scale, shift, mean, variance, outputs=3, training_mode=1)[0], since=14)
case("BatchNormalization", "vector", lambda g, x: g.op("BatchNormalization", g.op("Flatten", g.op("GlobalAveragePool", x)), scale, shift, mean, variance))
case("InstanceNormalization", "", lambda g, x: g.op("InstanceNormalization", x, scale, shift, epsilon=1e-3))
for axis in [1, 2, -1, -2]:
    shape = (C, H, W)[axis - 1:] if axis > 0 else (C, H, W)[axis:]
    case("LayerNormalization", f"axis {axis}", lambda g, x, a=axis, s=shape: g.op("LayerNormalization", x, np.linspace(0.5, 1.5, int(np.prod(s)), dtype=np.float32).reshape(s), np.linspace(-1, 1, int(np.prod(s)), dtype=np.float32).reshape(s), axis=a), since=17)
case("LayerNormalization", "no bias", lambda g, x: g.op("LayerNormalization", g.op("Transpose", x, perm=[0, 2, 3, 1]), scale, epsilon=1e-3), since=17)
case("RMSNormalization", "", lambda g, x: g.op("RMSNormalization", g.op("Transpose", x, perm=[0, 2, 3, 1]), scale), since=23)
for groups in [1, 2, 4, C]:
    case("GroupNormalization", f"{groups} groups", lambda g, x, n=groups: g.op("GroupNormalization", x, *((scale[:n], shift[:n]) if g.opset < 21 else (scale, shift)), num_groups=n), since=18)
for axes in [None, [0, 2, 3], [1], [2, 3]]:
    simple("MeanVarianceNormalization", f"axes {axes}", since=9, **({} if axes is None else {"axes": axes}))
for size, bias in [(3, 1.0), (5, 2.0), (1, 1.0), (4, 1.0)]:
    simple("LRN", size=size, alpha=0.3, beta=0.6, bias=bias)
for axis, p in itertools.product([1, -1, 2], [1, 2]):
    simple("LpNormalization", axis=axis, p=p)
for kind in ["Softmax", "LogSoftmax", "Hardmax"]:
    simple(kind)
    for axis in [1, 2, 3, -1]:
        if axis >= 0:
            simple(kind, axis=axis)
        else:
            simple(kind, axis=axis, since=11)

# Convolutions.
def convolution(channels=C, outputs=6, kernel=(3, 3), group=1, bias=True, kind="Conv", **attributes):
    def build(g, x):
        shape = (outputs, channels // group, *kernel) if kind == "Conv" else (channels, outputs // group, *kernel)
        weights = np.random.default_rng(1).standard_normal(shape).astype(np.float32) * 0.3
        extra = [np.linspace(-1, 1, outputs, dtype=np.float32)] if bias else []
        return g.op(kind, x, weights, *extra, group=group, **attributes)

    return build


for kernel, strides, pads, dilations in [
    ((1, 1), [1, 1], [0, 0, 0, 0], [1, 1]), ((1, 1), [2, 2], [0, 0, 0, 0], [1, 1]), ((1, 1), [1, 1], [1, 1, 1, 1], [1, 1]), ((3, 3), [1, 1], [1, 1, 1, 1], [1, 1]),
    ((3, 3), [2, 2], [1, 1, 1, 1], [1, 1]), ((3, 3), [1, 1], [0, 0, 0, 0], [1, 1]), ((3, 3), [2, 2], [0, 0, 1, 1], [1, 1]), ((3, 3), [1, 2], [1, 0, 0, 2], [1, 1]),
    ((3, 3), [1, 1], [2, 2, 2, 2], [2, 2]), ((3, 3), [3, 2], [1, 1, 1, 1], [1, 2]), ((5, 5), [1, 1], [2, 2, 2, 2], [1, 1]), ((7, 7), [2, 2], [3, 3, 3, 3], [1, 1]),
    ((1, 3), [1, 1], [0, 1, 0, 1], [1, 1]), ((3, 1), [1, 1], [1, 0, 1, 0], [1, 1]), ((2, 2), [2, 2], [0, 0, 0, 0], [1, 1]), ((4, 4), [4, 4], [0, 0, 0, 0], [1, 1]), ((9, 10), [1, 1], [0, 0, 0, 0], [1, 1]),
]:
    for group, outputs in [(1, 6), (2, 6), (C, C), (C, 2 * C), (4, 4)]:
        case("Conv", f"{kernel} strides {strides} pads {pads} dilations {dilations} group {group} to {outputs}", convolution(outputs=outputs, kernel=kernel, group=group, strides=strides, pads=pads, dilations=dilations, bias=group != 2), since=11)
for auto_pad in ["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"]:
    for strides in [[1, 1], [2, 2], [2, 3]]:
        case("Conv", f"{auto_pad} strides {strides}", convolution(auto_pad=auto_pad, strides=strides))
        case("Conv", f"depthwise {auto_pad} strides {strides}", convolution(outputs=C, group=C, auto_pad=auto_pad, strides=strides))
case("Conv", "defaults", convolution())
case("Conv", "computed weights", lambda g, x: g.op("Conv", x, g.op("Mul", np.ones((4, C, 1, 1), np.float32), np.float32(0.5))))
case("Conv", "weights of the picture", lambda g, x: g.op("Conv", x, g.op("Reshape", g.op("GlobalAveragePool", x), g.ints([1, C, 1, 1]))))
for label, attributes in {
    "2 by 2, strides 2": dict(kernel=(2, 2), strides=[2, 2]), "3 by 3, strides 2, pads 1": dict(strides=[2, 2], pads=[1, 1, 1, 1]),
    "output_padding": dict(strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]), "output_shape": dict(strides=[2, 2], output_shape=[18, 20]),
    "output_shape uneven": dict(strides=[2, 2], output_shape=[18, 21]), "output_shape SAME_UPPER": dict(strides=[2, 2], output_shape=[18, 19], auto_pad="SAME_UPPER"),
    "output_shape SAME_LOWER": dict(strides=[2, 2], output_shape=[18, 19], auto_pad="SAME_LOWER"),
    "SAME_UPPER": dict(strides=[2, 2], auto_pad="SAME_UPPER"), "SAME_LOWER": dict(strides=[2, 2], auto_pad="SAME_LOWER"), "VALID": dict(strides=[2, 2], auto_pad="VALID"),
    "group 2": dict(group=2, strides=[2, 2]), "depthwise": dict(group=C, outputs=C, strides=[2, 2], pads=[1, 1, 1, 1]), "dilations": dict(dilations=[2, 2]), "strides 1": dict(pads=[1, 1, 1, 1]), "uneven pads": dict(strides=[2, 2], pads=[0, 1, 1, 0]),
}.items():
    case("ConvTranspose", label, convolution(kind="ConvTranspose", **attributes))

# Pools.
windows = [
    dict(kernel_shape=[2, 2], strides=[2, 2]), dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), dict(kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1]),
    dict(kernel_shape=[3, 2], strides=[2, 3], pads=[0, 1, 1, 0]), dict(kernel_shape=[3, 3]), dict(kernel_shape=[9, 10]), dict(kernel_shape=[5, 5], strides=[3, 3], pads=[2, 2, 2, 2]),
    dict(kernel_shape=[1, 1], strides=[2, 2]),
] + [dict(kernel_shape=[3, 3], strides=[2, 2], auto_pad=a) for a in ("SAME_UPPER", "SAME_LOWER", "VALID")]
for window in windows:
    for kind in ["MaxPool", "AveragePool", "LpPool"]:
        simple(kind, **window)
        if "auto_pad" not in window or window["auto_pad"] == "VALID":
            simple(kind, since=18 if kind == "LpPool" else 10, ceil_mode=1, **window)
        if kind == "AveragePool":
            simple(kind, count_include_pad=1, **window)
            if "auto_pad" not in window:
                simple(kind, since=10, ceil_mode=1, count_include_pad=1, **window)
for kind, since in [("MaxPool", 10), ("AveragePool", 19), ("LpPool", 18)]:
    for extra in [dict(), dict(ceil_mode=1), dict(pads=[1, 1, 1, 1])] + ([dict(pads=[1, 1, 1, 1], count_include_pad=1, ceil_mode=1)] if kind == "AveragePool" else []):
        simple(kind, since=since, kernel_shape=[2, 3], strides=[2, 2], dilations=[2, 2], **extra)
for p in [1, 3]:
    simple("LpPool", kernel_shape=[2, 2], strides=[2, 2], p=p)
    simple("GlobalLpPool", p=p)
for kind in ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"]:
    simple(kind)
    for shape in [[1, C, H * W], [1, 2, 4, H, W]]:
        case(kind, f"of {shape}", lambda g, x, k=kind, s=shape: g.op(k, g.op("Reshape", x, g.ints(s))))

# Reductions.
for kind in ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"]:
    moved = 13 if kind == "ReduceSum" else 18
    for axes in [None, [2, 3], [1], [-1], [3, 2], [0, 1, 2, 3], [-2, -1]]:
        for keepdims in [0, 1]:
            since = 11 if axes and min(axes) < 0 else FIRST
            case(kind, f"axes {axes} keepdims {keepdims}", lambda g, x, k=kind, a=axes, d=keepdims, m=moved: g.op("Add", g.axes(k, positive(g, x), a, m, keepdims=d), np.float32([0])), since)
    case(kind, "nothing with no axes", lambda g, x, k=kind: g.op(k, positive(g, x), noop_with_empty_axes=1), moved)
for kind in ["ArgMax", "ArgMin"]:
    for axis, keepdims in [(1, 1), (2, 0), (0, 1), (3, 1)]:
        case(kind, f"axis {axis} keepdims {keepdims}", lambda g, x, k=kind, a=axis, d=keepdims: g.op("Cast", g.op(k, x, axis=a, keepdims=d), to=1))
    case(kind, "last index", lambda g, x, k=kind: g.op("Cast", g.op(k, x, axis=1, select_last_index=1), to=1), 12)
for axis, options in [(1, {}), (2, dict(exclusive=1)), (3, dict(reverse=1)), (1, dict(exclusive=1, reverse=1))]:
    case("CumSum", f"axis {axis} {options}", lambda g, x, a=axis, o=options: g.op("CumSum", x, g.constant(np.int64(a), np.int64), **o), 11)
case("TopK", "values", lambda g, x: g.op("TopK", x, g.ints([3]), outputs=2, axis=1)[0], 10)
case("TopK", "smallest", lambda g, x: g.op("TopK", x, g.ints([2]), outputs=2, axis=-1, largest=0)[0], 11)

# Shapes.
for shape in [[0, -1], [1, C, -1], [0, 0, -1], [1, 2, 4, H, W], [-1, C, H * W], [1, -1, 1, 1], [1, H, W, C]]:
    case("Reshape", f"{shape}", lambda g, x, s=shape: g.op("Reshape", x, g.ints(s)))
case("Reshape", "allowzero", lambda g, x: g.op("Reshape", x, g.ints([1, -1, C]), allowzero=1), 14)
def reshape_of_shape(g, x):
    batch = g.op("Gather", g.op("Shape", x), g.constant(0, np.int64), axis=0)
    sizes = g.op("Concat", g.axes("Unsqueeze", batch, [0], 13), g.ints([-1]), axis=0)
    return g.op("Reshape", x, sizes)
case("Shape", "gather, concat, reshape", reshape_of_shape)
case("Shape", "start and end", lambda g, x: g.op("Reshape", x, g.op("Concat", g.op("Shape", x, start=0, end=2), g.ints([-1]), axis=0)), 15)
case("Size", "", lambda g, x: g.op("Mul", x, g.op("Cast", g.op("Size", x), to=1)))
for axis in [0, 1, 2, 3, 4]:
    simple("Flatten", axis=axis)
for axis in [-1, -2]:
    simple("Flatten", axis=axis, since=11)
for perm in [[0, 2, 3, 1], [0, 3, 1, 2], [0, 1, 3, 2], [3, 2, 1, 0], [1, 0, 2, 3]]:
    simple("Transpose", perm=perm)
simple("Transpose")
case("Squeeze", "", lambda g, x: g.axes("Squeeze", g.op("GlobalAveragePool", x), [2, 3], 13))
case("Squeeze", "no axes", lambda g, x: g.op("Squeeze", g.op("GlobalAveragePool", x)))
case("Squeeze", "negative", lambda g, x: g.axes("Squeeze", g.op("GlobalAveragePool", x), [-1], 13), 11)
for axes in [[0], [2], [4], [1, 3], [-1]]:
    case("Unsqueeze", f"{axes}", lambda g, x, a=axes: g.axes("Unsqueeze", x, a, 13), 11 if min(axes) < 0 else FIRST)
for axis in [0, 1, 2, 3, -1, -3]:
    case("Concat", f"axis {axis}", lambda g, x, a=axis: g.op("Concat", x, g.op("Tanh", x), x, axis=a), 11 if axis < 0 else FIRST)
case("Concat", "with a constant", lambda g, x: g.op("Concat", x, np.ones((1, 2, H, W), np.float32), axis=1))
case("Concat", "of one", lambda g, x: g.op("Concat", x, axis=1))

def split(sizes, axis, numbered=False, pick=0):
    def build(g, x):
        count = len(sizes)
        if numbered:
            parts = g.op("Split", x, outputs=count, axis=axis, num_outputs=count)
        elif g.opset >= 13:
            parts = g.op("Split", x, g.ints(sizes), outputs=count, axis=axis)
        else:
            parts = g.op("Split", x, outputs=count, axis=axis, split=sizes)
        return g.op("Concat", g.op("Tanh", parts[-1]), parts[pick], axis=axis)

    return build

for sizes, axis in [([4, 4], 1), ([2, 6], 1), ([3, 3, 2], 1), ([4, 5], 2), ([1, 9], 3)]:
    case("Split", f"{sizes} axis {axis}", split(sizes, axis))
case("Split", "equal parts", lambda g, x: g.op("Add", *g.op("Split", x, outputs=2, axis=1, **({"num_outputs": 2} if g.opset >= 18 else {}))))
case("Split", "num_outputs, uneven", split([3, 3, 2], 1, numbered=True), 18)

def slice_(starts, ends, axes, steps=None):
    def build(g, x):
        if g.opset < 10:
            return g.op("Slice", x, starts=starts, ends=ends, axes=axes)
        return g.op("Slice", x, g.ints(starts), g.ints(ends), g.ints(axes), *([g.ints(steps)] if steps else []))

    return build

for starts, ends, axes in [([2], [6], [1]), ([0], [INT64_MAX], [2]), ([1, 2], [8, 9], [2, 3]), ([-4], [-1], [1]), ([0], [1], [1])]:
    case("Slice", f"{starts} {ends} {axes}", slice_(starts, ends, axes))
for starts, ends, axes, steps in [([0], [INT64_MAX], [1], [2]), ([0, 0], [INT64_MAX, INT64_MAX], [2, 3], [2, 2]), ([1, 1], [9, 10], [2, 3], [2, 3]), ([-1], [-INT64_MAX], [1], [-1]), ([7], [1], [1], [-2]), ([5], [0], [3], [-1]), ([-2], [INT64_MAX], [-3], [1])]:
    case("Slice", f"{starts} {ends} {axes} steps {steps}", slice_(starts, ends, axes, steps), 10)
case("Slice", "tokens, strided", lambda g, x: g.op("Slice", g.op("Reshape", g.op("Transpose", x, perm=[0, 2, 3, 1]), g.ints([1, H, W, C])), g.ints([0, 0]), g.ints([INT64_MAX] * 2), g.ints([1, 2]), g.ints([2, 2])), 10)
for indices, axis in [([0, 2, 5], 1), (3, 1), ([[0, 1], [2, 3]], 1), ([1, 0], 2), (0, 0)]:
    case("Gather", f"{indices} axis {axis}", lambda g, x, i=indices, a=axis: g.op("Gather", x, g.constant(i, np.int64), axis=a))
case("Gather", "negative index", lambda g, x: g.op("Gather", x, g.constant([-1, -2], np.int64), axis=1), 11)
case("Gather", "int32 index", lambda g, x: g.op("Gather", x, g.constant([1, 2], np.int32), axis=3))
case("GatherND", "", lambda g, x: g.op("GatherND", x, g.constant([[[0, 1], [0, 2]]], np.int64)), 11)
case("GatherElements", "", lambda g, x: g.op("GatherElements", x, g.constant(np.zeros((1, C, H, 2)), np.int64), axis=3), 11)
case("ScatterND", "", lambda g, x: g.op("ScatterND", x, g.constant([[0, 1]], np.int64), np.ones((1, H, W), np.float32)), 11)
case("ScatterElements", "", lambda g, x: g.op("ScatterElements", x, g.constant(np.zeros((1, C, H, 1)), np.int64), np.ones((1, C, H, 1), np.float32), axis=3), 11)
case("Expand", "of a mean", lambda g, x: g.op("Expand", g.op("GlobalAveragePool", x), g.ints([1, C, H, W])), 8)
case("Expand", "by ones", lambda g, x: g.op("Expand", x, g.ints([1, 1, 1, 1])), 8)
case("Expand", "to the shape of another", lambda g, x: g.op("Mul", x, g.op("Expand", g.op("Sigmoid", g.op("GlobalAveragePool", x)), g.op("Shape", x))), 8)
case("Tile", "", lambda g, x: g.op("Tile", x, g.ints([1, 2, 1, 3])))
case("ConstantOfShape", "ones of the shape", lambda g, x: g.op("Add", x, g.op("ConstantOfShape", g.op("Shape", x), value=helper.make_tensor("v", 1, [1], [0.5]))), 9)
case("Range", "", lambda g, x: g.op("Add", x, g.op("Range", np.float32(0), np.float32(W), np.float32(1))), 11)
case("EyeLike", "", lambda g, x: g.op("EyeLike", g.op("Reshape", x, g.ints([C, -1]))), 9)
case("OneHot", "", lambda g, x: g.op("OneHot", g.op("ArgMax", x, axis=1, keepdims=0), g.ints([C]), np.float32([0, 1]), axis=1), 11)
case("Trilu", "", lambda g, x: g.op("Trilu", x), 14)
case("Trilu", "lower, k", lambda g, x: g.op("Trilu", x, g.constant(np.int64(1), np.int64), upper=0), 14)
for constant in [dict(value_float=0.5), dict(value_floats=[0.5] * W), dict(value=numpy_helper.from_array(np.float32([0.25])))]:
    case("Constant", f"{next(iter(constant))}", lambda g, x, c=constant: g.op("Add", x, g.op("Constant", **c)), FIRST if "value" in constant else 12)
case("Constant", "value_ints", lambda g, x: g.op("Reshape", x, g.op("Constant", value_ints=[1, -1])), 12)

def pad(pads, mode="constant", value=None, axes=None):
    def build(g, x):
        if g.opset < 11:
            return g.op("Pad", x, pads=pads, mode=mode, **({} if value is None else {"value": value}))
        extra = [] if value is None and axes is None else ["" if value is None else g.constant(np.float32(value))]
        return g.op("Pad", x, g.ints(pads), *extra, *([g.ints(axes)] if axes else []), mode=mode)

    return build

for pads in [[0, 0, 1, 2, 0, 0, 2, 1], [0, 1, 0, 0, 0, 2, 0, 0], [0] * 8, [0, 0, -1, -2, 0, 0, -1, 0], [0, -2, 0, 0, 0, 3, 0, 0], [0, 0, 2, -1, 0, 0, -2, 1]]:
    for mode in ["constant", "reflect", "edge"]:
        case("Pad", f"{pads} {mode}", pad(pads, mode))
    case("Pad", f"{pads} with 0.5", pad(pads, value=0.5))
case("Pad", "wrap", pad([0, 0, 1, 2, 0, 0, 2, 1], "wrap"), 19)
case("Pad", "axes", pad([1, 2, 2, 1], axes=[2, 3]), 18)
case("Pad", "negative axes", pad([1, 2], axes=[-1]), 18)
case("Pad", "then a convolution", lambda g, x: convolution()(g, pad([0, 0, 1, 1, 0, 0, 1, 1])(g, x)))
case("Pad", "reflect, then a convolution", lambda g, x: convolution()(g, pad([0, 0, 1, 1, 0, 0, 1, 1], "reflect")(g, x)))
case("Pad", "then a pool", lambda g, x: g.op("MaxPool", pad([0, 0, 1, 1, 0, 0, 1, 1])(g, x), kernel_shape=[3, 3], strides=[2, 2]))
for size, mode in [(2, "DCR"), (2, "CRD")]:
    simple("DepthToSpace", blocksize=size, mode=mode, since=11)
simple("DepthToSpace", blocksize=2)
case("SpaceToDepth", "", lambda g, x: g.op("SpaceToDepth", slice_([0], [8], [2])(g, x), blocksize=2))
case("CenterCropPad", "", lambda g, x: g.op("CenterCropPad", x, g.ints([7, 13]), axes=[2, 3]), 18)
case("Reshape", "channel shuffle", lambda g, x: g.op("Reshape", g.op("Transpose", g.op("Reshape", x, g.ints([1, 2, 4, H, W])), perm=[0, 2, 1, 3, 4]), g.ints([1, C, H, W])))

def resize(scales=None, sizes=None, **attributes):
    def build(g, x):
        if g.opset < 10:
            return g.op("Upsample", x, np.float32(scales), **attributes) if g.opset >= 9 else g.op("Upsample", x, scales=[float(scale) for scale in scales], **attributes)
        if g.opset == 10:
            return g.op("Resize", x, np.float32(scales), **attributes)
        roi = "" if g.opset >= 13 else g.constant(np.zeros(0))
        if sizes is None:
            return g.op("Resize", x, roi, g.constant(np.float32(scales)), **attributes)
        return g.op("Resize", x, roi, "" if g.opset >= 13 else g.constant(np.zeros(0)), g.ints(sizes), **attributes)

    return build

for scales in [[1, 1, 2, 2], [1, 1, 3, 2]]:
    for mode in ["nearest", "linear"]:
        case("Upsample", f"{scales} {mode}", resize(scales, mode=mode), FIRST, 9)
        case("Resize", f"{scales} {mode}", resize(scales, mode=mode), 10)
for scales in [[1, 1, 2, 2], [1, 1, 0.5, 0.5], [1, 1, 1.5, 0.7]]:
    for mode in ["nearest", "linear", "cubic"]:
        for transformation in ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]:
            case("Resize", f"{scales} {mode} {transformation}", resize(scales, mode=mode, coordinate_transformation_mode=transformation), 11)
    for nearest in ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]:
        case("Resize", f"{scales} nearest {nearest}", resize(scales, mode="nearest", nearest_mode=nearest, coordinate_transformation_mode="asymmetric"), 11)
for sizes in [[1, C, 18, 20], [1, C, 5, 7]]:
    for mode in ["nearest", "linear", "cubic"]:
        case("Resize", f"sizes {sizes} {mode}", resize(sizes=sizes, mode=mode), 11)
case("Resize", "antialias", resize([1, 1, 0.5, 0.5], mode="linear", antialias=1), 18)
case("Resize", "cubic, exclude_outside", resize([1, 1, 2, 2], mode="cubic", exclude_outside=1, cubic_coeff_a=-0.5), 11)
case("GridSample", "", lambda g, x: g.op("GridSample", x, np.random.default_rng(2).uniform(-1, 1, (1, 4, 5, 2)).astype(np.float32), **({"mode": "linear"} if g.opset >= 20 else {"mode": "bilinear"})), 16)

# Matrix products.
tokens = lambda g, x: g.op("Transpose", g.op("Reshape", x, g.ints([1, C, H * W])), perm=[0, 2, 1])
vector = lambda g, x: g.op("Flatten", g.op("GlobalAveragePool", x))
weights = lambda *shape: np.random.default_rng(3).standard_normal(shape).astype(np.float32)
case("MatMul", "tokens by a matrix", lambda g, x: g.op("MatMul", tokens(g, x), weights(C, 5)))
case("MatMul", "matrix by tokens", lambda g, x: g.op("MatMul", weights(5, H * W), tokens(g, x)))
case("MatMul", "of two", lambda g, x: g.op("MatMul", tokens(g, x), g.op("Reshape", x, g.ints([1, C, H * W]))))
case("MatMul", "vector by a matrix", lambda g, x: g.op("MatMul", vector(g, x), weights(C, 5)))
case("MatMul", "maps by a matrix", lambda g, x: g.op("MatMul", x, weights(W, 5)))
case("MatMul", "batches", lambda g, x: g.op("MatMul", x, weights(C, W, 5)))
case("MatMul", "tokens by a column", lambda g, x: g.op("MatMul", tokens(g, x), weights(C, 1)))
case("MatMul", "vector by a column", lambda g, x: g.op("MatMul", vector(g, x), weights(C, 1)))
case("MatMul", "a row by tokens", lambda g, x: g.op("MatMul", weights(1, H * W), tokens(g, x)))
case("MatMul", "one value by a matrix", lambda g, x: g.op("MatMul", g.axes("ReduceMean", vector(g, x), [1], 18), weights(1, 5)))
case("Gemm", "to one", lambda g, x: g.op("Gemm", vector(g, x), weights(1, C), weights(1), transB=1), 11)
case("Conv", "to one channel", convolution(outputs=1, kernel=(1, 1)))
case("Conv", "3x3 to one channel", convolution(outputs=1, pads=[1, 1, 1, 1]))
case("Conv", "from one channel", lambda g, x: convolution(channels=1)(g, g.axes("ReduceMean", x, [1], 18)))
case("MatMul", "by a vector", lambda g, x: g.op("MatMul", tokens(g, x), weights(C)))
for attributes in [{}, dict(transB=1), dict(alpha=0.5, beta=2.0), dict(transB=1, alpha=0.25)]:
    for third in [None, (5,), (1, 5), (1, 1), ()]:
        shape = (5, C) if attributes.get("transB") else (C, 5)
        case("Gemm", f"{attributes} with {third}", lambda g, x, a=attributes, t=third, s=shape: g.op("Gemm", vector(g, x), weights(*s), *([] if t is None else [weights(*t)]), **a), 11)
case("Gemm", "transA", lambda g, x: g.op("Gemm", g.op("Reshape", x, g.ints([C, H * W])), weights(C, 5), weights(5), transA=1), 11)
case("Gemm", "of two", lambda g, x: g.op("Gemm", g.op("Reshape", x, g.ints([C, H * W])), g.op("Reshape", g.op("Tanh", x), g.ints([C, H * W])), transB=1), 11)
for equation, shapes in {"bchw,cd->bdhw": (C, 4), "...hw,wv->...hv": (W, 4), "bchw,dc->bhwd": (4, C), "bchw->bc": None, "bchw->bhwc": None, "...->...": None, "bc...,cd->bd...": (C, 3), "bchw,c->bhw": (C,), "bchw , cd -> bdhw": (C, 4)}.items():
    case("Einsum", equation, lambda g, x, e=equation, s=shapes: g.op("Einsum", x, *([] if s is None else [weights(*s)]), equation=e), 12)
case("Einsum", "attention", lambda g, x: g.op("Einsum", tokens(g, x), tokens(g, x), equation="bnc,bmc->bnm"), 12)
case("Einsum", "implicit", lambda g, x: g.op("Einsum", tokens(g, x), weights(C, 4), equation="bnc,cd"), 12)
case("Einsum", "ellipsis, implicit", lambda g, x: g.op("Einsum", x, weights(W, 4), equation="...w,wv"), 12)

# Quantisation.
def quantised(kind, zero, per_axis=False, axis=1):
    def build(g, x):
        if per_axis:
            s, z = np.linspace(0.01, 0.05, C, dtype=np.float32), np.full(C, zero)
            extra = dict(axis=axis)
        else:
            s, z, extra = np.float32(0.02), zero, {}
        q = g.op("QuantizeLinear", x, g.constant(s), g.constant(z, kind), **extra)
        return g.op("DequantizeLinear", q, g.constant(s), g.constant(z, kind), **extra)

    return build

for kind, zero, since in [(np.uint8, 0, 10), (np.uint8, 100, 10), (np.int8, 0, 10), (np.int8, -20, 10), (np.uint16, 30000, 21), (np.int16, 0, 21)]:
    case("QuantizeLinear", f"{kind.__name__} {zero}", quantised(kind, zero), since)
    case("QuantizeLinear", f"{kind.__name__} {zero} per channel", quantised(kind, zero, True), max(since, 13))
def dynamic(g, x):
    q, s, z = g.op("DynamicQuantizeLinear", x, outputs=3)
    return g.op("DequantizeLinear", q, s, z)
case("DynamicQuantizeLinear", "", dynamic, 11)
def integer(g, x):
    q, s, z = g.op("DynamicQuantizeLinear", x, outputs=3)
    w = g.constant(np.random.default_rng(4).integers(-100, 100, (4, C, 3, 3)), np.int8)
    y = g.op("ConvInteger", q, w, z, g.constant(0, np.int8), pads=[1, 1, 1, 1])
    return g.op("Mul", g.op("Cast", y, to=1), g.op("Mul", s, np.float32(0.01)))
case("ConvInteger", "", integer, 11)
def matmul_integer(g, x):
    q, s, z = g.op("DynamicQuantizeLinear", vector(g, x), outputs=3)
    y = g.op("MatMulInteger", q, g.constant(np.random.default_rng(4).integers(0, 200, (C, 5)), np.uint8), z, g.constant(100, np.uint8))
    return g.op("Mul", g.op("Cast", y, to=1), g.op("Mul", s, np.float32(0.01)))
case("MatMulInteger", "", matmul_integer, 11)
def qlinear(g, x):
    s, z = g.constant(np.float32(0.03)), g.constant(5, np.uint8)
    q = g.op("QuantizeLinear", x, s, z)
    w = g.constant(np.random.default_rng(4).integers(-100, 100, (4, C, 1, 1)), np.int8)
    y = g.op("QLinearConv", q, s, z, w, g.constant(np.float32(0.01)), g.constant(0, np.int8), g.constant(np.float32(0.05)), g.constant(90, np.uint8), g.constant([10, -20, 30, 0], np.int32))
    return g.op("DequantizeLinear", y, g.constant(np.float32(0.05)), g.constant(90, np.uint8))
case("QLinearConv", "", qlinear, 10)

# Control flow with a constant condition.
def branch(g, x):
    def body(name, kind):
        return helper.make_graph([helper.make_node(kind, [x], [f"{name}_out"], name=f"{name}_{kind}")], name, [], [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)])
    return g.op("If", g.constant(True, np.bool_), then_branch=body("yes", "Tanh"), else_branch=body("no", "Neg"))
case("If", "constant condition", branch)
case("Attention", "", lambda g, x: g.op("Attention", tokens(g, x), tokens(g, x), tokens(g, x), q_num_heads=2, kv_num_heads=2), 23)


# Attributes at random, of maps of three to five axes; what ONNX Runtime refuses itself is left out.
def at_random(count):
    pick = np.random.default_rng(7)
    some = lambda low, high, n: [int(v) for v in pick.integers(low, high, n)]
    flip = lambda share=0.5: bool(pick.random() < share)

    def spatial(rank):
        """A value of `rank` axes, of which the first two are batch and channels."""
        shapes = {3: [1, C, H * W], 4: [1, C, H, W], 5: [1, C, 3, 3, W]}
        return lambda g, x: x if rank == 4 else g.op("Reshape", x, g.ints(shapes[rank]))

    def window(n, dilations=True):
        kernel = some(1, 4, n)
        options = dict(kernel_shape=kernel)
        if flip(0.8):
            options["strides"] = some(1, 4, n)
        if dilations and flip(0.3):
            options["dilations"] = some(1, 3, n)
        if flip(0.25):
            options["auto_pad"] = ["SAME_UPPER", "SAME_LOWER", "VALID"][pick.integers(3)]
        elif flip(0.8):
            options["pads"] = [int(pick.integers(0, kernel[at % n])) for at in range(2 * n)]
        return options

    for number in range(count):
        rank = int(pick.choice([3, 4, 4, 4, 5]))
        n, kind = rank - 2, str(pick.choice("Conv Conv ConvTranspose MaxPool AveragePool LpPool Pad Slice Gather Reduce Split Reshape Transpose Concat Resize ArgMax".split()))
        base, options = spatial(rank), {}
        if kind in ("MaxPool", "AveragePool", "LpPool"):
            options = window(n)
            if flip(0.4) and options.get("auto_pad", "VALID") == "VALID":
                options["ceil_mode"] = 1
            if kind == "AveragePool" and flip():
                options["count_include_pad"] = 1
            if kind == "LpPool":
                options["p"] = int(pick.integers(1, 4))
            make = lambda g, x, k=kind, b=base, o=options: g.op(k, b(g, x), **o)
            since = {"MaxPool": 12, "AveragePool": 19, "LpPool": 18}[kind]
        elif kind in ("Conv", "ConvTranspose"):
            options, group = window(n), int(pick.choice([1, 1, 2, 4, C]))
            kernel, outputs = options.pop("kernel_shape"), int(pick.choice([4, 6, C])) if group < 4 else C
            group = group if outputs % group == 0 else 1
            if kind == "ConvTranspose":
                if flip(0.3) and "strides" in options:
                    options["output_padding"] = [int(pick.integers(0, s)) for s in options["strides"]]
                if flip(0.2):
                    size = {3: [H * W], 4: [H, W], 5: [3, 3, W]}[rank]
                    options["output_shape"] = [a * s + int(pick.integers(0, 2)) for a, s in zip(size, options.get("strides", [1] * n))]
            shown = dict(options, kernel=kernel, group=group, outputs=outputs)
            make = lambda g, x, b=base, m=convolution(outputs=outputs, kernel=kernel, group=group, bias=flip(), kind=kind, **options): m(g, b(g, x))
            options, since = shown, 11
        elif kind == "Pad":
            pads, mode = some(-2, 4, 2 * rank), str(pick.choice(["constant", "reflect", "edge"]))
            pads[0] = pads[rank] = 0
            if mode != "constant":
                pads[1] = pads[rank + 1] = 0
            computed = flip(0.3)
            options, since = dict(pads=pads, mode=mode, computed=computed), 11

            def make(g, x, b=base, pads=pads, mode=mode, computed=computed):
                # As PyTorch exports it: a chain of operators on a constant.
                names = g.op("Cast", g.op("Concat", g.ints(pads[:3]), g.ints(pads[3:]), axis=0), to=7) if computed else g.ints(pads)
                return g.op("Pad", b(g, x), names, mode=mode)
        elif kind == "Slice":
            axes = [int(a) for a in pick.permutation(np.arange(1, rank))[: pick.integers(1, rank)]]
            steps = [int(pick.choice([1, 1, 2, 3, -1, -2])) for _ in axes]
            starts = [int(pick.integers(-9, 9)) for _ in axes]
            ends = [int(pick.choice([INT64_MAX, 6, 9, -1])) if step > 0 else int(pick.choice([-INT64_MAX, 0, -9])) for step in steps]
            options, since = dict(starts=starts, ends=ends, axes=axes, steps=steps, int32=flip(0.3)), 10

            def make(g, x, b=base, o=dict(options)):
                kind = np.int32 if o["int32"] else np.int64
                limit = np.iinfo(kind)
                return g.op("Slice", b(g, x), *(g.constant(np.clip(o[name], limit.min, limit.max), kind) for name in ("starts", "ends", "axes", "steps")))
        elif kind == "Gather":
            axis = int(pick.integers(-rank + 1, rank))
            options, since = dict(axis=axis, indices=some(-1, 1, int(pick.integers(1, 4)))), 11
            make = lambda g, x, b=base, o=options: g.op("Gather", b(g, x), g.ints(o["indices"]), axis=o["axis"])
        elif kind == "Reduce":
            kind = str(pick.choice(["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2"]))
            axes = [int(a) for a in pick.permutation(np.arange(-rank + 1, 0))[: pick.integers(1, rank)]]
            options, since = dict(axes=axes, keepdims=int(flip())), 13
            make = lambda g, x, b=base, k=kind, o=options: g.axes(k, b(g, x), o["axes"], 13 if k == "ReduceSum" else 18, keepdims=o["keepdims"])
        elif kind == "Split":
            first, axis = int(pick.integers(1, C)), int(pick.choice([1, 1 - rank]))
            options, since = dict(sizes=[first, C - first], axis=axis), 13
            make = lambda g, x, b=base, o=options: g.op("Concat", *g.op("Split", b(g, x), g.ints(o["sizes"]), outputs=2, axis=o["axis"])[::-1], axis=1)
        elif kind == "Reshape":
            shape = [[0, -1], [0, 0, -1], [1, -1, W], [0, 2, -1, 0 if rank > 3 else 1, W], [-1, C, 1, H * W], [1, H, -1]][pick.integers(6)]
            options, since = dict(shape=shape), 13
            make = lambda g, x, b=base, o=options: g.op("Reshape", b(g, x), g.ints(o["shape"]))
        elif kind == "Transpose":
            options, since = dict(perm=[int(a) for a in pick.permutation(rank)]), 13
            make = lambda g, x, b=base, o=options: g.op("Transpose", b(g, x), perm=o["perm"])
        elif kind == "Concat":
            options, since = dict(axis=int(pick.integers(-rank, rank))), 13
            make = lambda g, x, b=base, o=options: g.op("Concat", b(g, x), g.op("Sigmoid", b(g, x)), axis=o["axis"])
        elif kind == "ArgMax":
            options, since = dict(axis=int(pick.integers(-rank + 1, rank)), keepdims=int(flip()), select_last_index=int(flip())), 13
            make = lambda g, x, b=base, o=options: g.op("Cast", g.op("ArgMax", b(g, x), **o), to=1)
        else:
            scales = [1.0, 1.0] + [float(pick.choice([0.5, 1.0, 1.5, 2.0, 3.0])) for _ in range(n)]
            options = dict(mode=str(pick.choice(["nearest", "linear"])), coordinate_transformation_mode=str(pick.choice(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])))
            make = lambda g, x, b=base, m=resize(scales, **options): m(g, b(g, x))
            options, since = dict(options, scales=scales), 13
        opset = int(pick.integers(since, LAST + 1))
        case(kind, f"random {number} rank {rank} " + ",".join(f"{k}={v}" for k, v in options.items()), make, opset, opset)


at_random(600)


def build(opset, make):
    """The model; a 1x1 convolution follows where the output is a map."""
    g = Graph(opset)
    y = g.op("Relu", g.op("Conv", "x", CONV, CONV_BIAS, pads=[1, 1, 1, 1]))
    y = g.op("Sub", y, np.float32(0.4))
    y = make(g, y)
    model = g.model(y)
    shape = onnx.shape_inference.infer_shapes(model)
    found = [v for v in [*shape.graph.output, *shape.graph.value_info] if v.name == y]
    sizes = [d.dim_value for d in found[0].type.tensor_type.shape.dim] if found and found[0].type.tensor_type.HasField("shape") else []
    if len(sizes) == 4 and sizes[1] > 0:
        y = g.op("Conv", y, np.random.default_rng(5).standard_normal((4, sizes[1], 1, 1)).astype(np.float32))
        model = g.model(y)
    model = onnx.shape_inference.infer_shapes(model)
    if model.graph.output[0].type.tensor_type.HasField("shape"):
        onnx.checker.check_model(model)
    return model


def expected(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    # Its optimiser turns the product of a transposed matrix and a vector into another one (1.32).
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": X})[0].ravel()


def run(program, path, rewrite, simd):
    command = [program, str(path), ",".join(map(str, INPUT)), rewrite, *simd]
    done = subprocess.run(command, input=X.astype("<f4").tobytes(), capture_output=True, timeout=60)
    if done.returncode == 0:
        return np.frombuffer(done.stdout, "<f4"), None
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return None, f"exit code {done.returncode}: {' '.join(said)}" if done.returncode != 1 else " ".join(said)


def outcome(values, said, reference, limit_of_range):
    if values is None:
        return "refused", said
    if values.shape != reference.shape:
        return "wrong", f"{values.size} values, expected {reference.size}"
    both_nan = np.isnan(values) & np.isnan(reference)
    same = (values == reference) | both_nan
    finite = reference[np.isfinite(reference)]
    spread = float(finite.max() - finite.min()) if finite.size else 0.0
    limit = max(limit_of_range * spread, ROUNDING * float(np.abs(finite).max(initial=0)), FLOOR)
    with np.errstate(invalid="ignore"):
        difference = float(np.max(np.where(same, 0, np.abs(values - reference)), initial=0))
    return ("right", "") if difference <= limit else ("wrong", f"off by {difference:.2g} of a range of {spread:.2g}")


def check(item, program, folder):
    name, opset, make = item
    try:
        model = build(opset, make)
    except Exception as error:  # The checker's own words say what is wrong with a case.
        return name, "invalid", str(error).splitlines()[0], "", ""
    try:
        reference = expected(model)
    except Exception as error:
        return name, "not in ONNX Runtime", str(error).splitlines()[0][:160], "", ""
    path = folder / (name.replace("/", "_").replace(" ", "_").replace(">", "") [:150] + ".onnx")
    onnx.save(model, path)
    # 16-bit values are computed in 32 bits.
    limit = next((limit for kind, limit in ROUNDED.items() if kind in name), LIMIT)
    best, best_said = outcome(*run(program, path, "all", []), reference, limit)
    plain, plain_said = outcome(*run(program, path, "all", ["scalar"]), reference, limit)
    stock, _ = outcome(*run(program, path, "nothing", []), reference, limit)
    return name, best, best_said, plain if plain == best else f"{plain}: {plain_said}", stock


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--logits", default="target/release/examples/logits")
    parser.add_argument("--only", default="", help="names of operators, separated by commas")
    parser.add_argument("--keep", type=Path, help="keep the graphs in this folder")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    wanted = set(filter(None, args.only.split(",")))
    items = [(f"{kind} {label} opset {opset}", opset, make) for kind, label, make, since, until in CASES if not wanted or kind in wanted for opset in versions(kind, since, until)]
    counts, stock = collections.Counter(), collections.Counter()
    with tempfile.TemporaryDirectory() as temporary, concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name, best, said, plain, by_tract in pool.map(lambda item: check(item, args.logits, folder), items):
            counts[best] += 1
            stock[by_tract] += bool(by_tract)
            if best != "right" or plain != best:
                counts["scalar differs"] += plain not in (best, "")
                print(f"{best}: {name}: {said}" + (f" (scalar: {plain})" if plain not in (best, "") else ""), flush=True)
    print(f"{len(items)} graphs: " + ", ".join(f"{n} {what}" for what, n in counts.most_common()))
    print("stock tract: " + ", ".join(f"{n} {what}" for what, n in stock.most_common()))
    return int(counts["wrong"] > 0 or counts["scalar differs"] > 0)


if __name__ == "__main__":
    sys.exit(main())
