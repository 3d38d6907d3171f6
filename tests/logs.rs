//! What a service does, and what commands do, when nobody reads what they say: a closed pipe, a full disk, a reader that stopped reading.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

mod cli_support;

use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, Read, pipe};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cli_support::{Ended, run, senet};
use serde_json::Value;

/// Longer than any test waits.
const LONGEST: Duration = Duration::from_secs(60);
/// Requests that fill a pipe or a socket and the queue behind it several times.
const MANY: u64 = 2500;

/// A running `senet serve`, which is killed when its test fails.
struct Service {
    child: Child,
    addr: String,
    agent: ureq::Agent,
}

impl Service {
    /// Starts `command` with standard error being `log`.
    fn start(command: &mut Command, log: impl Into<Stdio>) -> Self {
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let command =
            command.args(["serve", "--workers", "1", "--simd", "scalar", "--drain-grace", "0s", "--log-format", "json", "--http-addr", &addr]);
        let agent = ureq::Agent::config_builder().timeout_global(Some(LONGEST)).build().into();
        let mut service = Self { child: command.stderr(log).spawn().unwrap(), addr, agent };
        service.until("it listens", |service| TcpStream::connect(&service.addr).ok());
        service.until("it is ready", |service| service.agent.get(service.url("/readyz")).call().ok());
        service
    }

    fn until<T>(&mut self, what: &str, mut reached: impl FnMut(&mut Self) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(value) = reached(self) {
                return value;
            }
            assert!(start.elapsed() < LONGEST, "waited in vain until {what}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// The body of what must be answered 200.
    fn get(&self, path: &str) -> String {
        let mut answer = self.agent.get(self.url(path)).call().unwrap_or_else(|error| panic!("{path}: {error}"));
        answer.body_mut().read_to_string().unwrap()
    }

    /// So many requests that are logged.
    fn get_many(&self, count: u64) {
        (0..count).for_each(|_| drop(self.get("/problems")));
    }

    /// What `/metrics` says of lost lines.
    fn dropped(&self) -> u64 {
        let metrics = self.get("/metrics");
        metrics.lines().find_map(|line| line.strip_prefix("senet_log_lines_dropped_total ")).expect("the metric exists").parse().unwrap()
    }

    /// Its exit code after SIGTERM.
    fn terminate(&mut self) -> Option<i32> {
        assert!(Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status().unwrap().success());
        self.until("it ends", |service| service.child.try_wait().unwrap()).code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The lines of a log that ended, each a whole JSON object; how many tell of a request, and how many lost lines the others tell of.
fn read(log: impl Read) -> (u64, u64) {
    let lines: Vec<String> = BufReader::new(log).lines().map(Result::unwrap).collect();
    let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    lines.fold((0, 0), |(requests, lost), line| match line["dropped"].as_u64() {
        Some(dropped) => {
            assert_eq!(line["message"], format!("{dropped} log lines were dropped"));
            (requests, lost + dropped)
        }
        None => (requests + u64::from(line["route"] == "/problems"), lost),
    })
}

#[test]
fn a_reader_of_the_log_that_left_costs_lines_and_nothing_else() {
    let (log, stderr) = pipe().unwrap();
    let mut service = Service::start(&mut senet(), stderr);
    drop(log);
    service.get_many(20);
    service.until("every line is counted", |service| (service.dropped() >= 20).then_some(()));
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn a_full_disk_costs_log_lines_and_nothing_else() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut service = Service::start(&mut senet(), full);
    service.get_many(20);
    service.until("every line is counted, those of the start too", |service| (service.dropped() > 20).then_some(()));
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn a_service_without_standard_error_answers() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" 2>&-", env!("CARGO_BIN_EXE_senet")]);
    let mut service = Service::start(&mut shell, Stdio::null());
    service.get_many(20);
    assert_eq!(service.terminate(), Some(0));
}

/// A service whose log nobody reads for as long as lines are lost.
fn blocked(log: impl Into<Stdio>) -> Service {
    let service = Service::start(&mut senet(), log);
    service.get_many(MANY);
    assert!(service.dropped() > 0);
    service
}

#[test]
fn a_reader_of_the_log_that_stops_reading_holds_up_neither_requests_nor_the_end() {
    let (log, stderr) = pipe().unwrap();
    let mut service = blocked(stderr);
    assert_eq!(service.get("/livez"), "alive\n");
    assert_eq!(service.terminate(), Some(0));
    drop::<PipeReader>(log);
}

/// Reads the log of a service that lost lines to its end.
fn complete(mut service: Service, log: impl Read + Send + 'static) {
    let dropped = service.dropped();
    let reading = thread::spawn(move || read(log));
    assert_eq!(service.terminate(), Some(0));
    let (requests, lost) = reading.join().unwrap();
    assert_eq!(requests, MANY - dropped);
    // Of the end the queue may still be too full to tell.
    assert!((dropped..=dropped + 2).contains(&lost), "{lost} of {dropped}");
}

#[test]
fn every_line_is_whole_or_counted_when_a_blocked_log_is_read_again() {
    let (log, stderr) = pipe().unwrap();
    let service = blocked(stderr);
    complete(service, log);
}

#[test]
fn every_line_is_whole_or_counted_when_a_full_non_blocking_log_is_read_again() {
    let (log, stderr) = UnixStream::pair().unwrap();
    stderr.set_nonblocking(true).unwrap();
    let service = blocked(OwnedFd::from(stderr));
    complete(service, log);
}

#[test]
fn the_last_words_of_a_service_that_cannot_start_are_not_lost() {
    let ended = run(&["serve", "--http-addr", "127.0.0.1:0", "--model", "/nowhere.onnx"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.lines().last().unwrap().starts_with("senet: "), "{}", ended.stderr);
}

#[test]
fn commands_end_with_their_own_exit_code_though_nobody_reads_what_they_say() {
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    let closed = || Stdio::from(pipe().unwrap().1);
    for (args, code) in [
        (&["classify", "/nowhere.png"][..], 1),
        (&["inspect", "/nowhere.onnx"], 1),
        (&["serve", "--model", "/nowhere.onnx"], 1),
        (&["serve", "--queue", "many"], 2),
        (&["evaluate", "--images", "/nowhere"], 1),
        (&["serve", "--config", "/nowhere.toml"], 64),
        (&["zoo", "pull", "no-such-model"], 2),
    ] {
        for stderr in [full(), closed()] {
            let status = senet().args(args).stdout(Stdio::null()).stderr(stderr).status().unwrap();
            assert_eq!(status.code(), Some(code), "{args:?}");
        }
    }
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure_and_a_full_disk_is_one() {
    for args in [&["zoo", "list"][..], &["zoo", "list", "--json"], &["inspect"], &["serve", "--print-config"], &["--help"]] {
        let left: Ended = senet().args(args).stdout(pipe().unwrap().1).output().unwrap().into();
        assert_eq!((left.code, left.stderr.as_str()), (Some(0), ""), "{args:?}");
        let full: Ended = senet().args(args).stdout(File::options().write(true).open("/dev/full").unwrap()).output().unwrap().into();
        assert_eq!(full.code, Some(1), "{args:?}: {}", full.stderr);
        assert!(full.stderr.starts_with("senet: cannot write to standard output: "), "{args:?}: {}", full.stderr);
    }
}
