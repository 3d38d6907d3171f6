//! Loading a model for trial in a process of its own: `senet trial`, which is this program again, with limits of its own.

use std::fs;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, available_parallelism};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};

use super::error::ModelError;
use super::limits::LoadLimits;
use super::location::Location;
use super::source::bytes_of;
use crate::inference::LoadOptions;
use crate::kernels::maps::Winograd;

/// Address space of a trial beside what the files ask for: the program, the stacks of its threads, values between operators.
const LEAST_MEMORY: u64 = 2 << 30;
/// Of address space, for each byte of the model's files: loading takes up to 2.6, and the allocator reserves more.
const MEMORY_OF_FILES: u64 = 8;
/// Of address space, for each image of a batch.
const MEMORY_OF_IMAGE: u64 = 256 << 20;
/// Bytes of what a trial says that are looked at.
const MAX_SAID: u64 = 16 << 10;
/// Characters of what a trial says that are passed on.
const MAX_SENTENCE: usize = 1000;

/// Has `program` try the model at `location`.
///
/// # Errors
/// [`ModelError`], in the words of the trial or about its end.
pub(super) fn run(program: &Path, location: &Location, options: LoadOptions, limits: &LoadLimits) -> Result<(), ModelError> {
    let (place, memory) = (location.to_string(), limits.memory.unwrap_or_else(|| memory_for(location, options.batch)));
    let fail = |source| ModelError::Trial { place: place.clone(), source };
    let mut child = command(program, location, options, memory, limits.timeout).spawn().map_err(fail)?;
    let said = listen(child.stderr.take());
    match said.recv_timeout(limits.timeout) {
        Ok(said) => judge(child.wait().map_err(fail)?, &said, &place, memory, limits.timeout),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            end(child).map_err(fail)?;
            Err(ModelError::TooSlow { place, limit: limits.timeout })
        }
    }
}

/// What a trial does: gives itself limits, and loads the model at `location`.
///
/// # Errors
/// [`ModelError`], and [`ModelError::Trial`] where the system refuses a limit.
pub(crate) fn confined(location: &Location, options: LoadOptions, memory: u64, processor_seconds: u64) -> Result<(), ModelError> {
    confine(memory, processor_seconds).map_err(|source| ModelError::Trial { place: location.to_string(), source })?;
    LoadLimits { timeout: Duration::MAX, ..LoadLimits::default() }.load_here(location, options).map(drop)
}

