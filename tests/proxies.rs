//! The real binary behind nginx and HAProxy, which keep connections to it: what one client does must not cost another's request, nor must a restart.
//!
//! `SENET_TEST_RESTARTS` says how many rolling restarts there are, 4 where it is not set.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// A port that is free now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A process that is killed with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A replica at a port that it keeps from one start to the next.
struct Replica {
    port: u16,
    process: Process,
}

impl Replica {
    fn start(port: u16) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_senet"));
        command.args(["serve", "--workers", "2", "--drain-grace", "500ms", "--http-addr", &format!("127.0.0.1:{port}")]);
        let replica = Self { port, process: Process(command.stderr(Stdio::null()).spawn().unwrap()) };
        let start = Instant::now();
        while ask(port, "GET /readyz HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n".as_bytes()) != Some(200) {
            assert!(start.elapsed() < PATIENCE, "the replica does not become ready");
            thread::sleep(Duration::from_millis(20));
        }
        replica
    }

    fn restart(&mut self) {
        assert!(Command::new("kill").args(["-s", "TERM", &self.process.0.id().to_string()]).status().unwrap().success());
        assert!(self.process.0.wait().unwrap().success());
        *self = Self::start(self.port);
    }
}

/// The status of the answer to one request on a connection of its own.
fn ask(port: u16, request: &[u8]) -> Option<u16> {
    Client { port, stream: None }.ask(request).ok()
}

/// A client that keeps its connection for as long as it may.
struct Client {
    port: u16,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    fn ask(&mut self, request: &[u8]) -> std::io::Result<u16> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => BufReader::new(TcpStream::connect(("127.0.0.1", self.port))?),
        };
        stream.get_mut().set_read_timeout(Some(PATIENCE))?;
        stream.get_mut().write_all(request)?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().unwrap());
        stream.read_exact(&mut vec![0; length])?;
        if !head.contains("\r\nconnection: close\r\n") {
            self.stream = Some(stream);
        }
        Ok(head.split(' ').nth(1).unwrap().parse().unwrap())
    }
}

fn classification(query: &str) -> Vec<u8> {
    let mut picture = Cursor::new(Vec::new());
    image::RgbImage::from_fn(40, 30, |x, y| image::Rgb([x as u8 * 6, y as u8 * 8, 128])).write_to(&mut picture, image::ImageFormat::Png).unwrap();
    post(query, &picture.into_inner())
}

