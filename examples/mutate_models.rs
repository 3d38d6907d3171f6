//! Changes the small ONNX files of the tests in ways that nobody would export, and has `senet inspect` look at each: it must end by itself, with
//! exit code 0, or with 1 and one sentence, within the limits of time and memory.
//!
//!     cargo build --release --locked && cargo run --release --locked --example mutate_models -- --count 10000 --keep /tmp/found
//!
//! `--seed N` (default 1) chooses the changes, `--from N` the first of them, `--check false` does without the process that tries a model first,
//! and `--program PATH` names another `senet` than the one that was built.

use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use prost::Message;

#[path = "../tests/onnx_mutations/mod.rs"]
mod onnx_mutations;

use onnx_mutations::mutated;

/// Of the file's check, and of the whole program beyond it.
const LOAD_TIMEOUT: Duration = Duration::from_secs(20);
const LONGEST: Duration = Duration::from_secs(60);

struct Args {
    count: u64,
    seed: u64,
    from: u64,
    check: bool,
    keep: Option<PathBuf>,
    program: PathBuf,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = args()?;
    let originals = onnx_mutations::originals()?;
    let scratch = std::env::temp_dir().join(format!("senet-mutations-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    let (mut loaded, mut refused, mut wrong, mut slowest) = (0, 0, 0, Duration::ZERO);
    for number in args.from..args.from + args.count {
        let (name, changes, file) = mutated(&originals, args.seed, number);
        let path = scratch.join(format!("{number}.onnx"));
        let bytes = file.encode_to_vec();
        fs::write(&path, &bytes)?;
        let start = Instant::now();
        let ended = inspect(&args.program, &path, args.check)?;
        slowest = slowest.max(start.elapsed());
        match ended.verdict(&path) {
            Ok(true) => loaded += 1,
            Ok(false) => refused += 1,
            Err(why) => {
                wrong += 1;
                println!("{number} ({name}; {}): {why}", changes.join("; "));
                if let Some(keep) = &args.keep {
                    fs::create_dir_all(keep)?;
                    fs::write(keep.join(format!("{}-{number}.onnx", args.seed)), &bytes)?;
                }
            }
        }
        fs::remove_file(&path)?;
    }
    fs::remove_dir_all(&scratch)?;
    println!(
        "{} files: {loaded} loaded, {refused} refused in a sentence, {wrong} otherwise; the slowest took {:.1} s",
        args.count,
        slowest.as_secs_f64()
    );
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn args() -> Result<Args, Box<dyn Error>> {
    let built = std::env::current_exe()?.parent().and_then(Path::parent).ok_or("no folder of builds")?.join("senet");
    let mut args = Args { count: 200, seed: 1, from: 0, check: true, keep: None, program: built };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let value = given.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--count" => args.count = value.parse()?,
            "--seed" => args.seed = value.parse()?,
            "--from" => args.from = value.parse()?,
            "--check" => args.check = value.parse()?,
            "--keep" => args.keep = Some(value.into()),
            "--program" => args.program = value.into(),
            _ => return Err(format!("{name} is no option: --count, --seed, --from, --check, --keep, --program").into()),
        }
    }
    Ok(args)
}

/// How the program ended; without a code it was a signal.
struct Ended {
    code: Option<i32>,
    stderr: String,
    took: Duration,
}

impl Ended {
    /// Whether the file was loaded or refused.
    fn verdict(&self, path: &Path) -> Result<bool, String> {
        let place = path.display().to_string();
        let sentence = self.stderr.trim_end();
        match self.code {
            _ if self.took > LONGEST => Err(format!("it took {:.1} s", self.took.as_secs_f64())),
            _ if self.stderr.contains("panicked at") || self.stderr.contains("RUST_BACKTRACE") => Err(format!("panic text: {sentence}")),
            Some(0) => Ok(true),
            // What the check ended by is a fault of what it did, though the service would live.
            Some(1) if sentence.contains("signal") || sentence.contains("exit code") => Err(sentence.to_owned()),
            Some(1) if sentence.lines().count() == 1 && sentence.starts_with("senet: ") && sentence.len() < 1200 + place.len() => Ok(false),
            code => Err(format!("exit code {code:?}: {sentence}")),
        }
    }
}

fn inspect(program: &Path, path: &Path, check: bool) -> Result<Ended, Box<dyn Error>> {
    let start = Instant::now();
    let timeout = format!("{}s", LOAD_TIMEOUT.as_secs());
    let mut command = Command::new(program);
    command.args(["inspect", "--json", "--load-timeout", &timeout, "--check-models", if check { "true" } else { "false" }]).arg(path);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut pipe = child.stderr.take().ok_or("no standard error")?;
    let (sender, said) = channel();
    thread::spawn(move || {
        let mut text = Vec::new();
        // A reader that fails has said what there was.
        let _unread = pipe.by_ref().take(1 << 16).read_to_end(&mut text);
        sender.send(String::from_utf8_lossy(&text).into_owned())
    });
    let stderr = said.recv_timeout(LONGEST).unwrap_or_else(|_| {
        let _ended_meanwhile = child.kill();
        "it did not end".to_owned()
    });
    Ok(Ended { code: child.wait()?.code(), stderr, took: start.elapsed() })
}
