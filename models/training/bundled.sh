#!/usr/bin/env bash
# Trains senet's bundled model: two networks learn the labels, then one, from the second one's weights, what both predict; the mean of its weights
# after that and after some more epochs is the model.
#
#     PYTHON=venv/bin/python ./bundled.sh OUT [--images DIR]
#
# The model is OUT/bundled/model.onnx. Takes some hours; what was broken off goes on after its last whole epoch.
set -euo pipefail

here=$(dirname "$0")
out=${1:?"where to, a folder"}
data=("${@:2}")
wide=(--widths 64 128 256 --batch 500 --pad 4)

train() {
  [[ -e $out/$1/model.onnx ]] || "${PYTHON:-python}" "$here/train.py" --resume --out "$out/$1" "${@:2}" "${data[@]}"
}

teachers=(--teachers "$out/second" "$out/first")

train first
train second "${wide[@]}" --epochs 32 --lr 0.12 --lr-rest 0.006 --cutout 12
train taught "${wide[@]}" --epochs 20 --lr 0.08 --lr-rest 0.003 --begin "$out/second" "${teachers[@]}"
train again "${wide[@]}" --epochs 4 --lr 0.03 --lr-rest 0.001 --cutout 0 --mix 0 --begin "$out/taught" "${teachers[@]}"
train bundled "${wide[@]}" --epochs 0 --begin "$out/taught" "$out/again"
