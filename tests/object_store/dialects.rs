//! Google's and Azure's stores, as far as emulators at an address of their own show it: the right request, and its answer understood.

use super::Client;
use super::network;
use super::server::{Server, answer, whole};
use super::service_support::Service;

/// Answers requests that hold `asks_for_list` with `list`, others with a network.
fn emulator(asks_for_list: &'static str, list: String) -> Server {
    Server::start(move |_, request, out| match request.line.contains(asks_for_list) {
        true => answer(out, "200 OK", &[&format!("content-length: {}", list.len())], list.as_bytes()),
        false => {
            let length = format!("content-length: {}", network().len());
            answer(out, "200 OK", &[&length, "etag: \"v1\"", "last-modified: Mon, 24 Nov 2025 10:00:00 GMT"], &network())
        }
    })
}

#[test]
fn gs_asks_googles_interface() {
    let list = format!(
        "<?xml version='1.0'?><ListBucketResult><Name>bucket</Name><Contents><Key>models/tiny/model.onnx</Key><ETag>\"v1\"</ETag>\
         <Size>{}</Size><LastModified>2025-11-24T10:00:00.000Z</LastModified></Contents></ListBucketResult>",
        network().len()
    );
    let server = emulator("list-type=2", list);
    let client = Client::new();
    let mut command = client.senet();
    command.env("GOOGLE_BASE_URL", server.url()).env("GOOGLE_BEARER_TOKEN", "a-token");
    let mut service = Service::start(command.args(["serve", "--models", "gs://bucket/models"]));
    service.logged("fetched gs://bucket/models/tiny");
    assert_eq!(service.logged("loaded")["model"], "tiny");
    assert_eq!(service.terminate(), Some(0));
    let requests = server.requests();
    assert!(requests[0].line.starts_with("GET /bucket?") && requests[0].line.contains("prefix=models"), "{requests:?}");
    assert_eq!(requests[1].line, "GET /bucket/models%2Ftiny%2Fmodel%2Eonnx HTTP/1.1");
    assert!(requests.iter().all(|request| request.header("authorization") == Some("Bearer a-token")), "{requests:?}");
}

#[test]
fn az_asks_azures_interface() {
    let list = format!(
        "<?xml version=\"1.0\"?><EnumerationResults><Blobs><Blob><Name>models/tiny/model.onnx</Name><Properties>\
         <Last-Modified>Mon, 24 Nov 2025 10:00:00 GMT</Last-Modified><Etag>\"v1\"</Etag><Content-Length>{}</Content-Length>\
         <Content-Type>application/octet-stream</Content-Type></Properties></Blob></Blobs><NextMarker/></EnumerationResults>",
        network().len()
    );
    let server = emulator("comp=list", list);
    let client = Client::new();
    let mut command = client.senet();
    command.env("AZURE_STORAGE_ACCOUNT_NAME", "account").env("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0").env("AZURE_STORAGE_ENDPOINT", server.url());
    let mut service = Service::start(command.env("AZURE_ALLOW_HTTP", "true").args(["serve", "--models", "az://container/models"]));
    service.logged("fetched az://container/models/tiny");
    assert_eq!(service.logged("loaded")["model"], "tiny");
    assert_eq!(service.terminate(), Some(0));
    let requests = server.requests();
    assert!(requests[0].line.starts_with("GET /container?") && requests[0].line.contains("prefix=models"), "{requests:?}");
    assert_eq!(requests[1].line, "GET /container/models/tiny/model.onnx HTTP/1.1");
    assert!(
        requests.iter().all(|request| request.header("authorization").is_some_and(|value| value.starts_with("SharedKey account:"))),
        "{requests:?}"
    );
}

#[test]
fn a_store_that_answers_nonsense_is_told() {
    let (server, client) = (Server::start(|_, _, out| whole(out, b"no list")), Client::new());
    let mut command = client.senet();
    command.env("GOOGLE_BASE_URL", server.url()).env("GOOGLE_SKIP_SIGNATURE", "true");
    let (code, said) = Service::start(command.args(["serve", "--models", "gs://bucket/models"])).refusal();
    assert_eq!(code, Some(1));
    assert!(said.contains("gs://bucket/models: "), "{said}");
}
