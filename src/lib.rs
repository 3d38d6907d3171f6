//! senet serves Squeeze-and-Excitation image classifiers on CPUs and shows which channels they attended to.
//!
//! A squeeze-and-excitation (SE) block (Hu et al., arXiv 1709.01507) averages every channel of a feature map over space (squeeze), passes the
//! averages through two small fully connected layers that end in a sigmoid (excitation), and multiplies every channel by its gate (scale).
//! senet finds these blocks in an unmodified ONNX file, runs them and the convolutions around them on SIMD kernels, and returns the gates beside
//! the labels.
//!
//! # The way of a request
//!
//! bytes → [`image::decode_part`] → [`image::preprocess_into`] the memory of [`inference::Engine::input`] → [`inference::Engine::run`] →
//! [`inference::top_k`] and [`attention::summarise`] → [`classifier::Classification`]. [`classifier::Classifier::classify`] is that line of code.
//!
//! # Modules
//!
//! Dependencies point one way: `cli`, `http` → [`classifier`] → [`model`], [`image`], [`inference`], [`attention`] → `graph` → `ops` → [`kernels`];
//! of [`image`], [`inference`] knows how a picture's values lie.
//! `cli` → `zoo`, which makes model folders and loads none. What reaches other hosts does so by `outgoing`. Only `inference`, `graph` and `ops` name tract; only `http` and `server` name axum.

// They panic where nobody reads them; `telemetry::say` and results of writing do not.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod attention;
mod bounded;
pub mod classifier;
mod excerpt;
#[doc(hidden)] // for the benchmarks
pub mod graph;
pub mod image;
pub mod inference;
mod json_file;
pub mod kernels;
pub mod model;
mod nearest;
mod ops;
mod sha256;
mod text_file;
mod toml_file;

#[cfg(feature = "server")]
pub mod admission;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod http;
#[cfg(feature = "server")]
mod outgoing;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod telemetry;
#[cfg(feature = "server")]
pub mod zoo;
