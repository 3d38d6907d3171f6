//! `senet serve` on an S3 bucket: what is fetched, kept, served and said.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use super::s3::{S3, SECRET};
use super::service_support::Service;
use super::{Client, entries, get, network, picture, post};

const URL: &str = "s3://bucket/models";

/// A bucket with version 1 of `tiny`.
fn bucket() -> S3 {
    let s3 = S3::start();
    s3.put("models/tiny/1/model.onnx", &network());
    s3.put("models/tiny/1/labels.txt", b"a\nb\nc\nd\n");
    s3
}

fn serve(client: &Client, s3: &S3, args: &[&str]) -> Service {
    Service::start(client.senet_for(s3).args(["serve", "--models", URL]).args(args))
}

/// The sentence that a service ends with which does not start.
fn refusal(service: Service) -> String {
    let (code, said) = service.refusal();
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    said
}

#[test]
fn the_models_of_a_bucket_are_served_each_in_its_highest_version() {
    let (s3, client) = (bucket(), Client::new());
    s3.put("models/tiny/2/model.onnx", &network());
    s3.put("models/README.md", b"no model");
    s3.put("models/.draft/model.onnx", b"nor this");
    s3.put("elsewhere/net/model.onnx", b"nor this");
    for file in ["model.onnx", "model.toml", "labels.txt"] {
        let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cifar10_se_resnet").join(file);
        s3.put(&format!("models/cats/{file}"), &fs::read(bundled).unwrap());
    }
    let mut service = serve(&client, &s3, &["--require", "tiny"]);
    let addr = service.logged("listening on http://")["addr"].as_str().unwrap().to_owned();
    assert!(service.logged("fetched s3://bucket/models/")["bytes"].as_u64().unwrap() > 0);
    assert_eq!(service.logged("ready")["models"], 2);

    let models = get(&format!("http://{addr}/v1/models"));
    let served: Vec<_> = models["models"].as_array().unwrap().iter().map(|model| (model["name"].as_str(), model["version"].as_str())).collect();
    assert_eq!(served, [(Some("cifar10_se_resnet"), Some("1")), (Some("tiny"), Some("2"))]);
    let answer = post(&format!("http://{addr}/v1/classify"), &picture());
    assert_eq!((&answer["model"]["name"], &answer["predictions"][0]["label"]), (&"cifar10_se_resnet".into(), &"cat".into()));
    let mut fetched = s3.fetched();
    fetched.sort();
    assert_eq!(fetched, ["models/cats/labels.txt", "models/cats/model.onnx", "models/cats/model.toml", "models/tiny/2/model.onnx"]);
    assert_eq!(entries(&client.cache().join("tmp")).len(), 0);
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn a_second_start_fetches_nothing_and_what_was_damaged_meanwhile_alone() {
    let (s3, client) = (bucket(), Client::new());
    let start = || {
        let mut service = serve(&client, &s3, &[]);
        service.logged("ready");
        assert_eq!(service.terminate(), Some(0));
        s3.fetched()
    };
    assert_eq!(start().len(), 2);
    assert_eq!(start(), [""; 0]);
    let network_of = |client: &Client| client.blobs().into_iter().find(|blob| fs::read(blob).unwrap().len() > 100).unwrap();
    let mut damaged = fs::read(network_of(&client)).unwrap();
    damaged[50] ^= 1;
    fs::write(network_of(&client), &damaged).unwrap();
    assert_eq!(start(), ["models/tiny/1/model.onnx"]);
    fs::write(network_of(&client), &damaged[..101]).unwrap();
    assert_eq!(start(), ["models/tiny/1/model.onnx"]);
    assert_eq!(fs::read(network_of(&client)).unwrap(), network());
}

#[test]
fn a_start_without_the_store_serves_what_it_had_and_says_so() {
    let (s3, client) = (bucket(), Client::new());
    let mut service = serve(&client, &s3, &[]);
    service.logged("ready");
    assert_eq!(service.terminate(), Some(0));

    let mut command = client.senet_for(&s3);
    drop(s3);
    let mut service = Service::start(command.args(["serve", "--models", URL]));
    let warned = service.logged("does not answer")["message"].as_str().unwrap().to_owned();
    assert!(
        warned.starts_with("s3://bucket/models does not answer (") && warned.contains("what it had at the last start is served from"),
        "{warned}"
    );
    assert_eq!(service.logged("loaded")["model"], "tiny");
    service.logged("ready");
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn a_start_with_neither_store_nor_cache_ends_with_the_address_and_advice() {
    let (s3, client) = (bucket(), Client::new());
    let mut command = client.senet_for(&s3);
    drop(s3);
    let said = refusal(Service::start(command.args(["serve", "--models", URL])));
    assert!(said.starts_with("senet: cannot load the models: cannot reach s3://bucket/models: "), "{said}");
    assert!(said.ends_with("; check the address, the network, the endpoint's variable and HTTPS_PROXY\n"), "{said}");
}

#[test]
fn wrong_credentials_and_missing_buckets_are_told_without_secrets() {
    let (s3, client) = (bucket(), Client::new());
    let mut command = client.senet_for(&s3);
    let said = refusal(Service::start(command.env("AWS_SECRET_ACCESS_KEY", "wrong-secret").args(["serve", "--models", URL])));
    assert!(said.starts_with("senet: cannot load the models: cannot read s3://bucket/models: SignatureDoesNotMatch"), "{said}");
    assert!(said.contains("; set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION"), "{said}");
    assert!(!said.contains("wrong-secret") && !said.contains(SECRET), "{said}");

    let said = refusal(Service::start(client.senet_for(&s3).args(["serve", "--models", "s3://nowhere/models"])));
    assert!(said.contains("cannot read s3://nowhere/models: NoSuchBucket"), "{said}");
    let said = refusal(Service::start(client.senet_for(&s3).args(["serve", "--models", "s3://bucket/empty"])));
    assert_eq!(said, "senet: cannot load the models: s3://bucket/empty: it holds no model folder, expected <name>/model.onnx\n");
}

#[test]
fn watching_loads_a_new_version_drops_the_files_of_the_old_one_and_outlives_the_store() {
    let (s3, client) = (bucket(), Client::new());
    let mut service = serve(&client, &s3, &["--watch", "50ms"]);
    let addr = service.logged("listening on http://")["addr"].as_str().unwrap().to_owned();
    assert_eq!(service.logged("loaded")["version"], "1");
    service.logged("ready");
    assert_eq!(client.blobs().len(), 2);
    fs::remove_dir_all(s3.bucket().join("models/tiny/1")).unwrap();
    s3.put("models/tiny/2/model.onnx", &network());
    assert_eq!(service.logged("loaded")["version"], "2");

    drop(s3);
    let said = service.logged("cannot reach s3://bucket/models: ")["message"].as_str().unwrap().to_owned();
    assert!(said.contains("cannot reach s3://bucket/models: ") && said.ends_with("; those that are served go on"), "{said}");
    let answer = post(&format!("http://{addr}/v1/classify"), &picture());
    assert_eq!(answer["model"]["version"], "2");
    assert_eq!(client.blobs().len(), 1, "the labels of version 1 are needed no more");
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn sighup_and_operators_load_versions_and_a_broken_one_is_told_by_its_address() {
    let (s3, client) = (bucket(), Client::new());
    s3.put("models/tiny/2/model.onnx", &network());
    // The log does not say which port the system would choose.
    let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut service = serve(&client, &s3, &["--admin-addr", &admin, "--model-control"]);
    service.logged("ready");
    let load = |version: &str| post(&format!("http://{admin}/v1/models/tiny/load{version}"), b"");
    assert_eq!(load("?version=1")["version"], "1");
    let refused = load("?version=7")["detail"].as_str().unwrap().to_owned();
    assert!(refused.contains("s3://bucket/models/tiny: it has no version 7, expected one of 1, 2"), "{refused}");
    assert_eq!(load("")["version"], "2");

    s3.put("models/tiny/3/model.onnx", b"no network");
    service.signal("HUP");
    let said = service.logged("tiny/3/model.onnx")["message"].as_str().unwrap().to_owned();
    assert!(said.starts_with("cannot load tiny: s3://bucket/models/tiny/3/model.onnx: ") && said.ends_with("; version 2 goes on serving"), "{said}");
    assert!(!said.contains("cache"), "{said}");
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn models_are_named_as_in_a_folder() {
    let (s3, client) = (bucket(), Client::new());
    s3.put("models/tiny/2/model.onnx", &network());
    s3.put("models/other/model.onnx", &network());
    let mut service = serve(&client, &s3, &["--model", "tiny@1"]);
    assert_eq!(service.logged("loaded")["version"], "1");
    assert_eq!(service.logged("ready")["models"], 1);
    assert_eq!(service.terminate(), Some(0));
    let said = refusal(serve(&client, &s3, &["--model", "no-such"]));
    assert_eq!(said, "senet: cannot load the models: no model \"no-such\" in s3://bucket/models, expected one of other, tiny\n");
    let said = refusal(serve(&client, &s3, &["--require", "no-such"]));
    assert!(said.contains("no model \"no-such\""), "{said}");
}

#[test]
fn a_cache_that_cannot_be_written_is_told_with_a_way_out() {
    let (s3, client) = (bucket(), Client::new());
    let cache = "/dev/null/cache";
    let said = refusal(Service::start(client.senet_for(&s3).env("SENET_MODELS_CACHE", cache).args(["serve", "--models", URL])));
    let way_out = "name a folder that can be written with --models-cache or SENET_MODELS_CACHE\n";
    assert!(said.contains("cannot use /dev/null/cache as the cache of models: ") && said.ends_with(way_out), "{said}");
}
