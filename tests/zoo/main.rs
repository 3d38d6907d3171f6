//! The zoo against a server that serves, delays, cuts, corrupts, redirects and refuses.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

#[path = "../cli_support/mod.rs"]
mod cli_support;
mod command_line;
mod server;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use senet::inference::LoadOptions;
use senet::model::{Location, Model};
use senet::zoo::{Catalogue, Client, Entry, Existing, Outcome, Patience, Progress, Pull, ZooError, is_installed};
use server::{Server, answer, cut, range, whole};
use sha2::{Digest, Sha256};

/// A real network, 4 classes of 16×16 pictures.
fn onnx() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/one_block.onnx")).unwrap()
}

/// `tiny` of a catalogue: the file `file`.
fn entry(file: &[u8], classes: usize) -> Entry {
    let sha256: String = Sha256::digest(file).iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!(
        "license = \"Apache-2.0\"\n[models.tiny]\nfile = \"tiny_1\"\nbytes = {}\nsha256 = \"{sha256}\"\nclasses = {classes}\nsize = [16, 16]\n\
         crop_pct = 0.875\ninterpolation = \"bicubic\"\nmean = [0.5, 0.25, 0]\nstd = [0.5, 1, 2]\n",
        file.len()
    );
    Catalogue::parse(Path::new("zoo.toml"), &text).unwrap().find("tiny").unwrap().clone()
}

/// What a test pulls to, and how.
struct Zoo {
    entry: Entry,
    models: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
    patience: Patience,
    /// Reasons and times of the waits before retries, which nobody waits.
    retries: Mutex<Vec<(String, Duration)>>,
}

