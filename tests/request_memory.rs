//! What requests cost the service in memory, measured from outside as the process's peak.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]
#![expect(dead_code, reason = "the helpers of a process do more than is needed here")]

mod cli_support;
mod service_support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use cli_support::senet;
use service_support::Service;

const MEGABYTE: u64 = 1 << 20;

/// `VmRSS` or `VmHWM`, in bytes.
fn status(service: &Service, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", service.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn ready() -> (Service, String) {
    let mut service = Service::start(senet().args(["serve", "--workers", "1"]));
    let addr = service.logged("listening on http://")["addr"].as_str().unwrap().to_owned();
    service.logged("ready");
    (service, addr)
}

/// Sends `body` and reads the beginning of the answer.
fn post(addr: &str, content_type: &str, body: &[u8]) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(addr).unwrap();
    let head = format!("POST /v1/classify HTTP/1.1\r\nhost: test\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    (stream, String::from_utf8(answer.to_vec()).unwrap())
}

/// `open`, then `fill` up to the largest body there may be, then `close`.
fn largest(open: &str, fill: &str, close: &str) -> Vec<u8> {
    let room = (16 << 20) - open.len() - close.len();
    [open, &fill.repeat(room / fill.len()), close].concat().into_bytes()
}

#[test]
fn requests_whose_answers_nobody_reads_take_no_more_memory_than_the_largest_body_and_a_copy() {
    let (service, addr) = ready();
    let idle = status(&service, "VmRSS");
    let json = "application/json";
    let form = "multipart/form-data; boundary=b";
    let field = "--b\r\nContent-Disposition: form-data; name=\"";
    // Texts of one byte a character and of six, keys, lists of nothing, many keys, many fields, and one part that is all head.
    let mut unread = Vec::new();
    for (kind, open, fill, close) in [
        (json, r#"{"model":""#, "\u{7f}", r#"","images":["aa"]}"#),
        (json, r#"{"model":""#, r"\u007f", r#"","images":["aa"]}"#),
        (json, r#"{""#, "\u{7f}", r#"":1,"images":["aa"]}"#),
        (json, r#"{"images":["aa"],"top_k":""#, "\u{7f}", r#""}"#),
        (json, r#"{"images":[""#, r"\n", r#""]}"#),
        (json, r#"{"images":[""#, r#"",""#, r#""]}"#),
        (json, r#"{"blocks":[""#, r#"",""#, r#""],"images":["aa"]}"#),
        (json, "{", r#""a":0,"#, r#""images":[]}"#),
        (json, r#"{"images":"#, "[", "]}"),
        (form, "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n", "\u{7f}", "\r\n--b--"),
        (form, field, "\u{7f}", "\"\r\n\r\n1\r\n--b--"),
        (form, "", "--b\r\ncontent-disposition: form-data; name=\"ok\"\r\n\r\n1\r\n", "--b--"),
        (form, "--b\r\n", "a: b\r\n", "\r\n\r\n--b--"),
    ] {
        let (stream, answer) = post(&addr, kind, &largest(open, fill, close));
        assert!(["HTTP/1.1 200", "HTTP/1.1 400", "HTTP/1.1 404"].contains(&answer.as_str()), "{answer} to {open}");
        unread.push(stream);
    }
    // The body and a copy of a text that is far too long; the answers hold nothing.
    let peak = status(&service, "VmHWM") - idle;
    assert!(peak < 64 * MEGABYTE, "{peak} bytes for {} requests whose answers nobody read", unread.len());
    assert_eq!(service.terminate(), Some(0));
}
