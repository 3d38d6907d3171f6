//! `senet serve` as a process: it says where it listens, answers, and ends well when told to.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

mod cli_support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use cli_support::{Ended, run, senet};
use serde_json::Value;

fn fixture(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path).to_str().unwrap().to_owned()
}

/// A running `senet serve` on a port of its own.
struct Service {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Service {
    fn start(args: &[&str]) -> Self {
        let mut command = senet();
        command.args(["serve", "--http-addr", "127.0.0.1:0", "--drain-grace", "0s", "--log-format", "json"]).args(args);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// The next line of the log whose message holds `text`.
    fn logged(&mut self, text: &str) -> Value {
        let mut line = String::new();
        while self.log.read_line(&mut line).unwrap() > 0 {
            let entry: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if entry["message"].as_str().is_some_and(|message| message.contains(text)) {
                return entry;
            }
            line.clear();
        }
        panic!("the log ended before {text:?}");
    }

    /// What is said at the end of a service that never becomes ready.
    fn refusal(mut self) -> (Option<i32>, String) {
        let mut line = String::new();
        while self.log.read_line(&mut line).unwrap() > 0 && line.starts_with('{') {
            assert!(!line.contains(r#""message":"ready""#), "{line}");
            line.clear();
        }
        (self.child.wait().unwrap().code(), line)
    }

    fn terminate(mut self) -> Option<i32> {
        let sent = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
        self.log.read_to_string(&mut String::new()).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Service {
    /// So that a test that fails leaves no process behind.
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
    }
}

#[test]
fn serve_says_where_it_listens_answers_a_photograph_and_ends_with_0_when_terminated() {
    let mut service = Service::start(&["--simd", "scalar", "--workers", "1"]);
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
    let mut service = Service::start(&["--model", &model]);
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

#[test]
fn two_models_of_one_name_are_refused() {
    let models = tempfile::tempdir().unwrap();
    for folder in ["a", "b"] {
        fs::create_dir(models.path().join(folder)).unwrap();
        fs::copy(fixture("models/one_block.onnx"), models.path().join(folder).join("model.onnx")).unwrap();
        fs::write(models.path().join(folder).join("model.toml"), "[model]\nname = \"same\"\n").unwrap();
    }
    let (code, said) = Service::start(&["--models", models.path().to_str().unwrap()]).refusal();
    let root = models.path().display();
    let expected = format!("senet: cannot load the models: {root}/a and {root}/b are both called \"same\", expected names of their own\n");
    assert_eq!((code, said), (Some(1), expected));
}
