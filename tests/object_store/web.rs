//! A web server as an object store: WebDAV's PROPFIND and GET.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::server::{Request, Server, Stream, answer, cut, whole};
use super::service_support::Service;
use super::{Client, network};

/// Paths, bytes and tags of files as PROPFIND has them.
fn listing(files: &[(&str, usize, &str)]) -> Vec<u8> {
    let response = |(path, bytes, tag): &(&str, usize, &str)| {
        format!(
            "<D:response><D:href>{path}</D:href><D:propstat><D:status>HTTP/1.1 200 OK</D:status><D:prop><D:resourcetype/>\
             <D:getlastmodified>Mon, 24 Nov 2025 10:00:00 GMT</D:getlastmodified><D:getcontentlength>{bytes}</D:getcontentlength>\
             <D:getetag>\"{tag}\"</D:getetag></D:prop></D:propstat></D:response>"
        )
    };
    let responses: String = files.iter().map(response).collect();
    format!("<?xml version=\"1.0\"?><D:multistatus xmlns:D=\"DAV:\">{responses}</D:multistatus>").into_bytes()
}

fn listed(out: &mut dyn Stream, files: &[(&str, usize, &str)]) -> io::Result<()> {
    let body = listing(files);
    answer(out, "207 Multi-Status", &[&format!("content-length: {}", body.len())], &body)
}

fn is_listing(request: &Request) -> bool {
    request.line.starts_with("PROPFIND ")
}

fn serve(client: &Client, url: &str) -> Service {
    Service::start(client.senet().args(["serve", "--models", url]))
}

fn refusal(service: Service) -> String {
    let (code, said) = service.refusal();
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    said
}

/// Serves `tiny` from a folder called `models`.
fn one_model(_: usize, request: &Request, out: &mut dyn Stream) -> io::Result<()> {
    let network = network();
    if is_listing(request) { listed(out, &[("/models/tiny/model.onnx", network.len(), "v1")]) } else { whole(out, &network) }
}

#[test]
fn a_web_server_is_asked_by_propfind_with_user_and_password_that_nobody_reads() {
    let (server, client) = (Server::start(one_model), Client::new());
    let url = format!("{}/models/", server.url()).replace("http://", "http://me:s%40fe@");
    let mut service = serve(&client, &url);
    let fetched = service.logged("fetched http://localhost")["message"].as_str().unwrap().to_owned();
    assert!(fetched.contains("/models/tiny, ") && !fetched.contains("me:"), "{fetched}");
    assert_eq!(service.logged("loaded")["model"], "tiny");
    assert_eq!(service.terminate(), Some(0));
    let requests = server.requests();
    let lines: Vec<&str> = requests.iter().map(|request| request.line.as_str()).collect();
    assert_eq!(lines, ["PROPFIND /models HTTP/1.1", "GET /models/tiny/model.onnx HTTP/1.1"]);
    assert!(requests.iter().all(|request| request.header("authorization") == Some("Basic bWU6c0BmZQ==")), "{requests:?}");
    assert_eq!((requests[0].header("depth"), requests[1].header("if-match")), (Some("infinity"), Some("\"v1\"")));
}

