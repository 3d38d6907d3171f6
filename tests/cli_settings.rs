//! The command line's settings: file < environment < flag, and what a wrong one gets.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

mod cli_support;

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use cli_support::{Ended, run, senet};

fn file(content: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("senet.toml");
    fs::write(&path, content).unwrap();
    (folder, path)
}

/// `serve --print-config` with a file of `content`, the variables `env` and the flags `flags`.
fn settings(content: &str, env: &[(&str, &str)], flags: &[&str]) -> Ended {
    let (_folder, path) = file(content);
    let mut command = senet();
    command.arg("serve").arg("--print-config").arg("--config").arg(&path).envs(env.iter().copied()).args(flags);
    let mut ended: Ended = command.output().unwrap().into();
    let name = path.display().to_string();
    ended.stdout = ended.stdout.replace(&name, "senet.toml");
    ended.stderr = ended.stderr.replace(&name, "senet.toml");
    ended
}

fn value(printed: &str, key: &str) -> toml::Value {
    let table: toml::Table = printed.parse().expect("what is printed is TOML");
    table.get(key).unwrap_or_else(|| panic!("{key} in {printed}")).clone()
}

#[test]
fn the_file_wins_over_the_default_the_environment_over_the_file_and_the_flag_over_both() {
    let content = "queue = 1\nhttp_addr = \"127.0.0.1:1\"\n";
    let queue = |env: &[_], flags: &[_]| value(&settings(content, env, flags).stdout, "queue").as_integer();
    assert_eq!(value(&settings("", &[], &[]).stdout, "queue").as_integer(), Some(64));
    assert_eq!(queue(&[], &[]), Some(1));
    assert_eq!(queue(&[("SENET_QUEUE", "2")], &[]), Some(2));
    assert_eq!(queue(&[("SENET_QUEUE", "2")], &["--queue", "3"]), Some(3));
    assert_eq!(queue(&[("SENET_QUEUE", "")], &[]), Some(1), "an empty variable counts as unset");
}

#[test]
fn what_is_printed_says_where_it_comes_from_and_reads_back() {
    let env = [("SENET_QUEUE", "2"), ("SENET_LOG_FORMAT", "json")];
    let first = settings("body_timeout = \"7s\"\nmodel = [\"a\", \"b\"]\n", &env, &["--workers", "3", "--simd", "scalar"]);
    assert_eq!((first.code, first.stderr.as_str()), (Some(0), ""));
    for origin in ["(senet.toml)\nbody_timeout = \"7s\"", "(SENET_QUEUE)\nqueue = 2", "(--workers)\nworkers = 3", "(default)\nmax_side = 16384"] {
        assert!(first.stdout.contains(origin), "{origin:?} in {}", first.stdout);
    }
    let second = settings(&first.stdout, &[], &[]);
    let (first, second): (toml::Table, toml::Table) = (first.stdout.parse().unwrap(), second.stdout.parse().unwrap());
    assert_eq!(first, second);
    assert_eq!(first["model"].as_array().map(Vec::len), Some(2));
    assert_eq!((first["simd"].as_str(), first["log_format"].as_str()), (Some("scalar"), Some("json")));
}

#[test]
fn an_unknown_key_is_bad_configuration_and_the_nearest_known_one_is_named() {
    let ended = settings("queue = 1\nhtp_addr = \"127.0.0.1:1\"\n", &[], &[]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(64), ""));
    assert_eq!(ended.stderr, "senet: senet.toml, line 2: unknown key \"htp_addr\", the nearest known one is \"http_addr\"\n");
}

