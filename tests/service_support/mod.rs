//! `senet serve` as a process, and its log.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// Longer than any test waits for a service.
const LONGEST: Duration = Duration::from_secs(120);

/// A running `senet serve` on a port of its own.
pub(crate) struct Service {
    /// Dropped with it.
    _ends: Sender<()>,
    pub(crate) child: Child,
    log: BufReader<ChildStderr>,
}

impl Service {
    /// Starts `command`, which is `senet serve` with the arguments of a test.
    pub(crate) fn start(command: &mut Command) -> Self {
        let command = command.args(["--http-addr", "127.0.0.1:0", "--drain-grace", "0s", "--log-format", "json"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { _ends: ends_in_time(child.id()), child, log }
    }

    /// The next line of the log whose message holds `text`.
    pub(crate) fn logged(&mut self, text: &str) -> Value {
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
    pub(crate) fn refusal(mut self) -> (Option<i32>, String) {
        let mut line = String::new();
        while self.log.read_line(&mut line).unwrap() > 0 && line.starts_with('{') {
            assert!(!line.contains(r#""message":"ready""#), "{line}");
            line.clear();
        }
        (self.child.wait().unwrap().code(), line)
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn terminate(mut self) -> Option<i32> {
        self.signal("TERM");
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

/// Kills the process where the answer lives for longer than [`LONGEST`]: whoever waits for its log then sees the end of it.
fn ends_in_time(id: u32) -> Sender<()> {
    let (ends, ended) = channel();
    thread::spawn(move || {
        if ended.recv_timeout(LONGEST) == Err(RecvTimeoutError::Timeout) {
            drop(Command::new("kill").args(["-s", "KILL", &id.to_string()]).status());
        }
    });
    ends
}
