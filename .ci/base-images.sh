#!/usr/bin/env bash
# Provides the base image that the Dockerfile names: pulled from its registry or, where none is reached, put together from Debian's packages and
# the installed Rust toolchain under the same name. Needs root on Debian for that; leaves an image that is there alone.
set -euo pipefail
cd "$(dirname "$0")/.."

image=$(sed -n 's/^FROM \([^ ]*\) AS build$/\1/p' Dockerfile)
podman image exists "$image" && exit
if podman pull --quiet "$image"; then exit; fi
echo "no registry answers for $image; building a stand-in"

version=$(rustc --version | cut -d' ' -f2)
case $image in
  *:"${version%.*}"-slim-*) ;;
  *) echo "the installed Rust is $version, the Dockerfile asks for $image" >&2; exit 1 ;;
esac
toolchain=$(rustc --print sysroot)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

mmdebstrap --quiet --mode=root --variant=minbase --include=ca-certificates,gcc,libc6-dev \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook="mkdir -p \"\$1/usr/local\" && cp -a '$toolchain/bin' '$toolchain/lib' '$toolchain/libexec' \"\$1/usr/local/\"" \
  --customize-hook="cp /etc/ssl/certs/ca-certificates.crt \"\$1/etc/ssl/certs/\"" \
  "${image##*-}" "$scratch/root.tar"
podman import --quiet \
  --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' --change 'ENV CARGO_HOME=/usr/local/cargo' \
  "$scratch/root.tar" "$image"
