//! The real binary, told to stop by the system.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// A picture that the bundled model classifies.
const PHOTOGRAPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/chelsea.png");

/// A service that is killed when the test fails.
struct Service {
    process: Child,
    addr: String,
    /// Whose sender is dropped with the end of the log.
    log_ended: mpsc::Receiver<()>,
}

impl Service {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_senet"));
        command.args(["serve", "--http-addr", "127.0.0.1:0", "--drain-grace", "1s"]).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e} in {line}"));
        let addr = line["addr"].as_str().unwrap().to_owned();
        let (end, log_ended) = mpsc::channel();
        // The pipe must not fill up.
        std::thread::spawn(move || {
            let _end = end;
            std::io::copy(&mut log, &mut std::io::sink())
        });
        let service = Self { process, addr, log_ended };
        service.wait_for("/readyz", "HTTP/1.1 200");
        service
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn wait_for(&self, path: &str, begin: &str) {
        let start = Instant::now();
        loop {
            let mut stream = self.connect();
            stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
            let answer = read_to_end(&mut stream);
            if answer.starts_with(begin) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{path} keeps answering {answer}");
        }
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status().unwrap().success());
    }

    /// Its exit code, once it has ended by itself.
    fn ended(&mut self) -> Option<i32> {
        assert_eq!(self.log_ended.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected), "it does not end");
        self.process.wait().unwrap().code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Has ended already, unless the test fails.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_request_under_way_is_answered_after_sigterm_and_the_exit_code_is_0() {
    let mut service = Service::start();
    let photograph = std::fs::read(PHOTOGRAPH).unwrap();
    let (first, rest) = photograph.split_at(1000);
    let mut under_way = service.connect();
    under_way.write_all(format!("POST /v1/classify HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", photograph.len()).as_bytes()).unwrap();
    under_way.write_all(first).unwrap();
    service.wait_for("/metrics", "HTTP/1.1 200");
    service.signal("TERM");
    service.wait_for("/readyz", "HTTP/1.1 503");
    under_way.write_all(rest).unwrap();
    let answer = read_to_end(&mut under_way);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"predictions\""), "{answer}");
    assert_eq!(service.ended(), Some(0));
}

#[test]
fn sigint_ends_it_too() {
    let mut service = Service::start();
    service.signal("INT");
    assert_eq!(service.ended(), Some(0));
}
