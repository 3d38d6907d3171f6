//! The subcommands as their users run them: answers, error sentences, exit codes.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

mod cli_support;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use cli_support::{Ended, run, senet};
use serde_json::Value;

fn json(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout))
}

fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

fn cat() -> String {
    path(&fixture("chelsea.png"))
}

#[test]
fn classify_answers_a_photograph_with_labels_and_attention() {
    let answer = json(&run(&["classify", "--json", &cat()]));
    assert_eq!(answer["file"], cat());
    assert_eq!((&answer["image"]["format"], &answer["image"]["width"]), (&"png".into(), &451.into()));
    assert_eq!(answer["predictions"].as_array().map(Vec::len), Some(5));
    assert_eq!(answer["predictions"][0]["label"], "cat");
    let blocks = answer["attention"]["blocks"].as_array().unwrap();
    assert!(!blocks.is_empty() && blocks.iter().all(|block| block["top"].as_array().is_some_and(|top| top.len() == 3)));
    assert!(answer["preprocessing"].as_str().unwrap().starts_with("sha256:"));
}

#[test]
fn classify_reads_standard_input() {
    let mut child = senet().args(["classify", "-", "--json", "--attention", "none"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(cat()).unwrap()).unwrap();
    let answer = json(&child.wait_with_output().unwrap().into());
    assert_eq!((&answer["file"], answer.get("attention")), (&"-".into(), None));
}

#[test]
fn classify_honours_the_wanted_attention() {
    let answer = json(&run(&["classify", "--json", "--attention", "full", "--attention-top", "2", "--blocks", "*", &cat()]));
    let block = &answer["attention"]["blocks"][0];
    assert_eq!(block["weights"].as_array().map(Vec::len), block["channels"].as_u64().map(|n| n as usize));
    assert_eq!((block["top"].as_array().map(Vec::len), block["bottom"].as_array().map(Vec::len)), (Some(2), Some(2)));
}

#[test]
fn classify_prints_labels_and_a_line_for_each_block_for_people() {
    let ended = run(&["classify", "--top-k", "2", &cat()]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(ended.stdout.contains("png 451×300") && ended.stdout.contains(" %  █"), "{}", ended.stdout);
    assert!(ended.stdout.contains("gates from 0 to 1"), "{}", ended.stdout);
    assert!(!ended.stdout.contains('\u{1b}'), "no colours where there is no terminal");
}

#[test]
fn a_picture_that_fails_is_reported_and_the_others_are_answered() {
    let text = path(&fixture("README.md"));
    let ended = run(&["classify", "--json", &cat(), &text, "/nowhere.jpg"]);
    assert_eq!(ended.code, Some(1));
    let answer: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(answer["results"][0]["file"], cat());
    assert_eq!(answer["results"][1]["error"], "not an image in a format that is read (JPEG, PNG, WebP, GIF, BMP, TIFF)");
    assert!(answer["results"][2]["error"].as_str().unwrap().contains("No such file"));
    assert!(ended.stderr.ends_with("senet: 2 of 3 images failed\n"), "{}", ended.stderr);
    assert!(ended.stderr.contains("senet: /nowhere.jpg: No such file"), "{}", ended.stderr);
}

#[test]
fn options_that_the_model_cannot_meet_are_bad_usage() {
    for (args, expected) in [
        (["--top-k", "11"], "senet: top_k is 11, expected 1 to 10, the classes of cifar10_se_resnet\n"),
        (["--blocks", "layer9.*"], "senet: no SE block of cifar10_se_resnet matches \"layer9.*\"\n"),
    ] {
        let ended = senet().arg("classify").args(args).arg(cat()).output().unwrap().into();
        let Ended { code, stdout, stderr } = ended;
        assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(2), "", expected));
    }
}

#[test]
fn a_picture_above_a_limit_is_refused_with_both_numbers() {
    let ended = run(&["classify", "--max-side", "450", &cat()]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("451") && ended.stderr.contains("the limit is 450"), "{}", ended.stderr);
}

