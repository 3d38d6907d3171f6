//! A small HTTP server for one test, which answers as badly as it is told to.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The head of a request: its first line and its headers, names in lower case.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    pub(crate) line: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn read(stream: &mut impl BufRead) -> io::Result<Self> {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line: &String| !line.is_empty()) {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            lines.push(line.trim_end().to_owned());
        }
        let headers = lines.iter().skip(1).filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Ok(Self { line: lines[0].clone(), headers })
    }
}

/// What a server's connection is to an answer.
pub(crate) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// Listens until the test ends; one request a connection.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    /// Of a server that speaks TLS: its certificate in PEM.
    pub(crate) certificate: String,
}

impl Server {
    /// Calls `answer` with the number of the request, from 0, the request, and the connection, which is closed thereafter.
    pub(crate) fn start(answer: impl Fn(usize, &Request, &mut dyn Stream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::listen(None, String::new(), answer)
    }

    /// As [`Server::start`], over TLS with a certificate of its own for `localhost`.
    pub(crate) fn start_tls(answer: impl Fn(usize, &Request, &mut dyn Stream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        Self::listen(Some(Arc::new(config)), cert.pem(), answer)
    }

    fn listen(
        tls: Option<Arc<ServerConfig>>,
        certificate: String,
        answer: impl Fn(usize, &Request, &mut dyn Stream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { addr: listener.local_addr().unwrap(), requests: Arc::default(), certificate };
        let (requests, answer) = (Arc::clone(&server.requests), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (tls, requests, answer) = (tls.clone(), Arc::clone(&requests), Arc::clone(&answer));
                thread::spawn(move || {
                    let mut stream: Box<dyn Stream> = match tls {
                        Some(config) => Box::new(StreamOwned::new(ServerConnection::new(config).unwrap(), stream)),
                        None => Box::new(stream),
                    };
                    // A client that distrusts the certificate never sends a request.
                    let Ok(request) = Request::read(&mut BufReader::with_capacity(1, &mut stream)) else { return };
                    let number = {
                        let mut requests = requests.lock().unwrap();
                        requests.push(request.clone());
                        requests.len() - 1
                    };
                    // The client may have left, which is its right.
                    let _left = answer(number, &request, &mut stream).and_then(|()| stream.flush());
                });
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.certificate.is_empty() { "http" } else { "https" };
        format!("{scheme}://localhost:{}", self.addr.port())
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

/// A status, headers one a line, and a body as long as `content-length` says or not.
pub(crate) fn answer(out: &mut dyn Stream, status: &str, headers: &[&str], body: &[u8]) -> io::Result<()> {
    write!(out, "HTTP/1.1 {status}\r\nconnection: close\r\n")?;
    headers.iter().try_for_each(|header| write!(out, "{header}\r\n"))?;
    out.write_all(b"\r\n")?;
    out.write_all(body)
}

/// The whole file.
pub(crate) fn whole(out: &mut dyn Stream, body: &[u8]) -> io::Result<()> {
    answer(out, "200 OK", &[&format!("content-length: {}", body.len()), "etag: \"v1\""], body)
}

/// The file's head, less than was promised.
pub(crate) fn cut(out: &mut dyn Stream, body: &[u8], after: usize) -> io::Result<()> {
    answer(out, "200 OK", &[&format!("content-length: {}", body.len()), "etag: \"v1\""], &body[..after])
}

/// The part that the request asks for, or the whole file.
pub(crate) fn range(request: &Request, out: &mut dyn Stream, body: &[u8]) -> io::Result<()> {
    let asked = request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let Some(from) = asked else { return whole(out, body) };
    let headers = [format!("content-length: {}", body.len() - from), format!("content-range: bytes {from}-{}/{}", body.len() - 1, body.len())];
    answer(out, "206 Partial Content", &[&headers[0], &headers[1]], &body[from..])
}
