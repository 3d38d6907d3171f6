//! `senet serve` as a process: it says where it listens, answers, and ends well when told to.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

mod cli_support;
mod service_support;

use std::fs;
use std::path::Path;

use cli_support::{Ended, run, senet};
use serde_json::Value;
use service_support::Service;

fn fixture(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path).to_str().unwrap().to_owned()
}

fn start(args: &[&str]) -> Service {
    Service::start(senet().arg("serve").args(args))
}

#[test]
fn serve_says_where_it_listens_answers_a_photograph_and_ends_with_0_when_terminated() {
    let mut service = start(&["--simd", "scalar", "--workers", "1"]);
    let listening = service.logged("listening on http://");
    let addr = listening["addr"].as_str().unwrap().to_owned();
    assert_eq!((&listening["simd"], &listening["workers"]), (&"scalar".into(), &1.into()));
    assert!(listening["message"].as_str().unwrap().ends_with(&format!("documentation at http://{addr}/docs")));
    assert_eq!(service.logged("loaded")["model"], "cifar10_se_resnet");
    service.logged("ready");

    let picture = fs::read(fixture("chelsea.png")).unwrap();
    let mut answer = ureq::post(format!("http://{addr}/v1/classify")).send(&picture[..]).unwrap();
    let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
    assert_eq!(answer["predictions"][0]["label"], "cat");
    let health: Ended = senet().arg("healthcheck").env("SENET_HTTP_ADDR", &addr).output().unwrap().into();
    let expected = format!("http://{addr}/readyz answers 200 OK\n");
    assert_eq!((health.code, health.stdout, health.stderr), (Some(0), expected, String::new()));
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn what_serve_says_of_a_model_is_what_inspect_says() {
    let model = fixture("models/one_block.onnx");
    let mut service = start(&["--model", &model]);
    let addr = service.logged("listening on http://")["addr"].as_str().unwrap().to_owned();
    assert!(service.logged("is assumed")["message"].as_str().unwrap().starts_with("one_block: "));
    service.logged("ready");

    let mut answer = ureq::get(format!("http://{addr}/v1/models/one_block")).call().unwrap();
    let served: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
    let inspected: Value = serde_json::from_str(&run(&["inspect", &model, "--json"]).stdout).unwrap();
    for (key, value) in inspected.as_object().unwrap() {
        assert_eq!(served.get(key), Some(value), "{key}");
    }
    assert_eq!(service.terminate(), Some(0));
}

/// A folder of models: `name`, with `file` as its network.
fn put(models: &Path, name: &str, file: &[u8]) {
    fs::create_dir_all(models.join(name)).unwrap();
    fs::write(models.join(name).join("model.onnx"), file).unwrap();
}

fn network() -> Vec<u8> {
    fs::read(fixture("models/one_block.onnx")).unwrap()
}

#[test]
fn of_two_models_of_one_name_the_first_is_served() {
    let models = tempfile::tempdir().unwrap();
    for folder in ["a", "b"] {
        put(models.path(), folder, &network());
        fs::write(models.path().join(folder).join("model.toml"), "[model]\nname = \"same\"\n").unwrap();
    }
    let mut service = start(&["--models", models.path().to_str().unwrap()]);
    let root = models.path().display();
    let said = service.logged("cannot load")["message"].as_str().unwrap().to_owned();
    assert_eq!(said, format!("cannot load same: {root}/a and {root}/b are both called \"same\", expected names of their own"));
    assert_eq!(service.logged("ready")["models"], 1);
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn a_broken_model_is_logged_and_a_required_one_is_refused() {
    let models = tempfile::tempdir().unwrap();
    put(models.path(), "bad", b"no network");
    put(models.path(), "good", &network());
    let folder = models.path().to_str().unwrap();
    let mut service = start(&["--models", folder, "--require", "good"]);
    assert!(service.logged("cannot load")["message"].as_str().unwrap().starts_with(&format!("cannot load bad: {folder}/bad/model.onnx: ")));
    service.logged("ready");
    assert_eq!(service.terminate(), Some(0));
    let (code, said) = start(&["--models", folder, "--require", "good", "--require", "bad"]).refusal();
    assert!(said.starts_with(&format!("senet: cannot load the models: {folder}/bad/model.onnx: ")), "{said}");
    assert_eq!(code, Some(1));
}

#[test]
fn sighup_and_watching_load_a_new_version() {
    let models = tempfile::tempdir().unwrap();
    put(models.path(), "net/1", &network());
    let folder = models.path().to_str().unwrap();
    let mut service = start(&["--models", folder]);
    assert_eq!(service.logged("loaded")["version"], "1");
    service.logged("ready");
    put(models.path(), "net/2", &network());
    service.signal("HUP");
    assert_eq!(service.logged("loaded")["version"], "2");
    assert_eq!(service.terminate(), Some(0));

    let mut service = start(&["--models", folder, "--watch", "50ms"]);
    service.logged("ready");
    put(models.path(), "net/3", &network());
    assert_eq!(service.logged("loaded")["version"], "3");
    assert_eq!(service.terminate(), Some(0));
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn what_a_load_no_longer_needs_goes_back_to_the_system() {
    let mut service = start(&[]);
    service.logged("ready");
    let status = fs::read_to_string(format!("/proc/{}/status", service.child.id())).unwrap();
    let own = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let own: u64 = own.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    let model = fs::metadata(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cifar10_se_resnet/model.onnx")).unwrap().len() >> 10;
    assert!(own < 4 * model, "{own} kB of memory for a model of {model} kB");
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn the_port_alone_is_an_address_of_this_machine_and_with_a_colon_of_every_interface() {
    for (written, ip) in [("0", "127.0.0.1:"), ("localhost:0", "127.0.0.1:"), (":0", "0.0.0.0:")] {
        let mut service = Service::start(senet().arg("serve").env("SENET_ADMIN_ADDR", written));
        let listening = service.logged("operators are answered at http://");
        assert!(listening["addr"].as_str().unwrap().starts_with(ip), "{written}: {listening}");
    }
}

#[test]
fn a_variable_that_no_option_has_is_warned_of_in_the_log() {
    let mut service = Service::start(senet().arg("serve").env("SENET_WORKRES", "1"));
    let warning = service.logged("SENET_WORKRES");
    assert!(warning["message"].as_str().unwrap().ends_with("the nearest known one is SENET_WORKERS"), "{warning}");
    assert_eq!(warning["level"], "WARN");
    service.logged("ready");
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn controlling_models_needs_an_address_for_operators() {
    let ended = run(&["serve", "--model-control"]);
    let expected = "senet: model_control is true, expected admin_addr to be set too, where models are then controlled\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(64), expected));
}