#[test]
fn inspect_says_what_is_known_of_a_model() {
    let about = json(&run(&["inspect", "cifar10_se_resnet", "--json"]));
    assert_eq!((&about["name"], &about["classes"]), (&"cifar10_se_resnet".into(), &10.into()));
    assert_eq!(about["inputs"][0]["shape"], serde_json::json!([-1, 3, 32, 32]));
    assert_eq!(about["input"]["resize"], "shorter_side");
    assert_eq!(about["warnings"], serde_json::json!([]));
    let block = &about["se_blocks"][0];
    for key in ["name", "stage", "block", "channels", "squeezed", "reduction_ratio", "activation", "gate", "height", "width", "fused_residual"] {
        assert!(block.get(key).is_some(), "{key} in {block}");
    }
    let text = run(&["inspect"]).stdout;
    assert!(text.contains("cifar10_se_resnet version 1") && text.contains("C → C/r → C"), "{text}");
}

#[test]
fn a_model_without_se_blocks_is_served_with_a_warning() {
    let model = path(&fixture("models/no_blocks.onnx"));
    let about = json(&run(&["inspect", &model, "--json"]));
    assert_eq!(about["se_blocks"], serde_json::json!([]));
    assert!(about["warnings"].to_string().contains("no SE block"), "{about}");
    let ended = run(&["classify", "--json", "--model", &model, &cat()]);
    assert!(ended.stderr.contains("no SE block"), "{}", ended.stderr);
    let answer = json(&ended);
    assert_eq!(answer["attention"]["blocks"], serde_json::json!([]));
    assert_eq!(answer["predictions"].as_array().map(Vec::len), Some(4), "all of its classes, since it has fewer than five");
}

#[test]
fn a_model_with_two_inputs_is_refused_saying_why() {
    let ended = run(&["inspect", &path(&fixture("models/two_inputs.onnx"))]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("two_inputs.onnx: not an image classifier: ") && ended.stderr.contains('2'), "{}", ended.stderr);
}

