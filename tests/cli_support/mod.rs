//! Runs the real binary, in an environment without any `SENET_…` variable.

use std::ffi::OsStr;
use std::process::{Command, Output};

/// What the binary said and how it ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("senet writes UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// `senet`, ready for arguments.
pub(crate) fn senet() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_senet"));
    let ours = std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("SENET_"));
    for name in ours {
        command.env_remove(name);
    }
    command
}

/// Runs `senet` with `args` to its end.
pub(crate) fn run(args: &[impl AsRef<OsStr>]) -> Ended {
    senet().args(args).output().expect("senet starts").into()
}
