# A static binary, built where Rust is, shipped alone: the image holds it and the bundled model folder.
FROM docker.io/library/rust:1.95-slim-bookworm AS build
WORKDIR /build

# Naming the target keeps the flag away from build scripts and procedural macros, which cannot be static.
ENV RUSTFLAGS="-C target-feature=+crt-static"

# Dependencies apart from the sources: this layer lasts until Cargo.toml or Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
RUN sed -i '/^\[\[bench\]\]/,/^$/d' Cargo.toml \
    && mkdir src \
    && touch src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked --target "$(rustc --print host-tuple)"

# The touch makes the sources newer than the empty crate of the layer above, whatever their dates in the checkout.
COPY models models
COPY src src
RUN touch src/lib.rs src/main.rs \
    && target=$(rustc --print host-tuple) \
    && cargo build --release --locked --target "$target" \
    && install -D "target/$target/release/senet" /out/usr/local/bin/senet \
    && cp -r models /out/models

FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="senet" \
      org.opencontainers.image.description="Squeeze-and-Excitation image classification with channel attention, on CPUs" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out /

# A folder mounted at /models takes the place of the bundled model's.
ENV SENET_HTTP_ADDR=0.0.0.0:8080 \
    SENET_MODELS=/models
EXPOSE 8080
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["/usr/local/bin/senet", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/senet"]
CMD ["serve"]
