//! `senet` with models in object stores: a real S3 server, and small ones that answer as they are told to.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

mod addresses;
#[path = "../cli_support/mod.rs"]
#[expect(dead_code, reason = "every command here has an environment of its own")]
mod cli_support;
mod dialects;
mod s3;
#[path = "../zoo/server.rs"]
#[expect(dead_code, reason = "the zoo resumes with ranges of its own kind")]
mod server;
#[path = "../service_support/mod.rs"]
mod service_support;
mod serving;
mod web;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cli_support::senet;
use s3::{KEY, S3, SECRET};
use serde_json::Value;

/// A real network, 4 classes of 16×16 pictures.
fn network() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/one_block.onnx")).unwrap()
}

fn picture() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chelsea.png")).unwrap()
}

/// Variables that say where stores are and who asks, from outside the tests.
fn is_foreign(name: &str) -> bool {
    let name = name.to_uppercase();
    let prefixes = ["AWS_", "GOOGLE_", "AZURE_", "SSL_CERT_"];
    prefixes.iter().any(|prefix| name.starts_with(prefix)) || name.ends_with("_PROXY")
}

/// A cache for a test, and what asks stores with it.
struct Client {
    folder: tempfile::TempDir,
}

impl Client {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// `senet` with this cache, which asks a store that does not answer once.
    fn senet(&self) -> Command {
        let mut command = senet();
        for name in env::vars().map(|(name, _)| name).filter(|name| is_foreign(name)) {
            command.env_remove(name);
        }
        command.env("SENET_MODELS_CACHE", self.cache()).env("SENET_MODELS_PATIENCE", "0s").current_dir(self.folder.path());
        command
    }

    /// `senet` that knows how to reach `s3`.
    fn senet_for(&self, s3: &S3) -> Command {
        let mut command = self.senet();
        command.env("AWS_ENDPOINT", s3.endpoint()).env("AWS_ALLOW_HTTP", "true").env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", SECRET);
        command
    }

    /// The files that are kept.
    fn blobs(&self) -> Vec<PathBuf> {
        entries(&self.cache().join("blobs"))
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn get(url: &str) -> Value {
    serde_json::from_str(&ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap()).unwrap()
}

fn post(url: &str, body: &[u8]) -> Value {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    serde_json::from_str(&agent.post(url).send(body).unwrap().body_mut().read_to_string().unwrap()).unwrap()
}