/// The arguments behind `trial` are read by `cli::trial`.
fn command(program: &Path, location: &Location, options: LoadOptions, memory: u64, timeout: Duration) -> Command {
    let (path, version) = match location {
        Location::Folder { path, version } => (path.clone(), version.map_or_else(|| "-".to_owned(), |version| version.to_string())),
        Location::Onnx(path) => (path.clone(), "-".to_owned()),
        Location::Bundled => (PathBuf::new(), "-".to_owned()),
    };
    let winograd = match options.lowering.winograd {
        Winograd::Off => "off",
        Winograd::F2 => "f2",
        Winograd::F4 => "f4",
    };
    let cores = available_parallelism().map_or(1, |cores| cores.get() as u64);
    let processor_seconds = timeout.as_secs().saturating_add(1).saturating_mul(cores);
    let mut command = Command::new(program);
    command.args(["--simd", &options.simd.level().to_string(), "--winograd", winograd]);
    if (1..=1024).contains(&options.lowering.threads) {
        command.args(["--intra-op-threads", &options.lowering.threads.to_string()]);
    }
    command.args(options.strict.then_some("--strict"));
    command.args(["trial", &memory.to_string(), &processor_seconds.to_string(), &options.batch.to_string(), &version, "--"]).arg(path);
    // Neither credentials nor settings; the allocator would reserve 64 MiB of address space for every thread.
    command.env_clear().envs(std::env::var_os("LD_LIBRARY_PATH").map(|paths| ("LD_LIBRARY_PATH", paths))).env("MALLOC_ARENA_MAX", "2");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn memory_for(location: &Location, batch: usize) -> u64 {
    let files = bytes_of(location).saturating_mul(MEMORY_OF_FILES);
    LEAST_MEMORY.saturating_add(files).saturating_add(MEMORY_OF_IMAGE.saturating_mul(batch as u64))
}

/// Receives what the trial says, once it has ended.
fn listen(stderr: Option<ChildStderr>) -> std::sync::mpsc::Receiver<String> {
    let (sender, said) = channel();
    let listen = move |mut stderr: ChildStderr, sender: Sender<String>| {
        let mut bytes = Vec::new();
        let _broken_pipe = stderr.by_ref().take(MAX_SAID).read_to_end(&mut bytes);
        let _broken_pipe = io::copy(&mut stderr, &mut io::sink());
        // Nobody listens any more where the time is over.
        let _unheard = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    };
    if let Some(stderr) = stderr {
        // Without a thread the sender is dropped, and the trial is ended.
        drop(thread::Builder::new().name("senet-trial".to_owned()).spawn(move || listen(stderr, sender)));
    }
    said
}

fn end(mut child: Child) -> io::Result<()> {
    child.kill()?;
    child.wait().map(drop)
}

/// What the end of a trial means.
fn judge(status: ExitStatus, said: &str, place: &str, memory: u64, timeout: Duration) -> Result<(), ModelError> {
    let place = place.to_owned();
    if status.success() {
        return Ok(());
    }
    if let Some(asked) = asked_for(said) {
        return Err(ModelError::TooLarge { place, asked, limit: memory });
    }
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    let last: String = last.trim_start_matches("senet: ").chars().take(MAX_SENTENCE).collect();
    match (status.code(), status.signal()) {
        (Some(1), _) if last.contains("no memory") => Err(ModelError::Refused(format!("{last}; load_memory allows {memory} bytes"))),
        (Some(1), _) if !last.is_empty() => Err(ModelError::Refused(last)),
        (_, Some(signal)) if signal == Signal::XCPU.as_raw() => Err(ModelError::TooSlow { place, limit: timeout }),
        (_, Some(signal)) if signal == Signal::KILL.as_raw() => {
            Err(ModelError::Ended { place, how: "the system killed it, most likely for want of memory".to_owned() })
        }
        _ if said.contains("overflowed its stack") => Err(ModelError::Ended { place, how: "its graph is nested too deeply".to_owned() }),
        (Some(code), _) => Err(ModelError::Ended { place, how: format!("exit code {code}: {last}") }),
        (None, Some(signal)) => Err(ModelError::Ended { place, how: format!("signal {signal}") }),
        (None, None) => Err(ModelError::Ended { place, how: status.to_string() }),
    }
}

/// The bytes of the allocation that failed in a trial, as Rust's runtime says it when it aborts, and tract when it panics.
fn asked_for(said: &str) -> Option<u64> {
    let between = |open, close| said.split_once(open)?.1.split_once(close)?.0.parse().ok();
    between("memory allocation of ", " bytes failed").or_else(|| between("failed to allocate Layout { size: ", ","))
}

fn confine(memory: u64, processor_seconds: u64) -> io::Result<()> {
    // The service is gone before its trials only where it was killed.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    for (resource, limit) in [(Resource::As, memory), (Resource::Cpu, processor_seconds), (Resource::Core, 0), (Resource::Fsize, 0)] {
        let most = getrlimit(resource).maximum.map_or(limit, |most| most.min(limit));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    // Where memory is short, this process goes before all others; where /proc may not be written, the limits above have to do.
    let _read_only = fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(code_or_signal: i32, said: &str) -> String {
        judge(ExitStatus::from_raw(code_or_signal), said, "here", 100, Duration::from_secs(3)).unwrap_err().to_string()
    }

    #[test]
    fn every_end_of_a_trial_is_a_sentence() {
        assert!(judge(ExitStatus::from_raw(0), "", "here", 100, Duration::from_secs(3)).is_ok());
        assert_eq!(judged(1 << 8, "warning\nsenet: m.onnx: no\n"), "m.onnx: no");
        assert!(judged(6, "memory allocation of 824633720832 bytes failed\n").contains("824633720832 bytes"));
        assert!(judged(1 << 8, "senet: a: failed to allocate Layout { size: 824633721600, align: 64 }").contains("824633721600 bytes"));
        assert!(judged(1 << 8, "senet: a: no memory for 7 values").ends_with("; load_memory allows 100 bytes"));
        assert!(judged(9, "").contains("want of memory"));
        assert!(judged(24, "").contains("load_timeout"));
        assert!(judged(11, "").ends_with("(signal 11)"));
        assert!(judged(101 << 8, "x").ends_with("(exit code 101: x)"));
        assert!(judged(6, "thread 'a' has overflowed its stack\n").contains("nested too deeply"));
    }

    #[test]
    fn what_a_trial_says_is_passed_on_up_to_a_limit() {
        assert_eq!(judged(1 << 8, &"x".repeat(5000)).len(), MAX_SENTENCE);
    }
}
