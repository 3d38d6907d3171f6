#!/usr/bin/env bash
# Runs the tests of the kernels, those of pictures included, at every level: natively, under qemu-user as processors that have only AVX2 or neither,
# and on an emulated aarch64. Builds tests/kernels-only, the kernels without the engine. Needs root on Debian; installs what it lacks.
set -euo pipefail
cd "$(dirname "$0")/.."
export DEBIAN_FRONTEND=noninteractive

target=$(realpath -m "${CARGO_TARGET_DIR:-target}/kernels-only")
arm=aarch64-unknown-linux-gnu

say() { printf '%s\n' "kernels: $*"; }

has() { command -v "$1" >/dev/null; }

install_tools() {
  if has qemu-x86_64-static && has qemu-aarch64-static && has aarch64-linux-gnu-gcc && [[ -e /usr/aarch64-linux-gnu/lib/libc.so ]]; then return; fi
  say "installing qemu-user and the aarch64 linker"
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends qemu-user-static gcc-aarch64-linux-gnu libc6-dev-arm64-cross >/dev/null
}

# run_tests LEVELS [VARIABLE=VALUE...] COMMAND...: the tests, of whose levels exactly these must have run; the others must say that they were skipped.
run_tests() {
  local expected=$1 level log=$target/log
  env "${@:2}" 2>&1 | tee "$log"
  for image_kernels in jpeg preprocessing; do
    grep -q "^test $image_kernels::properties::.* ok$" "$log" || { say "no test of $image_kernels was run"; return 1; }
    [[ " $expected " == *" avx2 "* ]] || grep -q "skipped: avx2 of $image_kernels" "$log" || { say "avx2 of $image_kernels was run, expected none"; return 1; }
  done
  [[ " $expected " == *" avx512 "* ]] || grep -q "skipped: avx512 of preprocessing" "$log" || { say "avx512 of preprocessing was run, expected none"; return 1; }
  for level in avx2 avx512 neon; do
    if [[ " $expected " == *" $level "* ]]; then
      grep -q "^test kernels::properties::$level::.* ok$" "$log" || { say "no test of $level was run"; return 1; }
      ! grep -q "skipped: $level" "$log" || { say "$level was skipped, expected to run"; return 1; }
    else
      ! grep -q "^test kernels::properties::$level::" "$log" || grep -q "skipped: $level::" "$log" || { say "$level was run, expected none"; return 1; }
    fi
  done
}

native_levels() {
  local levels=
  if grep -qw avx2 /proc/cpuinfo && grep -qw fma /proc/cpuinfo; then levels+=" avx2"; fi
  if grep -qw avx512f /proc/cpuinfo; then levels+=" avx512"; fi
  echo "$levels"
}

mkdir -p "$target"
cp Cargo.lock tests/kernels-only/Cargo.lock
install_tools

test=(cargo test --release --manifest-path tests/kernels-only/Cargo.toml --target-dir "$target")
x86_runner=CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER

say "natively:$(native_levels)"
run_tests "$(native_levels)" "${test[@]}"

say "as a Haswell: AVX2" # less what the emulator lacks and would warn of in every thread
run_tests "avx2" "$x86_runner=qemu-x86_64-static -cpu Haswell,-pcid,-x2apic,-tsc-deadline,-hle,-invpcid,-rtm" "${test[@]}"

say "as a Nehalem: plain Rust"
run_tests "" "$x86_runner=qemu-x86_64-static -cpu Nehalem" "${test[@]}"

say "as an aarch64: NEON"
if [[ ! -d $(rustc --print sysroot)/lib/rustlib/$arm ]]; then
  .ci/rustc-arm64.sh "$target/rustc-arm64"
  export RUSTC=$target/rustc-arm64/rustc
fi
run_tests "neon" \
  "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc" \
  "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64-static -L /usr/aarch64-linux-gnu" \
  "${test[@]}" --target "$arm"
