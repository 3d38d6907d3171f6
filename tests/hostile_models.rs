//! Models that are wrong on purpose, and the real binary: each is refused in one sentence, and takes nobody down.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

mod cli_support;
mod onnx_mutations;
mod service_support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cli_support::{Ended, run, senet};
use onnx_mutations::{ints, mutated, node, originals, parameter, value};
use prost::Message;
use serde_json::Value;
use service_support::Service;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto};

/// For what happens at once unless something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// The file of a network that ends in what `nodes` yield as `a`, averaged over space.
fn file(side: i64, mut nodes: Vec<NodeProto>, initializer: Vec<TensorProto>, classes: i64) -> Vec<u8> {
    nodes.push(node("GlobalAveragePool", &["a"], "g", vec![]));
    nodes.push(node("Flatten", &["g"], "y", vec![]));
    let (input, output) = (vec![value("x", &[1, 3, side, side])], vec![value("y", &[1, classes])]);
    let graph = GraphProto { name: "g".to_owned(), node: nodes, initializer, input, output, ..GraphProto::default() };
    let opset_import = vec![OperatorSetIdProto { version: 17, ..OperatorSetIdProto::default() }];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
}

/// One convolution of `window` × `window` with `attributes`.
fn convolution(window: i64, attributes: Vec<AttributeProto>) -> Vec<u8> {
    file(9, vec![node("Conv", &["x", "w"], "a", attributes)], vec![parameter("w", &[16, 3, window, window])], 16)
}

/// Takes minutes to run once, and little memory.
fn slow() -> Vec<u8> {
    let same = || vec![ints("pads", &[15, 15, 15, 15])];
    let first = node("Conv", &["x", "w"], "c0", same());
    let names: Vec<String> = (0..20).map(|at| format!("c{at}")).collect();
    let mut nodes = vec![first];
    nodes.extend(names.windows(2).map(|pair| node("Conv", &[&pair[0], "v"], &pair[1], same())));
    nodes.push(node("Relu", &["c19"], "a", vec![]));
    file(1024, nodes, vec![parameter("w", &[32, 3, 31, 31]), parameter("v", &[32, 32, 31, 31])], 32)
}

/// Wants a value of a gigabyte.
fn large() -> Vec<u8> {
    file(2048, vec![node("Conv", &["x", "w"], "c", vec![]), node("Relu", &["c"], "a", vec![])], vec![parameter("w", &[64, 3, 1, 1])], 64)
}

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

/// A folder of model folders.
struct Models(tempfile::TempDir);

impl Models {
    fn new(models: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, file) in models {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("model.onnx"), file).unwrap();
        }
        Self(folder)
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }
}

fn good() -> Vec<u8> {
    fs::read(fixture("models/one_block.onnx")).unwrap()
}

fn get(url: &str) -> (u16, String) {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let mut answer = agent.get(url).call().unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

fn classify(url: &str) -> (u16, String) {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let mut answer = agent.post(url).send(&fs::read(fixture("chelsea.png")).unwrap()[..]).unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

/// Asks until the answer has `status`.
fn until(url: &str, status: u16) -> String {
    let start = Instant::now();
    loop {
        let (answered, body) = get(url);
        if answered == status {
            return body;
        }
        assert!(start.elapsed() < PATIENCE, "{url} answers {answered}, expected {status}: {body}");
        std::thread::yield_now();
    }
}

fn start(args: &[&str]) -> (Service, String) {
    let mut service = Service::start(senet().arg("serve").args(args));
    let addr = service.logged("listening on http://")["addr"].as_str().unwrap().to_owned();
    (service, format!("http://{addr}"))
}

/// What `inspect` says of a file that it refuses, without the file's path.
fn refusal(file: &[u8], args: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    fs::write(&path, file).unwrap();
    let ended = run(&[&["inspect", path.to_str().unwrap()], args].concat());
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.lines().count()), (Some(1), "", 1), "{}", ended.stderr);
    let place = format!("senet: {}: ", path.display());
    ended.stderr.trim_end().strip_prefix(&place).unwrap_or_else(|| panic!("{}", ended.stderr)).to_owned()
}

