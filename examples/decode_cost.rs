//! What decoding pictures costs, for `SECURITY.md`: the worst that a format has is measured, not supposed.
//!
//! `cargo run --release --example decode_cost -- FILE...` decodes each file whole, in a process of its own, within the default limits, and prints the
//! megabytes by which the process grew at its peak, the file itself not counted, the milliseconds of a core, and what came of it. Linux only.

use std::error::Error;
use std::process::Command;
use std::{env, fs};

use senet::image::{Limits, decode};

type Anything<T> = Result<T, Box<dyn Error>>;

fn main() -> Anything<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => Err("expected files".into()),
        [option, file] if option == "--one" => one(file),
        files => files.iter().try_for_each(|file| {
            let output = Command::new(env::current_exe()?).args(["--one", file]).output()?;
            print!("{}", String::from_utf8_lossy(&output.stdout));
            if output.status.success() { Ok(()) } else { Err(format!("{file}: {}", output.status).into()) }
        }),
    }
}

fn one(file: &str) -> Anything<()> {
    let bytes = fs::read(file)?;
    fs::write("/proc/self/clear_refs", "5")?;
    let (memory, time) = (status("VmRSS:")?, cpu_nanoseconds()?);
    let result = decode(&bytes, &Limits::default());
    let (memory, time) = (status("VmHWM:")?.saturating_sub(memory), cpu_nanoseconds()? - time);
    let outcome = match result {
        Ok(decoded) => format!("decoded {}×{}", decoded.pixels.width(), decoded.pixels.height()),
        Err(error) => error.to_string(),
    };
    println!("{:>6.0} MB {:>7.0} ms  {file}: {outcome}", memory as f64 / 1e6, time as f64 / 1e6);
    Ok(())
}

/// The process's memory in bytes, under this name of `/proc/self/status`.
fn status(name: &str) -> Anything<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// What the main thread has used of a core.
fn cpu_nanoseconds() -> Anything<u64> {
    let statistics = fs::read_to_string("/proc/self/schedstat")?;
    Ok(statistics.split(' ').next().unwrap_or_default().parse()?)
}
