//! `model.toml`: what a model folder says of its network.