fn post(query: &str, body: &[u8]) -> Vec<u8> {
    [format!("POST /v1/classify{query} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

/// What so many clients are answered, each of which sends its request again and again while `work` is done; by the name of the request.
fn under_load(port: u16, clients: &[(&'static str, &[u8])], work: impl FnOnce()) -> BTreeMap<String, u64> {
    let over = AtomicBool::new(false);
    let answers = thread::scope(|scope| {
        let over = &over;
        let client = |&(name, request): &(&'static str, _)| {
            scope.spawn(move || {
                let (mut client, mut answers) = (Client { port, stream: None }, BTreeMap::new());
                while !over.load(Ordering::Relaxed) {
                    let answer = match client.ask(request) {
                        Ok(status) => format!("{name} {status}"),
                        Err(error) => format!("{name} {error}"),
                    };
                    *answers.entry(answer).or_insert(0) += 1;
                }
                answers
            })
        };
        let clients: Vec<_> = clients.iter().map(client).collect();
        work();
        over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    let mut sum = BTreeMap::new();
    answers.into_iter().flatten().for_each(|(answer, count)| *sum.entry(answer).or_insert(0) += count);
    sum
}

fn wait_for(port: u16) {
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < PATIENCE, "the proxy does not start");
        thread::sleep(Duration::from_millis(20));
    }
}

fn is_there(program: &str) -> bool {
    let there = Command::new(program).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !there {
        println!("skipped: there is no {program}");
    }
    there
}

/// nginx in front of `replicas`, with kept connections; its port.
fn nginx(folder: &Path, replicas: &[u16]) -> (Process, u16) {
    let port = free_port();
    let servers: String = replicas.iter().map(|port| format!("server 127.0.0.1:{port} max_fails=0;")).collect();
    let at = folder.display();
    let config = format!(
        "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log; worker_processes 1;
         events {{ worker_connections 256; }}
         http {{
           access_log off; client_max_body_size 16m;
           client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;
           upstream senet {{ {servers} keepalive 16; }}
           server {{
             listen 127.0.0.1:{port};
             location / {{
               proxy_pass http://senet; proxy_http_version 1.1; proxy_set_header Connection '';
               proxy_next_upstream error timeout http_503 non_idempotent;
             }}
           }}
         }}"
    );
    std::fs::write(folder.join("nginx.conf"), config).unwrap();
    let conf = folder.join("nginx.conf");
    let mut command = Command::new("nginx");
    let process = command.arg("-p").arg(folder).arg("-c").arg(conf).stderr(Stdio::null()).spawn().unwrap();
    wait_for(port);
    (Process(process), port)
}

/// HAProxy in front of `replicas`, likewise.
fn haproxy(folder: &Path, replicas: &[u16]) -> (Process, u16) {
    let port = free_port();
    let servers: String = replicas.iter().map(|port| format!("  server s{port} 127.0.0.1:{port} check inter 100ms fall 1 rise 1\n")).collect();
    let config = format!(
        "defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option redispatch
  retries 3
listen senet
  bind 127.0.0.1:{port}
  option httpchk GET /readyz
  http-check send hdr host test
  http-reuse always
{servers}"
    );
    let path = folder.join("haproxy.cfg");
    std::fs::write(&path, config).unwrap();
    let process = Command::new("haproxy").arg("-db").arg("-f").arg(path).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(port);
    (Process(process), port)
}

#[test]
fn a_client_that_is_refused_costs_no_other_one_its_answer_behind_nginx() {
    if !is_there("nginx") {
        return;
    }
    let (folder, replica) = (TempDir::new().unwrap(), Replica::start(free_port()));
    let (_nginx, port) = nginx(folder.path(), &[replica.port]);
    let good = classification("");
    let refused = [post("?zz=1", &[0; 100_000]), post("?zz=1", &[0; 3_000_000]), post("/absent", &[0; 100_000])];
    let clients = [("good", &good[..]), ("good", &good), ("refused", &refused[0]), ("large", &refused[1]), ("absent", &refused[2])];
    let answers = under_load(port, &clients, || thread::sleep(Duration::from_secs(3)));
    println!("{answers:?}");
    assert_eq!(answers.keys().collect::<Vec<_>>(), ["absent 404", "good 200", "large 400", "refused 400"], "{answers:?}");
}

/// Restarts behind `proxy`, whose folder is handed back.
fn rolling_restarts(proxy: fn(&Path, &[u16]) -> (Process, u16)) -> TempDir {
    let restarts = std::env::var("SENET_TEST_RESTARTS").map_or(4, |count| count.parse().unwrap());
    let mut replicas = [Replica::start(free_port()), Replica::start(free_port())];
    let folder = TempDir::new().unwrap();
    let (_proxy, port) = proxy(folder.path(), &[replicas[0].port, replicas[1].port]);
    let request = classification("");
    let start = Instant::now();
    while ask(port, &request) != Some(200) {
        assert!(start.elapsed() < PATIENCE, "the proxy finds no replica");
    }
    let answers = under_load(port, &[("answered", &request[..]); 8], || {
        for restart in 0..restarts {
            replicas[restart % 2].restart();
            // HAProxy looks every 100 ms whether the replica is back.
            thread::sleep(Duration::from_millis(300));
        }
    });
    println!("{restarts} restarts: {answers:?}");
    assert_eq!(answers.keys().collect::<Vec<_>>(), ["answered 200"], "{answers:?}");
    folder
}

#[test]
fn rolling_restarts_behind_nginx_lose_nothing() {
    if !is_there("nginx") {
        return;
    }
    let folder = rolling_restarts(nginx);
    // nginx asks the other replica where one does not answer: it must have found closed ports, but never lost a request.
    let errors = std::fs::read_to_string(folder.path().join("error.log")).unwrap();
    let lost: Vec<_> = errors.lines().filter(|line| line.contains("prematurely closed") || line.contains("reset by peer")).collect();
    assert!(lost.is_empty(), "{lost:#?}");
}

#[test]
fn rolling_restarts_behind_haproxy_lose_nothing() {
    if is_there("haproxy") {
        rolling_restarts(haproxy);
    }
}
