//! What `--models` may be, and every command that takes it.

use std::fs;

use super::cli_support::Ended;
use super::s3::S3;
use super::service_support::Service;
use super::{Client, network};

fn ends(command: &mut std::process::Command) -> Ended {
    command.output().unwrap().into()
}

#[test]
fn a_file_address_is_a_folder() {
    let client = Client::new();
    let models = client.cache().with_file_name("my models");
    fs::create_dir_all(models.join("tiny")).unwrap();
    fs::write(models.join("tiny/model.onnx"), network()).unwrap();
    let url = format!("file://{}", models.display().to_string().replace(' ', "%20"));
    let mut service = Service::start(client.senet().args(["serve", "--models", &url]));
    assert_eq!(service.logged("loaded")["model"], "tiny");
    assert_eq!(service.terminate(), Some(0));
    assert!(!client.cache().exists(), "what is on this machine is not copied");
}

#[test]
fn an_address_that_means_nothing_is_bad_usage_or_configuration() {
    let client = Client::new();
    let typed = ends(client.senet().args(["serve", "--models", "ftp://host/models"]));
    assert_eq!(typed.code, Some(2));
    assert!(typed.stderr.contains("expected a folder, or an address that begins with s3://, gs://, az://"), "{}", typed.stderr);
    let set = ends(client.senet().arg("serve").env("SENET_MODELS", "ftp://host/models"));
    assert_eq!(set.code, Some(64));
    let pulled = ends(client.senet().args(["zoo", "pull", "lcnet_050", "--to", "s3://bucket"]));
    assert!(pulled.stderr.contains("expected a folder on this machine"), "{}", pulled.stderr);
    let both = ends(client.senet().args(["serve", "--models", "s3://bucket/models", "--pull"]));
    assert_eq!((both.code, both.stderr.lines().count()), (Some(64), 1), "{}", both.stderr);
}

#[test]
fn without_credentials_in_reach_the_sentence_says_which_to_set() {
    let client = Client::new();
    let mut command = client.senet();
    // A machine in a cloud would answer.
    command.env("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9").args(["serve", "--models", "s3://bucket/models"]);
    let (code, said) = Service::start(&mut command).refusal();
    assert_eq!(code, Some(1));
    assert!(said.contains("set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION"), "{said}");
}

#[test]
fn other_commands_take_a_model_of_a_store_by_its_name() {
    let (s3, client) = (S3::start(), Client::new());
    for version in ["1", "2"] {
        s3.put(&format!("models/tiny/{version}/model.onnx"), &network());
    }
    let inspect = |reference: &str| ends(client.senet_for(&s3).args(["inspect", reference, "--models", "s3://bucket/models", "--json"]));
    for (reference, version) in [("tiny", "2"), ("tiny@1", "1")] {
        let inspected = inspect(reference);
        let facts: serde_json::Value = serde_json::from_str(&inspected.stdout).unwrap_or_else(|error| panic!("{error}: {}", inspected.stderr));
        assert_eq!((&facts["name"], &facts["version"]), (&"tiny".into(), &version.into()));
    }
    let unknown = inspect("big");
    assert_eq!((unknown.code, unknown.stderr.as_str()), (Some(1), "senet: no model \"big\" in s3://bucket/models, expected one of tiny\n"));
}
