#!/usr/bin/env bash
# Runs the tests of the kernels, those of pictures included, once with a check of every overflow, and once under AddressSanitizer. That one needs a
# nightly toolchain; without it the script says so, and ends with 0. Builds tests/kernels-only, the kernels without the engine.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}/kernels-only")
host=$(rustc -vV | sed -n 's/^host: //p')
# A quarter of the usual cases: the kernels take up to ten times as long.
export PROPTEST_CASES=${PROPTEST_CASES:-64}

say() { printf '%s\n' "sanitizers: $*"; }

mkdir -p "$target"
cp Cargo.lock tests/kernels-only/Cargo.lock
test=(test --release --manifest-path tests/kernels-only/Cargo.toml --target-dir "$target")

say "with overflow checks"
CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true cargo "${test[@]}"

if ! RUSTUP_AUTO_INSTALL=0 cargo +nightly --version >/dev/null 2>&1; then
  say "NOT CHECKED with AddressSanitizer: there is no nightly toolchain"
  exit 0
fi

say "with AddressSanitizer"
# Some tests ask for more memory than there is, which must come back as an error.
RUSTFLAGS=-Zsanitizer=address ASAN_OPTIONS=allocator_may_return_null=1 cargo +nightly "${test[@]}" --target "$host"