#[test]
fn a_wrong_value_in_the_file_is_bad_configuration() {
    for (content, expected) in [
        ("queue = \"many\"", "senet: senet.toml: queue is \"many\", expected a whole number from 0 to 1000000\n"),
        ("header_timeout = 30", "senet: senet.toml: header_timeout is 30, expected a whole number and a unit, as in 500ms, 30s or 5m\n"),
        ("log_format = \"xml\"", "senet: senet.toml: log_format is \"xml\", expected one of auto, text, json\n"),
        ("queue = [1, 2]", "senet: senet.toml: queue is [1, 2], expected one value\n"),
        ("queue = {}", "senet: senet.toml, line 1: queue is {}, expected a string, a number, true or false, or a list of them\n"),
        ("queue 1", "senet: senet.toml, line 1: "),
    ] {
        let ended = settings(content, &[], &[]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(64), ""), "{content}");
        assert!(ended.stderr.starts_with(expected), "{content}: {}", ended.stderr);
    }
}

#[test]
fn a_wrong_value_in_the_environment_is_bad_configuration_and_a_typed_one_bad_usage() {
    let ended = settings("", &[("SENET_HTTP_ADDR", "nowhere")], &[]);
    assert_eq!(ended.code, Some(64));
    let expected = "expected an IP address and a port, as in 127.0.0.1:8080 or [::]:8080";
    assert_eq!(ended.stderr, format!("senet: SENET_HTTP_ADDR is \"nowhere\" in the environment, {expected}\n"));
    let ended = settings("", &[], &["--http-addr", "nowhere"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains(&format!("'nowhere' for '--http-addr <ADDR>': {expected}\n")), "{}", ended.stderr);
}

#[test]
fn a_value_out_of_range_is_answered_with_the_range() {
    for (args, expected) in [
        (["serve", "--queue", "-1"], "'-1' for '--queue <N>': expected a whole number from 0 to 1000000\n"),
        (["serve", "--queue", "9999999999999"], "expected a whole number from 0 to 1000000\n"),
        (["serve", "--workers", "0"], "'0' for '--workers <N>': expected a whole number from 1 to 1024\n"),
        (["serve", "--max-connections", "0"], "expected a whole number from 1 to 1000000\n"),
        (["serve", "--max-body-bytes", "16M"], "'16M' for '--max-body-bytes <BYTES>': expected a whole number of 1 or more\n"),
        (["serve", "--max-images-per-request", "0"], "expected a whole number of 1 or more\n"),
        (["serve", "--max-pixels", "0"], "expected a whole number of 1 or more\n"),
        (["serve", "--request-timeout", "0s"], "'0s' for '--request-timeout <TIME>': expected a time above zero\n"),
        (["classify", "--top-k", "0"], "expected a whole number of 1 or more\n"),
        (["classify", "--attention-top", "0"], "expected a whole number of 1 or more\n"),
        (["evaluate", "--threads", "0"], "expected a whole number from 1 to 1024\n"),
        (["bench", "--batch", "100000000"], "expected a whole number from 1 to 1024\n"),
    ] {
        let ended = run(&args);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(ended.stderr.contains(expected), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn a_variable_that_no_option_has_is_warned_of_with_the_nearest_one_and_without_its_value() {
    let ended = settings("", &[("SENET_QEUE", "hunter2"), ("SENET_SERVICE_HOST", "10.96.0.7")], &["--log-format", "text"]);
    assert_eq!(ended.code, Some(0));
    let expected = "SENET_QEUE is set in the environment, but no option has this variable; the nearest known one is SENET_QUEUE\n";
    assert!(ended.stderr.ends_with(expected) && ended.stderr.lines().count() == 1, "{}", ended.stderr);
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
}

#[test]
fn an_address_may_be_a_port_in_the_file_and_the_environment_too() {
    assert_eq!(value(&settings("http_addr = 8080\n", &[], &[]).stdout, "http_addr").as_integer(), Some(8080));
    for written in [":8080", "localhost:8080", "8080"] {
        let ended = settings("", &[("SENET_HTTP_ADDR", written), ("SENET_ADMIN_ADDR", written)], &[]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{written}");
    }
}

#[test]
fn keys_of_other_subcommands_are_known_and_ignored() {
    assert_eq!(settings("top_k = 3\nseconds = 1.5\njson = true\n", &[], &[]).code, Some(0));
}

#[test]
fn a_missing_file_is_bad_configuration() {
    let ended = run(&["serve", "--print-config", "--config", "/nowhere/senet.toml"]);
    assert_eq!(ended.code, Some(64));
    assert!(ended.stderr.starts_with("senet: cannot read /nowhere/senet.toml: No such file"), "{}", ended.stderr);
}

#[test]
fn the_file_may_be_a_pipe() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"queue = 7\n").unwrap();
    drop(writer);
    let ended: Ended = senet().args(["serve", "--print-config", "--config", "/dev/stdin"]).stdin(reader).output().unwrap().into();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(value(&ended.stdout, "queue").as_integer(), Some(7));
}

#[test]
fn an_instruction_set_that_the_machine_lacks_is_bad_configuration() {
    let foreign = if cfg!(target_arch = "aarch64") { "avx2" } else { "neon" };
    let ended = run(&["inspect", "--simd", foreign]);
    assert_eq!(ended.code, Some(64));
    assert!(ended.stderr.starts_with(&format!("senet: this machine has no {foreign}, the best it has is ")), "{}", ended.stderr);
    assert_eq!(run(&["inspect", "--simd", "mmx"]).code, Some(2));
}

#[test]
fn a_log_filter_that_cannot_be_read_is_bad_configuration() {
    let ended = run(&["inspect", "--log-filter", "senet=loud"]);
    assert_eq!(ended.code, Some(64));
    assert!(ended.stderr.contains("senet=loud"), "{}", ended.stderr);
}

#[test]
fn help_names_every_subcommand_and_teaches_by_example() {
    let help = run(&["--help"]);
    assert_eq!(help.code, Some(0));
    for word in ["serve", "classify", "inspect", "evaluate", "bench", "zoo", "healthcheck", "Examples:", "Exit codes:", "SENET_HTTP_ADDR"] {
        assert!(help.stdout.contains(word), "{word} in {}", help.stdout);
    }
    let help = run(&["serve", "--help"]);
    for word in ["[env: SENET_MAX_BODY_BYTES=]", "[default: 127.0.0.1:8080]", "[default: 10s]", "Examples:"] {
        assert!(help.stdout.contains(word), "{word} in {}", help.stdout);
    }
}

#[test]
fn bad_usage_ends_with_2() {
    for args in [&["serve", "--qeue", "1"][..], &["classify"], &["fly"], &[]] {
        assert_eq!(run(args).code, Some(2), "{args:?}");
    }
    assert!(run(&["serve", "--qeue", "1"]).stderr.contains("--queue"), "the nearest flag is named");
}

#[test]
fn the_documented_defaults_are_those_in_force() {
    let documented = include_str!("../docs/configuration.md");
    let printed: toml::Table = run(&["serve", "--print-config"]).stdout.parse().unwrap();
    for (key, value) in printed.iter().filter(|(key, _)| *key != "print_config") {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let row = documented.lines().find(|line| line.starts_with('|') && line.contains(&format!("`{key}`")));
        assert!(row.is_some_and(|row| row.contains(&value)), "{key} = {value} in {row:?}");
    }
}

#[test]
fn strictness_is_a_setting_like_any_other() {
    let strict = |content: &str, env: &[_], flags: &[_]| value(&settings(content, env, flags).stdout, "strict").as_bool();
    assert_eq!(strict("", &[], &[]), Some(false));
    assert_eq!(strict("strict = true\n", &[], &[]), Some(true));
    assert_eq!(strict("", &[("SENET_STRICT", "true")], &[]), Some(true));
    assert_eq!(strict("", &[], &["--strict"]), Some(true));
    assert_eq!(settings("strict = 3\n", &[], &[]).code, Some(64));
}
