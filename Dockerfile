# A static binary with the bundled model inside, built where Rust is, shipped alone.
FROM docker.io/library/rust:1.95-slim-bookworm AS build
WORKDIR /build

# By target, so that build scripts and procedural macros, which cannot be static, go without. On x86-64 Rust brings its own linker, which folds
# equal functions and packs relocations: 3 MB less.
ENV CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,--icf=all,--pack-dyn-relocs=relr" \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"

# Dependencies apart from the sources: this layer lasts until Cargo.toml or Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
RUN sed -i -e '/^\[\[bench\]\]/,/^$/d' -e '/^\[\[test\]\]/,/^$/d' Cargo.toml \
    && mkdir src \
    && touch src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked --features object-store --target "$(rustc --print host-tuple)"

# The touch makes the sources newer than the empty crate of the layer above, whatever their dates in the checkout.
COPY models models
COPY src src
RUN touch src/lib.rs src/main.rs \
    && target=$(rustc --print host-tuple) \
    && cargo build --release --locked --features object-store --target "$target" \
    && install -D "target/$target/release/senet" /out/usr/local/bin/senet \
    && install -d -m 1777 /out/cache

FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="senet" \
      org.opencontainers.image.description="Squeeze-and-Excitation image classification with channel attention, on CPUs" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out /

# Models of your own: mount their folder at /models and set SENET_MODELS=/models. Those of an object store (SENET_MODELS=s3://…) are kept in
# /cache, which anybody may write; mount a volume there, at the latest when the root is read-only.
ENV SENET_HTTP_ADDR=0.0.0.0:8080 \
    SENET_MODELS_CACHE=/cache
EXPOSE 8080
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["/usr/local/bin/senet", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/senet"]
CMD ["serve"]
