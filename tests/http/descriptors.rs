//! The real binary with few file descriptors.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// A service under `prlimit`, and its log.
struct Service {
    process: Child,
    addr: String,
    log: Receiver<Value>,
}

impl Service {
    /// None where there is no `prlimit`.
    fn start(soft: u64, hard: u64) -> Option<Self> {
        if !Command::new("prlimit").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
            println!("skipped: there is no prlimit");
            return None;
        }
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={soft}:{hard}")).arg(env!("CARGO_BIN_EXE_senet"));
        command.args(["serve", "--http-addr", "127.0.0.1:0", "--drain-grace", "0s", "--log-format", "json"]);
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let (sender, log) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                drop(sender.send(serde_json::from_str(&line).unwrap_or(Value::Null)));
            }
        });
        let mut service = Self { process, addr: String::new(), log };
        service.addr = service.logged("listening")["addr"].as_str().unwrap().to_owned();
        Some(service)
    }

    fn logged(&self, text: &str) -> Value {
        loop {
            let entry = self.log.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line says {text:?}"));
            if entry["message"].as_str().is_some_and(|message| message.contains(text)) {
                return entry;
            }
        }
    }

    fn get(&self, path: &str) -> String {
        let mut answer = String::new();
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(&self.addr)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").as_bytes())?;
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().unwrap_or_default()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[test]
fn the_soft_limit_is_raised_to_the_hard_one_and_too_few_are_a_warning() {
    let Some(service) = Service::start(64, 200) else { return };
    let warning = service.logged("the limit of open files is too low");
    assert_eq!((&warning["limit"], &warning["max_connections"]), (&200.into(), &1024.into()), "{warning}");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", service.process.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["200", "200"]);
}

#[test]
fn running_out_of_descriptors_is_a_line_a_second_and_passes() {
    let Some(service) = Service::start(48, 48) else { return };
    service.logged("ready");
    let start = Instant::now();
    let clients: Vec<_> = (0..100).map(|_| TcpStream::connect(&service.addr).unwrap()).collect();
    let first = service.logged("cannot accept a connection");
    assert!(first["error"].as_str().is_some_and(|error| error.contains("Too many open files")), "{first}");
    let second = service.logged("cannot accept a connection");
    assert!(second["left_out"].as_u64().is_some_and(|left_out| left_out > 1), "{second}");
    drop(clients);
    while !service.get("/readyz").starts_with("HTTP/1.1 200") {
        assert!(start.elapsed() < PATIENCE, "it does not recover");
    }
    let metrics = service.get("/metrics");
    let errors = metrics.lines().find_map(|line| line.strip_prefix("senet_accept_errors_total ")).unwrap_or_else(|| panic!("{metrics}"));
    assert!(errors.parse::<u64>().unwrap() > 2);
    let lines = 2 + service.log.try_iter().filter(|entry| entry["message"] == "cannot accept a connection").count();
    assert!(lines as u64 <= start.elapsed().as_secs() + 2, "{lines} lines");
}
