//! `senet zoo` and `--pull` as their users run them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use serde_json::Value;

use super::cli_support::{Ended, run, senet};
use super::server::{Server, answer, whole};

/// `senet` in an empty folder, without a proxy, mirror or certificate from outside.
fn senet_in(folder: &Path) -> Command {
    let mut command = senet();
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "HF_ENDPOINT", "HF_TOKEN", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.current_dir(folder);
    command
}

fn ends(command: &mut Command) -> Ended {
    command.output().unwrap().into()
}

/// A model of the user's own, of the name of one of the zoo's.
fn own_lcnet(models: &Path) {
    fs::create_dir_all(models.join("lcnet_050")).unwrap();
    let onnx = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/one_block.onnx");
    fs::copy(onnx, models.join("lcnet_050/model.onnx")).unwrap();
}

/// Bytes of lcnet_050's file.
fn lcnet_bytes(folder: &Path) -> usize {
    let list: Value = serde_json::from_str(&ends(senet_in(folder).args(["zoo", "list", "lcnet_050", "--json"])).stdout).unwrap();
    usize::try_from(list["models"][0]["bytes"].as_u64().unwrap()).unwrap()
}

#[test]
fn list_shows_every_model_and_which_are_installed() {
    let folder = tempfile::tempdir().unwrap();
    let list = ends(senet_in(folder.path()).args(["zoo", "list"]));
    assert_eq!((list.code, list.stderr.as_str(), list.stdout.lines().count()), (Some(0), "", 133));
    let titles: Vec<&str> = list.stdout.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(titles, ["name", "parameters", "input", "size", "licence", "installed"]);
    let row = list.stdout.lines().find(|line| line.contains(" senet154 ")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["senet154", "~115.0", "M", "224×224", "460.0", "MB", "Apache-2.0", "–"]);

    let bytes = lcnet_bytes(folder.path());
    fs::create_dir_all(folder.path().join("elsewhere/lcnet_050")).unwrap();
    fs::write(folder.path().join("elsewhere/lcnet_050/model.onnx"), vec![0; bytes]).unwrap();
    let list = |command: &mut Command| -> Value { serde_json::from_str(&ends(command.args(["zoo", "list", "lcnet", "--json"])).stdout).unwrap() };
    let installed = |list: &Value| list["models"].as_array().unwrap().iter().filter(|model| model["installed"] == true).count();
    let all = list(&mut senet_in(folder.path()));
    assert_eq!((all["models"].as_array().map(Vec::len), installed(&all)), (Some(3), 0));
    assert_eq!((&all["models"][0]["license"], &all["models"][0]["input"]), (&"Apache-2.0".into(), &serde_json::json!([224, 224])));
    assert_eq!(installed(&list(senet_in(folder.path()).env("SENET_MODELS", "elsewhere"))), 1);
    fs::write(folder.path().join("senet.toml"), "models = \"elsewhere\"\n").unwrap();
    assert_eq!(installed(&list(senet_in(folder.path()).env("SENET_CONFIG", "senet.toml"))), 1);
}

#[test]
fn an_unknown_name_is_bad_usage_and_the_nearest_one_is_named() {
    for args in [["zoo", "pull", "seresnet_50"], ["zoo", "list", "seresnet_50"]] {
        let ended = run(&args);
        let expected = "senet: the zoo has no \"seresnet_50\", the nearest of its 132 models is \"seresnet50\"; `senet zoo list` names them all\n";
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(2), "", expected));
    }
}

#[test]
fn a_mirror_with_another_file_installs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = lcnet_bytes(folder.path());
    let server = Server::start(move |_, _, out| whole(out, &vec![0; bytes]));
    let ended = ends(senet_in(folder.path()).args(["zoo", "pull", "lcnet_050"]).env("HF_ENDPOINT", server.url()));
    let url = format!("{}/onnxmodelzoo/lcnet_050_Opset17/resolve/main/lcnet_050_Opset17.onnx", server.url());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines[0], format!("fetching {url}, {:.1} MB", bytes as f64 / 1e6));
    assert!(lines.len() == 2 && lines[1].starts_with(&format!("senet: {url} has the sha256 ")), "{}", ended.stderr);
    assert!(!folder.path().join("models/lcnet_050").exists());
}

