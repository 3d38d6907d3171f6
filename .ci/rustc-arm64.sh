#!/usr/bin/env bash
# Unpacks Debian's rustc with its aarch64 standard library into the folder given, and writes there a wrapper `rustc` to set as RUSTC; for machines
# whose own toolchain has no aarch64 target. Needs root (apt); its package lists are private, so that no architecture is added to the system.
set -euo pipefail

folder=$(realpath -m "${1:?folder}")
[[ -x $folder/rustc ]] && exit
mkdir -p "$folder/lists/partial"
cd "$folder"

options=(-o APT::Architectures::=amd64 -o APT::Architectures::=arm64 -o "Dir::State::lists=$folder/lists" -o APT::Sandbox::User=root)
dependency() { apt-cache "${options[@]}" depends "$1" | sed -n "s/^ *Depends: *\($2[^ ]*\).*/\1/p" | head -n 1; }

apt-get "${options[@]}" update -qq
std=$(dependency libstd-rust-web-dev 'libstd-rust-web-[0-9]')
llvm=$(dependency "$std" libllvm)
apt-get "${options[@]}" download -qq rustc-web "$std" libstd-rust-web-dev libstd-rust-web-dev:arm64 "$llvm"
for package in *.deb; do
  dpkg-deb -x "$package" root
done
rm -- *.deb

cat >rustc <<WRAPPER
#!/bin/sh
LD_LIBRARY_PATH=$folder/root/usr/lib/x86_64-linux-gnu exec $folder/root/usr/bin/rustc "\$@"
WRAPPER
chmod +x rustc
