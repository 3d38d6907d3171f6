//! Clients that other projects' generators make of the OpenAPI document, unmodified, against the service as a process.
//!
//! A generator that is not installed is skipped. `.ci/requirements.txt` has that of Python, `tests/clients/package.json` that of TypeScript.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]
#![expect(dead_code, reason = "the helpers of a process do more than is needed here")]

mod cli_support;
mod service_support;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cli_support::senet;
use service_support::Service;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}

/// A ready service, its address, and its OpenAPI document in a folder of its own.
fn served() -> (Service, String, tempfile::TempDir) {
    let mut service = Service::start(senet().args(["serve", "--workers", "1"]));
    let url = format!("http://{}", service.logged("listening on http://")["addr"].as_str().unwrap());
    service.logged("ready");
    let folder = tempfile::tempdir().unwrap();
    let document = ureq::get(format!("{url}/openapi.json")).call().unwrap().body_mut().read_to_string().unwrap();
    fs::write(folder.path().join("openapi.json"), document).unwrap();
    (service, url, folder)
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_client_by_openapi_python_client_classifies_a_raw_picture_a_form_and_json() {
    let path = env::var_os("PATH").unwrap_or_default();
    let generator = env::split_paths(&path).map(|folder| folder.join("openapi-python-client")).find(|program| program.exists());
    let Some(generator) = generator else {
        eprintln!("skipped: openapi-python-client is not installed");
        return;
    };
    let (service, url, folder) = served();
    succeeds(Command::new(&generator).current_dir(&folder).args([
        "generate",
        "--meta",
        "none",
        "--path",
        "openapi.json",
        "--output-path",
        "senet_client",
    ]));
    // What the generated code needs is installed beside its generator.
    let python = generator.with_file_name("python3");
    succeeds(Command::new(python).arg(here("clients/python.py")).arg(folder.path()).arg(&url).arg(here("fixtures/chelsea.png")));
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn a_client_by_hey_api_classifies_a_raw_picture_a_form_and_json() {
    let tools = here("clients/node_modules/.bin");
    if !tools.join("openapi-ts").exists() {
        eprintln!("skipped: @hey-api/openapi-ts is not installed, see tests/clients/package.json");
        return;
    }
    let (service, url, folder) = served();
    succeeds(Command::new(tools.join("openapi-ts")).current_dir(&folder).args([
        "-i",
        "openapi.json",
        "-o",
        "generated",
        "-c",
        "@hey-api/client-fetch",
    ]));
    fs::copy(here("clients/typescript.ts"), folder.path().join("typescript.ts")).unwrap();
    let options = ["--outDir", "out", "--strict", "--skipLibCheck", "--module", "commonjs", "--target", "es2022", "--lib", "es2022,dom,dom.iterable"];
    succeeds(Command::new(tools.join("tsc")).current_dir(&folder).args(options).arg("typescript.ts"));
    succeeds(Command::new("node").current_dir(&folder).arg("out/typescript.js").arg(&url).arg(here("fixtures/chelsea.png")));
    assert_eq!(service.terminate(), Some(0));
}