#[test]
fn certificates_and_proxies_are_those_of_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_tls(|_, _, out| answer(out, "404 Not Found", &["content-length: 0"], b""));
    fs::write(folder.path().join("root.pem"), &server.certificate).unwrap();
    let pull = |variables: &[(&str, &str)]| {
        let ended = ends(senet_in(folder.path()).args(["zoo", "pull", "lcnet_050", "--to", "here"]).envs(variables.iter().copied()));
        (ended.code, ended.stderr.lines().last().unwrap().to_owned())
    };
    let endpoint = server.url();
    let (code, said) = pull(&[("HF_ENDPOINT", &endpoint)]);
    assert!(code == Some(1) && said.contains("invalid peer certificate"), "{said}");
    let (code, said) = pull(&[("HF_ENDPOINT", &endpoint), ("SSL_CERT_FILE", "root.pem")]);
    assert!(
        code == Some(1) && said.contains("the answer is 404 Not Found") && said.contains("put it at here/.lcnet_050.partial/model.onnx"),
        "{said}"
    );

    let proxy = Server::start(|_, _, out| answer(out, "200 OK", &[], b"").and_then(|()| out.write_all(b"no TLS at all")));
    let (code, said) = pull(&[("HTTPS_PROXY", &proxy.url())]);
    assert_eq!((code, proxy.requests()[0].line.as_str()), (Some(1), "CONNECT huggingface.co:443 HTTP/1.1"), "{said}");

    let (code, said) = pull(&[("HF_ENDPOINT", "mirror")]);
    assert_eq!((code, said.as_str()), (Some(64), "senet: HF_ENDPOINT is \"mirror\", expected an address as https://huggingface.co"));
}

#[test]
fn a_model_of_the_zoo_that_is_not_there_is_fetched_with_pull_alone() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = lcnet_bytes(folder.path());
    let server = Server::start(move |_, _, out| whole(out, &vec![0; bytes]));
    for args in [&["serve", "--http-addr", "127.0.0.1:0", "--model", "lcnet_050"][..], &["inspect", "lcnet_050"], &["bench", "lcnet_050"]] {
        let ended = ends(senet_in(folder.path()).args(args).env("HF_ENDPOINT", server.url()));
        let advice = "add --pull, or run `senet zoo pull lcnet_050 --to models` first";
        let expected = format!("senet: no model \"lcnet_050\" in models, but the zoo has one: {advice}\n");
        assert_eq!((ended.code, ended.stderr), (Some(1), expected));
    }
    assert_eq!(server.requests().len(), 0);
    for args in [&["serve", "--http-addr", "127.0.0.1:0", "--model", "lcnet_050", "--pull"][..], &["inspect", "lcnet_050", "--pull"]] {
        let ended = ends(senet_in(folder.path()).args(args).args(["--models", "new"]).env("HF_ENDPOINT", server.url()));
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains(" has the sha256 ") && ended.stderr.contains("fetching http://"), "{}", ended.stderr);
    }
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn serve_answers_the_probes_while_it_fetches() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = lcnet_bytes(folder.path());
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let server = Server::start(move |_, _, out| {
        let _comes_or_the_test_fails = released.lock().unwrap().recv_timeout(Duration::from_secs(20));
        whole(out, &vec![0; bytes])
    });
    let mut command = senet_in(folder.path());
    command.args(["serve", "--model", "lcnet_050", "--pull", "--http-addr", "127.0.0.1:0", "--log-format", "json"]);
    let mut child = command.env("HF_ENDPOINT", server.url()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut logged = |text: &str| log.by_ref().find(|line| line.contains(text)).unwrap();
    let listening: Value = serde_json::from_str(&logged("listening on http://")).unwrap();
    let fetching: Value = serde_json::from_str(&logged("fetching http://")).unwrap();
    assert_eq!(fetching["level"], "INFO");

    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
    let status = |path: &str| agent.get(format!("http://{}{path}", listening["addr"].as_str().unwrap())).call().unwrap().status().as_u16();
    assert_eq!((status("/livez"), status("/readyz")), (200, 503));
    release.send(()).unwrap();
    assert!(logged("senet: cannot load the models: ").contains(" has the sha256 "));
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn serve_finds_a_model_where_pull_puts_it() {
    let folder = tempfile::tempdir().unwrap();
    own_lcnet(&folder.path().join("models"));
    let mut command = senet_in(folder.path());
    command.args(["serve", "--model", "lcnet_050", "--http-addr", "127.0.0.1:0", "--log-format", "json"]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let served = log.any(|line| line.contains("loaded lcnet_050 1"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(served);
}

#[test]
fn a_model_of_the_zoo_that_is_there_is_used_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    own_lcnet(&folder.path().join("models"));
    for args in [&["inspect", "lcnet_050", "--json"][..], &["inspect", "lcnet_050", "--json", "--pull"]] {
        let ended = ends(senet_in(folder.path()).args(args).env("HF_ENDPOINT", "http://127.0.0.1:9"));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        let about: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((&about["name"], &about["classes"]), (&"lcnet_050".into(), &4.into()));
    }
}