#[test]
fn certificates_are_checked_against_the_roots_that_the_zoo_trusts() {
    let (server, client) = (Server::start_tls(one_model), Client::new());
    let url = format!("{}/models", server.url());
    let said = refusal(serve(&client, &url));
    assert!(said.contains(&format!("cannot reach {url}: ")) && said.to_lowercase().contains("certificate"), "{said}");
    let root = client.cache().with_extension("pem");
    std::fs::write(&root, &server.certificate).unwrap();
    let mut service = Service::start(client.senet().env("SSL_CERT_FILE", root).args(["serve", "--models", &url]));
    assert_eq!(service.logged("loaded")["model"], "tiny");
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn a_server_without_propfind_is_told_what_is_needed() {
    for status in ["405 Method Not Allowed", "501 Not Implemented"] {
        let (server, client) = (Server::start(move |_, _, out| answer(out, status, &["content-length: 0"], b"")), Client::new());
        let said = refusal(serve(&client, &format!("{}/models", server.url())));
        assert!(said.contains(&format!("/models: {status}; ")), "{said}");
        assert!(said.ends_with("is listed by WebDAV: the server must answer PROPFIND with `Depth: infinity`\n"), "{said}");
    }
    let (server, client) = (Server::start(|_, _, out| whole(out, b"<html>a page</html>")), Client::new());
    let said = refusal(serve(&client, &format!("{}/models", server.url())));
    assert!(said.ends_with("is listed by WebDAV: the server must answer PROPFIND with `Depth: infinity`\n"), "{said}");
}

#[test]
fn an_object_that_changes_between_listing_and_fetch_is_told_and_never_mixed() {
    for refuses in [true, false] {
        let changed = Arc::new(AtomicBool::new(true));
        let is_changed = Arc::clone(&changed);
        let server = Server::start(move |_, request, out| match (is_listing(request), is_changed.load(Ordering::SeqCst), refuses) {
            (true, true, _) => listed(out, &[("/models/tiny/model.onnx", network().len(), "v0")]),
            (true, false, _) => listed(out, &[("/models/tiny/model.onnx", network().len(), "v1")]),
            (false, true, true) => answer(out, "412 Precondition Failed", &["content-length: 0"], b""),
            (false, ..) => whole(out, &network()),
        });
        let (client, url) = (Client::new(), format!("{}/models", server.url()));
        let said = refusal(serve(&client, &url));
        let expected =
            format!("{url}/tiny/model.onnx has changed since it was listed; the next look, at SIGHUP or by --watch, fetches the new one\n");
        assert_eq!(said, format!("senet: cannot load the models: {expected}"));
        assert_eq!(client.blobs().len(), 0);
        changed.store(false, Ordering::SeqCst);
        let mut service = serve(&client, &url);
        assert_eq!(service.logged("loaded")["model"], "tiny");
        assert_eq!(service.terminate(), Some(0));
    }
}

#[test]
fn a_body_that_breaks_off_goes_on_where_it_did() {
    let fetches = Arc::new(AtomicUsize::new(0));
    let server = Server::start(move |_, request, out| match is_listing(request) {
        true => listed(out, &[("/models/tiny/model.onnx", network().len(), "v1")]),
        false if fetches.fetch_add(1, Ordering::SeqCst) == 0 => cut(out, &network(), 100),
        false => {
            let asked = request.header("range").unwrap().replace("bytes=", "bytes ");
            let headers = [format!("content-length: {}", network().len() - 100), format!("content-range: {asked}/{}", network().len())];
            answer(out, "206 Partial Content", &[&headers[0], &headers[1], "etag: \"v1\""], &network()[100..])
        }
    });
    let client = Client::new();
    let mut service =
        Service::start(client.senet().env("SENET_MODELS_PATIENCE", "30s").args(["serve", "--models", &format!("{}/models", server.url())]));
    assert_eq!(service.logged("loaded")["model"], "tiny");
    assert_eq!(service.terminate(), Some(0));
    let again = server.requests().pop().unwrap();
    assert!(again.header("range").unwrap().starts_with("bytes=100-"), "{again:?}");
    assert_eq!(again.header("if-match"), Some("\"v1\""));
}

#[test]
fn files_that_are_too_large_are_not_fetched() {
    let server = Server::start(|_, _, out| listed(out, &[("/models/tiny/model.onnx", 3_000_000_000, "v1")]));
    let (client, url) = (Client::new(), format!("{}/models", server.url()));
    let said = refusal(serve(&client, &url));
    let reason = "its file tiny/model.onnx has 3000000000 bytes, expected at most 2147483647";
    assert_eq!(said, format!("senet: cannot load the models: {url}/tiny: {reason}\n"));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_file_that_is_longer_than_it_was_listed_is_not_taken() {
    let server = Server::start(|_, request, out| match is_listing(request) {
        true => listed(out, &[("/models/tiny/model.onnx", 10, "v1")]),
        false => whole(out, &network()),
    });
    let client = Client::new();
    assert!(refusal(serve(&client, &format!("{}/models", server.url()))).contains("has changed since it was listed"));
    assert_eq!(client.blobs().len(), 0);
}

#[test]
fn paths_that_no_folder_can_have_are_refused_with_the_store_that_has_them() {
    let hostile = ["/models/%2E%2E/%2E%2E/etc/x", "/models/a%2F..%2Fx", "/models//x", "/models/a%01b/x", "/elsewhere/net/model.onnx"];
    for path in hostile {
        let written = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::clone(&written);
        let server = Server::start(move |_, request, out| match is_listing(request) {
            true => listed(out, &[(path, network().len(), "v1")]),
            false => {
                asked.lock().unwrap().push(request.line.clone());
                whole(out, &network())
            }
        });
        let (client, url) = (Client::new(), format!("{}/models", server.url()));
        let said = refusal(serve(&client, &url));
        assert!(said.starts_with("senet: cannot load the models: ") && said.contains(&url), "{path}: {said}");
        assert_eq!(*written.lock().unwrap(), [""; 0], "{path}");
    }
}

#[test]
fn a_prefix_may_have_any_name() {
    let server = Server::start(move |_, request, out| match is_listing(request) {
        true => listed(out, &[("/models/M%C3%BCller%20%26%20Co/model.onnx", network().len(), "v1")]),
        false => whole(out, &network()),
    });
    let (client, url) = (Client::new(), format!("{}/models", server.url()));
    let mut service = serve(&client, &url);
    assert_eq!(service.logged("loaded")["model"], "Müller & Co");
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn names_that_no_model_can_have_are_told_as_for_a_folder() {
    let manifest = "[model]\nname = \"no/name\"\n";
    let server = Server::start(move |_, request, out| match (is_listing(request), request.line.contains("model.toml")) {
        (true, _) => listed(out, &[("/models/t%20y/model.onnx", network().len(), "v1"), ("/models/t%20y/model.toml", manifest.len(), "v1")]),
        (false, true) => whole(out, manifest.as_bytes()),
        (false, false) => whole(out, &network()),
    });
    let (client, url) = (Client::new(), format!("{}/models", server.url()));
    let said = refusal(serve(&client, &url));
    let expected = "expected 1 to 255 bytes without \"/\" and control characters, with no \".\" in front";
    assert_eq!(said, format!("senet: cannot load the models: {url}/t y/model.toml: model.name is \"no/name\", {expected}\n"));
}