#[test]
fn files_of_the_field_are_refused_in_one_sentence_checked_or_not() {
    let add = |padding: i64| {
        let nodes = vec![
            node("Conv", &["x", "w"], "p", vec![ints("pads", &[1, 1, 1, 1])]),
            node("Conv", &["x", "w"], "q", vec![ints("pads", &[padding; 4])]),
            node("Add", &["p", "q"], "s", vec![]),
            node("Conv", &["s", "v"], "c0", vec![ints("pads", &[1, 1, 1, 1]), ints("strides", &[2, 2])]),
            node("Conv", &["c0", "v"], "c1", vec![ints("pads", &[1, 1, 1, 1]), ints("strides", &[2, 2])]),
            node("Conv", &["c1", "v"], "a", vec![ints("pads", &[1, 1, 1, 1]), ints("strides", &[2, 2])]),
        ];
        file(32, nodes, vec![parameter("w", &[8, 3, 3, 3]), parameter("v", &[8, 8, 3, 3])], 8)
    };
    // What a file says of its nodes is not repeated, whatever it begins with.
    let documented = || {
        let convolution = node("Conv", &["x", "w"], "a", vec![ints("pads", &[4097; 4])]);
        let node = NodeProto { doc_string: "senet: anything \u{1b}[31m".to_owned(), ..convolution };
        file(9, vec![node], vec![parameter("w", &[16, 3, 1, 1])], 16)
    };
    for (file, expected) in [
        (
            convolution(1, vec![ints("pads", &[1 << 62, 0, 0, 0]), ints("strides", &[(1 << 62) - 200, 1])]),
            "not a usable ONNX model: operator Conv (node \"a\"): pads[0] is 4611686018427387904, expected 0 to 4096",
        ),
        (
            convolution(3, vec![ints("dilations", &[1 << 61, 1])]),
            "not a usable ONNX model: operator Conv (node \"a\"): dilations[0] is 2305843009213693952, expected 1 to 4096",
        ),
        (
            convolution(3, vec![ints("pads", &[0, 0, 0, 1 << 31])]),
            "not a usable ONNX model: operator Conv (node \"a\"): pads[3] is 2147483648, expected 0 to 4096",
        ),
        (documented(), "not a usable ONNX model: operator Conv (node \"a\"): pads[0] is 4097, expected 0 to 4096"),
        (add(9), "not a usable ONNX model: operator Add (node \"s\"): its inputs have sizes of 32 and 48, expected equal ones, or 1"),
    ] {
        for args in [&[][..], &["--check-models", "false"]] {
            let said = refusal(&file, args);
            assert_eq!(said, expected, "{args:?}");
        }
    }
}

#[test]
fn what_the_mutator_makes_of_small_networks_is_loaded_or_refused_in_one_sentence() {
    let originals = originals().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut loaded = 0;
    for number in 0..200 {
        let (name, changes, model) = mutated(&originals, 7, number);
        let path = folder.path().join("m.onnx");
        fs::write(&path, model.encode_to_vec()).unwrap();
        let ended = run(&["inspect", "--json", "--load-timeout", "20s", path.to_str().unwrap()]);
        let said = ended.stderr.trim_end();
        let is_sentence = said.lines().count() == 1 && said.starts_with("senet: ") && !said.contains("it ended the process");
        assert!(ended.code == Some(0) || ended.code == Some(1) && is_sentence, "{number} ({name}; {changes:?}) ends with {:?}: {said}", ended.code);
        loaded += usize::from(ended.code == Some(0));
    }
    assert!((20..180).contains(&loaded), "{loaded} of 200 were loaded: the changes are too large or too small to find anything");
}

#[test]
fn a_network_that_takes_too_long_or_too_much_memory_is_refused_with_the_limit() {
    let said = refusal(&slow(), &["--load-timeout", "1s"]);
    assert_eq!(said, "it takes more than 1s to load, the limit of load_timeout");
    let said = refusal(&slow(), &["--load-timeout", "1s", "--check-models", "false"]);
    assert_eq!(said, "it takes more than 1s to load, the limit of load_timeout");
    let said = refusal(&large(), &["--load-memory", "400000000"]);
    assert!(said.contains("load_memory") && said.contains("400000000"), "{said}");
}