#[test]
fn a_file_that_is_no_model_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(fixture("models/one_block.onnx")).unwrap();
    for (name, bytes) in [("text.onnx", &b"hello"[..]), ("empty.onnx", b""), ("cut.onnx", &whole[..whole.len() / 2])] {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        let ended = run(&["inspect", &path(&file)]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{name}");
        assert!(ended.stderr.starts_with(&format!("senet: {}: not a", file.display())), "{name}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
}

#[test]
fn an_unknown_model_is_answered_with_the_names_there_are() {
    let ended = run(&["inspect", "resnet"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stderr, "senet: no model \"resnet\": it is neither a file, nor a folder, nor a known name (cifar10_se_resnet)\n");
}

/// Folders named by label with the cat in `cat` and, as pictures of dogs, the cat again and a text.
fn labelled_pictures() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (label, name, source) in [("cat", "a.png", cat()), ("dog", "a.png", cat()), ("dog", "b.png", path(&fixture("README.md")))] {
        fs::create_dir_all(folder.path().join(label)).unwrap();
        fs::copy(source, folder.path().join(label).join(name)).unwrap();
    }
    folder
}

#[test]
fn evaluate_counts_right_answers_by_class() {
    let pictures = labelled_pictures();
    let ended = run(&["evaluate", "--json", "--images", &path(pictures.path())]);
    let result = json(&ended);
    assert_eq!((&result["images"], &result["top1"]), (&2.into(), &0.5.into()));
    assert_eq!(result["per_class"][0]["label"], "cat");
    assert_eq!((&result["per_class"][0]["top1"], &result["per_class"][1]["top1"]), (&1.0.into(), &0.0.into()));
    assert!(result["images_per_second"].as_f64().is_some_and(|rate| rate > 0.0));
    assert_eq!(result["unreadable"].as_array().map(Vec::len), Some(1));
    assert!(ended.stderr.contains("b.png: not an image"), "{}", ended.stderr);
}

#[test]
fn evaluate_takes_the_truth_from_a_file() {
    let pictures = labelled_pictures();
    fs::write(pictures.path().join("truth.tsv"), "file\tindex\ncat/a.png\t3\ndog/a.png\t3\n").unwrap();
    let ended = run(&["evaluate", "--images", &path(pictures.path()), "--concurrency", "1"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(ended.stdout.contains("top-1 100.00 %, top-5 100.00 % of 2 images"), "{}", ended.stdout);
}

#[test]
fn evaluate_refuses_a_folder_that_is_no_label() {
    let pictures = labelled_pictures();
    fs::rename(pictures.path().join("dog"), pictures.path().join("dogs")).unwrap();
    let ended = run(&["evaluate", "--images", &path(pictures.path())]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.ends_with("\"dogs\" is no label of cifar10_se_resnet, the nearest is \"dog\"\n"), "{}", ended.stderr);
    assert_eq!(run(&["evaluate"]).code, Some(2));
}

#[test]
fn evaluate_says_where_it_looked_for_pictures_when_it_finds_none() {
    let folder = tempfile::tempdir().unwrap();
    let images = path(folder.path());
    let refusal = || run(&["evaluate", "--images", &images]).stderr;
    assert_eq!(refusal(), format!("senet: {images}: it holds no <label>/<picture>, expected that or a file given as --truth\n"));
    fs::write(folder.path().join("truth.tsv"), "file\tindex\n").unwrap();
    assert_eq!(refusal(), format!("senet: {images}/truth.tsv: it names no picture, expected lines of file<TAB>index\n"));
}

#[test]
fn bench_measures_a_model() {
    let model = path(&fixture("models/one_block.onnx"));
    let measured = json(&run(&["bench", &model, "--seconds", "0.05", "--concurrency", "2", "--batch", "3", "--simd", "scalar", "--json"]));
    assert_eq!((&measured["threads"], &measured["batch"], &measured["simd"]), (&2.into(), &3.into(), &"scalar".into()));
    assert!(measured["iterations"].as_u64().is_some_and(|runs| runs >= 2));
    let latency = |key: &str| measured["latency_ms"][key].as_f64().unwrap();
    assert!(0.0 < latency("min") && latency("min") <= latency("median") && latency("median") <= latency("p90") && latency("p90") <= latency("max"));
    assert!(measured["images_per_second"].as_f64().is_some_and(|rate| rate > 0.0));
    assert!(measured["load_ms"].as_f64().is_some_and(|load| load > 0.0));
    assert!(!cfg!(target_os = "linux") || measured["peak_rss_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20));
}

#[test]
fn a_port_in_use_ends_serve_with_one_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let ended = run(&["serve", "--http-addr", &addr]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with(&format!("senet: cannot listen on {addr}: Address already in use")), "{}", ended.stderr);
}

#[test]
fn a_models_folder_that_is_not_there_is_refused() {
    for args in [&["serve"][..], &["inspect", "some"], &["bench"]] {
        let ended = senet().args(args).args(["--models", "/nowhere"]).output().unwrap().into();
        let Ended { code, stderr, .. } = ended;
        assert_eq!((code, stderr.as_str()), (Some(64), "senet: models is \"/nowhere\", expected a folder that exists\n"), "{args:?}");
    }
}

#[test]
fn serve_ends_when_a_model_cannot_be_loaded() {
    let model = path(&fixture("models/two_inputs.onnx"));
    let ended = run(&["serve", "--http-addr", "127.0.0.1:0", "--model", &model]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("senet: cannot load the models: ") && ended.stderr.contains("not an image classifier"), "{}", ended.stderr);
}

#[test]
fn the_former_name_of_an_option_is_understood_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("senet.toml");
    std::fs::write(&config, "threads = 2\n").unwrap();
    let bench = |change: &dyn Fn(&mut std::process::Command) -> &mut std::process::Command| {
        let mut command = senet();
        let ended: Ended = change(command.args(["bench", "--seconds", "0.01", "--json"])).output().unwrap().into();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        json(&ended)["threads"].as_u64()
    };
    assert_eq!(bench(&|command| command.args(["--threads", "2"])), Some(2));
    assert_eq!(bench(&|command| command.env("SENET_THREADS", "2")), Some(2));
    assert_eq!(bench(&|command| command.env("SENET_THREADS", "2").env("SENET_CONCURRENCY", "3")), Some(3));
    assert_eq!(bench(&|command| command.arg("--config").arg(&config)), Some(2));
    let wrong: Ended = senet().arg("bench").env("SENET_THREADS", "0").output().unwrap().into();
    assert_eq!(
        (wrong.code, wrong.stderr.as_str()),
        (Some(64), "senet: SENET_THREADS is \"0\" in the environment, expected a whole number from 1 to 1024\n")
    );
    assert!(!run(&["bench", "--help"]).stdout.contains("--threads"));
}

#[test]
fn healthcheck_fails_where_nobody_listens() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ended: Ended = senet().arg("healthcheck").env("SENET_HTTP_ADDR", nobody.to_string()).output().unwrap().into();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.starts_with(&format!("senet: http://{nobody}/readyz does not answer: Connection refused")), "{}", ended.stderr);
}

#[test]
fn healthcheck_refuses_what_is_no_http_address() {
    for url in ["localhost:8080", "https://localhost:8080/readyz"] {
        let ended = run(&["healthcheck", "--url", url]);
        let expected = format!("senet: url is {url:?}, expected one as http://127.0.0.1:8080/readyz\n");
        assert_eq!((ended.code, ended.stderr), (Some(2), expected));
    }
}

#[test]
fn healthcheck_says_what_the_service_answers() {
    for (status, code) in [("200 OK", 0), ("503 Service Unavailable", 1)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/readyz", listener.local_addr().unwrap());
        let answer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            std::io::Read::read(&mut stream, &mut request).unwrap();
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 10\r\nconnection: close\r\n\r\nwords\nmore").unwrap();
        });
        let ended = run(&["healthcheck", "--url", &url]);
        answer.join().unwrap();
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        let said = if code == 0 { format!("{url} answers 200 OK\n") } else { format!("senet: {url} answers 503 Service Unavailable words\n") };
        assert_eq!(ended.stdout + &ended.stderr, said);
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut child = senet().args(["inspect", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended: Ended = child.wait_with_output().unwrap().into();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn strict_refuses_a_model_of_guesses_wherever_it_is_asked_for() {
    let model = path(&fixture("models/one_block.onnx"));
    let images = path(fixture("models").as_path());
    let expected = "input.mean is not given, [0.485, 0.456, 0.406], ImageNet's, is assumed; ";
    for args in [
        &["inspect", &model, "--strict"][..],
        &["classify", "--model", &model, "--strict", &cat()],
        &["bench", "--strict", &model],
        &["evaluate", "--strict", "--model", &model, "--images", &images],
        &["serve", "--strict", "--http-addr", "127.0.0.1:0", "--model", &model],
    ] {
        let ended = run(args);
        assert_eq!(ended.code, Some(1), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(expected) && ended.stderr.contains("an error since strict is true"), "{args:?}: {}", ended.stderr);
    }
    assert_eq!(run(&["inspect", "--strict"]).code, Some(0), "the bundled model leaves nothing to guess");
}

#[test]
fn inspect_says_where_every_value_comes_from() {
    let about = json(&run(&["inspect", "--json"]));
    assert_eq!((&about["origins"]["input.mean"], &about["origins"]["output.labels"]), (&"model.toml".into(), &"labels.txt".into()));
    assert_eq!(about["origins"].as_object().map(serde_json::Map::len), Some(11));
    let text = run(&["inspect", &path(&fixture("models/one_block.onnx"))]).stdout;
    assert!(text.contains("default: color, interpolation, mean"), "{text}");
    assert!(text.contains("the network's input: layout, size"), "{text}");
}