impl Zoo {
    fn new(entry: Entry, endpoint: String) -> Self {
        let patience = Patience { first_wait: Duration::from_millis(1), sleep: |_| (), ..Patience::default() };
        let variables = vec![("HF_ENDPOINT", endpoint)];
        Self { entry, models: tempfile::tempdir().unwrap(), variables, patience, retries: Mutex::default() }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    fn client(&self) -> Result<Client, ZooError> {
        let find = |name: &str| self.variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        Client::from_variables(find, self.patience)
    }

    fn pull_with(&self, existing: Existing) -> Result<Outcome, ZooError> {
        let pull = Pull { entry: &self.entry, models: self.models.path(), client: &self.client()?, existing };
        pull.run(&mut |progress| {
            if let Progress::Retrying { reason, wait } = progress {
                self.retries.lock().unwrap().push((reason.to_owned(), wait));
            }
        })
    }

    fn pull(&self) -> Result<Outcome, ZooError> {
        self.pull_with(Existing::Keep)
    }

    fn refusal(&self) -> String {
        let message = self.pull().unwrap_err().to_string();
        assert_eq!(message.lines().count(), 1, "{message}");
        assert_eq!(self.visible(), [""; 0], "{message}");
        message
    }

    /// Names in the models folder that are not hidden.
    fn visible(&self) -> Vec<String> {
        let names = fs::read_dir(self.models.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with('.')).collect()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.models.path().join("tiny").join(name)
    }

    /// Where the network is while it comes.
    fn part(&self) -> PathBuf {
        self.models.path().join(".tiny.partial/model.onnx")
    }

    fn retries(&self) -> usize {
        self.retries.lock().unwrap().len()
    }

    /// Pulls and checks that all of the file has arrived.
    fn installs(&self) {
        assert_eq!(self.pull().map_err(|error| error.to_string()), Ok(Outcome::Installed));
        assert_eq!(fs::metadata(self.file("model.onnx")).unwrap().len(), self.entry.bytes);
        let sha256: String = Sha256::digest(fs::read(self.file("model.onnx")).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sha256, self.entry.sha256);
        assert!(!self.part().exists());
    }
}

fn url(server: &Server) -> String {
    format!("{}/onnxmodelzoo/tiny_1/resolve/main/tiny_1.onnx", server.url())
}

#[test]
fn what_is_pulled_is_a_model_folder_that_loads_without_a_guess() {
    let server = Server::start(|_, _, out| whole(out, &onnx()));
    let zoo = Zoo::new(entry(&onnx(), 4), server.url());
    assert!(!is_installed(&zoo.entry, zoo.models.path()));
    zoo.installs();
    assert!(is_installed(&zoo.entry, zoo.models.path()));
    assert_eq!(
        (zoo.visible(), server.requests()[0].line.as_str()),
        (vec!["tiny".to_owned()], "GET /onnxmodelzoo/tiny_1/resolve/main/tiny_1.onnx HTTP/1.1")
    );

    let model = Model::load(&Location::find("tiny", Some(zoo.models.path())).unwrap(), LoadOptions::default()).unwrap();
    let contract = model.contract();
    assert_eq!((model.name(), contract.size, contract.resize_to), ("tiny", [16, 16], [18, 18]));
    assert_eq!((contract.mean, contract.std), ([0.5, 0.25, 0.0], [0.5, 1.0, 2.0]));
    assert_eq!(model.warnings(), ["there are no labels, classes are called class_0 to class_3"]);
    let manifest: toml::Table = fs::read_to_string(zoo.file("model.toml")).unwrap().parse().unwrap();
    assert_eq!(manifest["input"]["interpolation"].as_str(), Some("bicubic"));
    let source = "https://huggingface.co/onnxmodelzoo/tiny_1/resolve/main/tiny_1.onnx";
    assert_eq!((manifest["model"]["source"].as_str(), manifest["model"]["license"].as_str()), (Some(source), Some("Apache-2.0")));
}

#[test]
fn a_model_of_1000_classes_gets_imagenets_labels() {
    let server = Server::start(|_, _, out| whole(out, b"abc"));
    let zoo = Zoo::new(entry(b"abc", 1000), server.url());
    zoo.installs();
    let labels = fs::read_to_string(zoo.file("labels.txt")).unwrap();
    assert_eq!((labels.lines().count(), labels.lines().nth(281)), (1000, Some("tabby, tabby cat")));
    assert!(fs::read_to_string(zoo.file("model.toml")).unwrap().ends_with("labels = \"labels.txt\"\n"));
}

#[test]
fn what_is_installed_and_intact_is_not_asked_for_again() {
    let server = Server::start(|_, _, out| whole(out, &onnx()));
    let zoo = Zoo::new(entry(&onnx(), 4), server.url());
    zoo.installs();
    assert_eq!((zoo.pull().unwrap(), server.requests().len()), (Outcome::AlreadyThere, 1));

    let mut damaged = onnx();
    damaged[100] ^= 1;
    fs::write(zoo.file("model.onnx"), &damaged).unwrap();
    let message = zoo.pull().unwrap_err().to_string();
    assert!(message.contains("tiny is there and its model.onnx has the sha256 ") && message.contains("--force replaces it"), "{message}");
    assert_eq!(fs::read(zoo.file("model.onnx")).unwrap(), damaged, "it is not ours to throw away");
    fs::write(zoo.file("model.onnx"), &damaged[..9]).unwrap();
    let message = zoo.pull().unwrap_err().to_string();
    assert!(message.contains(&format!("its model.onnx has 9 bytes, expected {} as the catalogue says", zoo.entry.bytes)), "{message}");

    assert_eq!((zoo.pull_with(Existing::Replace).unwrap(), server.requests().len()), (Outcome::Installed, 2));
    assert_eq!((fs::read(zoo.file("model.onnx")).unwrap(), zoo.visible()), (onnx(), vec!["tiny".to_owned()]));
    assert_eq!((zoo.pull_with(Existing::Replace).unwrap(), server.requests().len()), (Outcome::Installed, 3), "even where it is intact");
}

#[test]
fn a_body_that_breaks_off_is_resumed_where_it_broke_off() {
    let server = Server::start(|number, request, out| if number == 0 { cut(out, &onnx(), 700) } else { range(request, out, &onnx()) });
    let zoo = Zoo::new(entry(&onnx(), 4), server.url());
    zoo.installs();
    let requests = server.requests();
    assert_eq!((requests[0].header("range"), requests[1].header("range")), (None, Some("bytes=700-")));
    assert_eq!((requests[1].header("if-range"), zoo.retries()), (Some("\"v1\""), 1));
    assert!(!zoo.file("model.etag").exists());
}

#[test]
fn an_end_that_comes_too_early_is_seen_without_a_declared_length() {
    let server =
        Server::start(|number, request, out| if number == 0 { answer(out, "200 OK", &[], &onnx()[..700]) } else { range(request, out, &onnx()) });
    let zoo = Zoo::new(entry(&onnx(), 4), server.url());
    zoo.installs();
    let requests = server.requests();
    assert_eq!((requests[1].header("range"), requests[1].header("if-range")), (Some("bytes=700-"), None));
}

#[test]
fn a_pull_goes_on_where_an_earlier_one_was_broken_off() {
    let server = Server::start(|number, request, out| if number == 0 { cut(out, &onnx(), 700) } else { range(request, out, &onnx()) });
    let mut zoo = Zoo::new(entry(&onnx(), 4), server.url());
    zoo.patience.retries = 0;
    let message = zoo.refusal();
    assert!(message.starts_with(&format!("cannot fetch {}: it broke off after 700 of {} bytes", url(&server), zoo.entry.bytes)), "{message}");
    assert_eq!(fs::metadata(zoo.part()).unwrap().len(), 700);
    zoo.installs();
    assert_eq!(server.requests()[1].header("range"), Some("bytes=700-"));
}

#[test]
fn a_server_that_ignores_the_range_sends_everything_again() {
    let server = Server::start(|number, _, out| if number == 0 { cut(out, &onnx(), 700) } else { whole(out, &onnx()) });
    let zoo = Zoo::new(entry(&onnx(), 4), server.url());
    zoo.installs();
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn an_answer_that_does_not_go_on_where_it_should_is_dropped_and_all_is_fetched_again() {
    for (status, content_range) in [("206 Partial Content", "bytes 9-99/"), ("206 Partial Content", ""), ("416 Range Not Satisfiable", "bytes */")] {
        let server = Server::start(move |number, _, out| match number {
            0 => cut(out, &onnx(), 700),
            1 => {
                let total = if content_range.is_empty() { String::new() } else { onnx().len().to_string() };
                answer(out, status, &["content-length: 3", &format!("content-range: {content_range}{total}")], b"abc")
            }
            _ => whole(out, &onnx()),
        });
        let zoo = Zoo::new(entry(&onnx(), 4), server.url());
        zoo.installs();
        assert_eq!(server.requests()[2].header("range"), None, "{status} {content_range}");
    }
}

#[test]
fn a_range_of_a_file_of_another_length_ends_the_pull() {
    let server = Server::start(|number, _, out| match number {
        0 => cut(out, &onnx(), 700),
        _ => answer(out, "416 Range Not Satisfiable", &["content-length: 0", "content-range: bytes */5"], b""),
    });
    let zoo = Zoo::new(entry(&onnx(), 4), server.url());
    let message = zoo.refusal();
    assert!(message.starts_with(&format!("{} has 5 bytes, expected {} as the catalogue says", url(&server), zoo.entry.bytes)), "{message}");
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_corrupt_file_never_becomes_a_model() {
    let mut corrupt = onnx();
    corrupt[100] ^= 1;
    let server = Server::start(move |_, _, out| whole(out, &corrupt));
    let zoo = Zoo::new(entry(&onnx(), 4), server.url());
    let message = zoo.refusal();
    assert!(message.starts_with(&format!("{} has the sha256 ", url(&server))), "{message}");
    assert!(message.contains(&format!("expected {} as the catalogue says; it was thrown away", zoo.entry.sha256)), "{message}");
    assert!(!zoo.part().exists());
    assert_eq!(server.requests().len(), 1, "the same server would send the same again");
}

#[test]
fn a_beginning_of_another_file_is_dropped_and_all_is_fetched_again() {
    let server = Server::start(|_, request, out| range(request, out, &onnx()));
    let zoo = Zoo::new(entry(&onnx(), 4), server.url());
    for leftover in [vec![0; 700], vec![0; onnx().len()], vec![0; onnx().len() + 1]] {
        fs::create_dir_all(zoo.part().parent().unwrap()).unwrap();
        fs::write(zoo.part(), &leftover).unwrap();
        zoo.installs();
        fs::remove_dir_all(zoo.models.path().join("tiny")).unwrap();
    }
}

#[test]
fn a_file_of_another_length_is_refused_from_its_head() {
    for length in [onnx().len() - 1, onnx().len() + 1, 3_000_000_000] {
        let server = Server::start(move |_, _, out| {
            answer(out, "200 OK", &[&format!("content-length: {length}")], b"")?;
            out.read(&mut [0]).map(drop)
        });
        let zoo = Zoo::new(entry(&onnx(), 4), server.url());
        let message = zoo.refusal();
        assert!(
            message.starts_with(&format!("{} has {length} bytes, expected {} as the catalogue says", url(&server), zoo.entry.bytes)),
            "{message}"
        );
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn a_body_that_does_not_end_is_cut_off_at_one_byte_too_many() {
    let server = Server::start(|_, _, out| {
        answer(out, "200 OK", &[], &onnx())?;
        while out.write_all(&[0; 4096]).is_ok() {}
        Ok(())
    });
    let zoo = Zoo::new(entry(&onnx(), 4), server.url());
    let message = zoo.refusal();
    let expected = format!("{} has more than {} bytes, expected {1} as the catalogue says", url(&server), zoo.entry.bytes);
    assert!(message.starts_with(&expected), "{message}");
    assert!(!zoo.part().exists());
}

#[test]
fn a_busy_server_is_asked_again_when_it_says_so() {
    let server = Server::start(|number, _, out| match number {
        0 => answer(out, "503 Service Unavailable", &["content-length: 0"], b""),
        1 => answer(out, "429 Too Many Requests", &["retry-after: 7", "content-length: 4"], b"wait"),
        2 => answer(out, "408 Request Timeout", &["content-length: 0"], b""),
        _ => whole(out, &onnx()),
    });
    let zoo = Zoo::new(entry(&onnx(), 4), server.url());
    zoo.installs();
    let retries = zoo.retries.lock().unwrap().clone();
    let reasons: Vec<&str> = retries.iter().map(|(reason, _)| reason.as_str()).collect();
    assert_eq!(reasons, ["the answer is 503 Service Unavailable", "the answer is 429 Too Many Requests", "the answer is 408 Request Timeout"]);
    assert!(retries[0].1 < Duration::from_millis(2) && retries[2].1 < Duration::from_millis(8), "{retries:?}");
    assert_eq!(retries[1].1, Duration::from_secs(7));
}

#[test]
fn a_server_that_stays_broken_is_asked_six_times() {
    let server = Server::start(|_, _, out| answer(out, "502 Bad Gateway", &["content-length: 0"], b""));
    let zoo = Zoo::new(entry(&onnx(), 4), server.url());
    let message = zoo.refusal();
    assert!(message.starts_with(&format!("cannot fetch {}: the answer is 502 Bad Gateway, tried 6 times; ", url(&server))), "{message}");
    assert_eq!(server.requests().len(), 6);
}

#[test]
fn a_server_that_refuses_is_asked_once() {
    for status in ["401 Unauthorized", "403 Forbidden", "404 Not Found", "410 Gone", "416 Range Not Satisfiable"] {
        let server = Server::start(move |_, _, out| answer(out, status, &["content-length: 0"], b""));
        let zoo = Zoo::new(entry(&onnx(), 4), server.url());
        let message = zoo.refusal();
        assert!(message.starts_with(&format!("cannot fetch {}: the answer is {status}", url(&server))), "{message}");
        assert_eq!((server.requests().len(), message.contains("HF_TOKEN")), (1, status.starts_with("401") || status.starts_with("403")));
    }
}

#[test]
fn a_host_that_cannot_be_reached_is_answered_with_the_address_and_what_to_do() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let zoo = Zoo::new(entry(&onnx(), 4), format!("http://{nobody}"));
    let message = zoo.refusal();
    let cause = format!("cannot fetch http://{nobody}/onnxmodelzoo/tiny_1/resolve/main/tiny_1.onnx: Connection refused");
    let advice = format!(
        "tried 6 times; set HTTPS_PROXY for a proxy, HF_ENDPOINT for a mirror, or fetch it elsewhere, put it at {} and run this again",
        zoo.part().display()
    );
    assert!(message.starts_with(&cause) && message.ends_with(&advice), "{message}");

    fs::write(zoo.part(), onnx()).unwrap();
    zoo.installs();
}

#[test]
fn a_body_that_stalls_is_given_up_and_resumed() {
    let server = Server::start(|number, request, out| match number {
        0 => cut(out, &onnx(), 700).and_then(|()| out.flush()).and_then(|()| out.read(&mut [0]).map(drop)),
        _ => range(request, out, &onnx()),
    });
    let mut zoo = Zoo::new(entry(&onnx(), 4), server.url());
    zoo.patience.stall = Duration::from_millis(300);
    zoo.installs();
    assert_eq!(server.requests()[1].header("range"), Some("bytes=700-"));
    let reason = zoo.retries.lock().unwrap()[0].0.clone();
    assert!(reason.starts_with("it broke off after 700 of") && reason.contains("nothing came in time"), "{reason}");
}

#[test]
fn a_redirect_is_followed_and_the_token_stays_with_its_host() {
    let store = Server::start(|number, request, out| if number == 0 { cut(out, &onnx(), 700) } else { range(request, out, &onnx()) });
    let address = format!("http://127.0.0.1:{}/file", store.addr.port());
    let hub = Server::start(move |_, _, out| answer(out, "302 Found", &[&format!("location: {address}"), "content-length: 0"], b""));
    let zoo = Zoo::new(entry(&onnx(), 4), hub.url()).with("HF_TOKEN", "secret");
    zoo.installs();
    assert_eq!(hub.requests()[0].header("authorization"), Some("Bearer secret"));
    let requests = store.requests();
    assert_eq!((requests[1].line.as_str(), requests[1].header("range")), ("GET /file HTTP/1.1", Some("bytes=700-")));
    assert!(requests.iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn redirects_without_end_end_the_pull() {
    let server = Server::start(|_, _, out| answer(out, "302 Found", &["location: /again", "content-length: 0"], b""));
    let message = Zoo::new(entry(&onnx(), 4), server.url()).refusal();
    assert!(message.contains("too many redirects"), "{message}");
}

#[test]
fn a_certificate_is_trusted_when_ssl_cert_file_names_its_root_and_refused_otherwise() {
    let server = Server::start_tls(|_, _, out| whole(out, &onnx()));
    let zoo = Zoo::new(entry(&onnx(), 4), server.url());
    let message = zoo.refusal();
    assert!(message.starts_with(&format!("cannot fetch {}: invalid peer certificate: ", url(&server))), "{message}");
    assert!(message.ends_with("name the file of its root in SSL_CERT_FILE"), "{message}");
    assert_eq!((zoo.retries(), server.requests().len()), (0, 0));

    let file = zoo.models.path().join(".root.pem");
    fs::write(&file, &server.certificate).unwrap();
    zoo.with("SSL_CERT_FILE", file.to_str().unwrap()).installs();
}

#[test]
fn https_is_never_left_for_http() {
    let plain = Server::start(|_, _, out| whole(out, &onnx()));
    let address = plain.url();
    let server = Server::start_tls(move |_, _, out| answer(out, "302 Found", &[&format!("location: {address}"), "content-length: 0"], b""));
    let zoo = Zoo::new(entry(&onnx(), 4), server.url());
    let file = zoo.models.path().join(".root.pem");
    fs::write(&file, &server.certificate).unwrap();
    let message = zoo.with("SSL_CERT_FILE", file.to_str().unwrap()).refusal();
    assert!(message.contains("https"), "{message}");
    assert_eq!(plain.requests().len(), 0);
}

#[test]
fn a_proxy_is_asked_for_a_host_that_only_it_can_reach() {
    let proxy = Server::start(|_, _, out| {
        out.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            out.read_exact(&mut byte)?;
            head.extend(byte);
        }
        whole(out, &onnx())
    });
    let zoo = Zoo::new(entry(&onnx(), 4), "http://zoo.invalid".to_owned()).with("HTTP_PROXY", proxy.url());
    zoo.installs();
    assert_eq!(proxy.requests()[0].line, "CONNECT zoo.invalid:80 HTTP/1.1");
}

#[test]
fn a_second_pull_waits_for_the_first_and_finds_its_model() {
    let (second_waits, wait_for_second) = mpsc::channel();
    let wait_for_second = Mutex::new(wait_for_second);
    let (first_asks, wait_for_first) = mpsc::channel();
    let server = Server::start(move |_, _, out| {
        first_asks.send(()).unwrap();
        let _comes_or_the_test_fails = wait_for_second.lock().unwrap().recv_timeout(Duration::from_secs(5));
        whole(out, &onnx())
    });
    let zoo = Zoo::new(entry(&onnx(), 4), server.url());
    std::thread::scope(|scope| {
        let first = scope.spawn(|| zoo.pull().unwrap());
        wait_for_first.recv().unwrap();
        let client = zoo.client().unwrap();
        let second = Pull { entry: &zoo.entry, models: zoo.models.path(), client: &client, existing: Existing::Keep };
        let mut seen = Vec::new();
        let second = second.run(&mut |progress| {
            seen.push(format!("{progress:?}"));
            second_waits.send(()).unwrap();
        });
        assert_eq!(seen, ["Waiting"]);
        assert_eq!((first.join().unwrap(), second.unwrap()), (Outcome::Installed, Outcome::AlreadyThere));
    });
    assert_eq!(server.requests().len(), 1);
}