#[test]
fn a_good_model_is_served_beside_one_that_does_not_finish_loading() {
    let models = Models::new(&[("good", &good()), ("slow", &slow())]);
    let (mut service, url) = start(&["--models", models.path(), "--load-timeout", "20s"]);
    service.logged("loaded good");
    assert_eq!(get(&format!("{url}/readyz")).0, 503);
    let (status, body) = classify(&format!("{url}/v1/classify?model=good"));
    assert_eq!(status, 200, "{body}");
    let (status, body) = classify(&format!("{url}/v1/classify?model=slow"));
    assert!(status == 503 && body.contains("is being loaded"), "{body}");
    let health: Value = serde_json::from_str(&get(&format!("{url}/health")).1).unwrap();
    assert_eq!((&health["status"], &health["pending"]), (&"starting".into(), &"1 of 2 models are still being loaded: slow".into()));
    let said = service.logged("cannot load slow")["message"].as_str().unwrap().to_owned();
    assert!(said.ends_with("slow: it takes more than 20s to load, the limit of load_timeout"), "{said}");
    assert_eq!(until(&format!("{url}/readyz"), 200), "ready\n");
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn a_service_whose_required_models_are_ready_is_ready_and_names_what_is_pending() {
    let models = Models::new(&[("good", &good()), ("slow", &slow())]);
    let (mut service, url) = start(&["--models", models.path(), "--load-timeout", "100s", "--require", "good"]);
    service.logged("loaded good");
    assert_eq!(until(&format!("{url}/readyz"), 200), "ready; 1 of 2 models are still being loaded: slow\n");
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn a_service_does_not_start_without_a_required_model_that_takes_too_long() {
    let models = Models::new(&[("good", &good()), ("slow", &slow())]);
    let args = ["--models", models.path(), "--load-timeout", "1s", "--require", "slow"];
    let (code, said) = Service::start(senet().arg("serve").args(args)).refusal();
    assert!(said.ends_with("slow: it takes more than 1s to load, the limit of load_timeout\n"), "{said}");
    assert_eq!(code, Some(1));
}

#[test]
fn a_model_that_is_asked_for_and_not_there_is_told_before_anybody_can_connect() {
    let models = Models::new(&[("good", &good())]);
    for (args, expected) in [
        (&["--model", "nope"][..], "no model \"nope\""),
        (&["--models", models.path(), "--model", "nope"], "no model \"nope\""),
        (&["--models", models.path(), "--require", "nope"], "no model \"nope\""),
        (&["--models", models.0.path().join("good").to_str().unwrap()], "it holds no model folder"),
    ] {
        let ended = run(&[&["serve", "--http-addr", "127.0.0.1:0"], args].concat());
        assert_eq!((ended.code, ended.stderr.lines().count()), (Some(1), 1), "{}", ended.stderr);
        assert!(ended.stderr.starts_with("senet: ") && ended.stderr.contains(expected), "{}", ended.stderr);
    }
}

#[test]
fn a_folder_may_have_any_name() {
    let names = ["Müller & Söhne", "模型", "🦀 crab", "a.b..c", "50%", "net@2", "quo\"te", "back\\slash", "plus+and=?#", "_", "new\nline", "7"];
    let good = good();
    let models = Models::new(&names.map(|name| (name, &good[..])));
    let (mut service, url) = start(&["--models", models.path()]);
    service.logged("ready");
    let (_, listed) = get(&format!("{url}/v1/models"));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let mut expected = names.to_vec();
    expected.sort_unstable();
    let found: Vec<&str> = listed["models"].as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap()).collect();
    assert_eq!(found, expected);
    let (_, metrics) = get(&format!("{url}/metrics"));
    for name in names {
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let (status, about) = get(&format!("{url}/v1/models/{encoded}"));
        assert_eq!(status, 200, "{name}: {about}");
        let (status, answer) = classify(&format!("{url}/v1/classify?model={encoded}"));
        assert_eq!(status, 200, "{name}: {answer}");
        assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["model"]["name"], name);
        let label = name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        assert!(metrics.contains(&format!("model=\"{label}\"")), "{name} is not in {metrics}");
        let ended: Ended = senet().args(["inspect", "--json", "--models", models.path(), name]).output().unwrap().into();
        assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap()["name"], name, "{}", ended.stderr);
    }
    assert_eq!(service.terminate(), Some(0));
}
