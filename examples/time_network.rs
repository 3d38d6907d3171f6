//! Runs an ONNX file whenever it is told to and says how long that took, for scripts that compare engines in turns.
//!
//! `cargo run --release --example time_network -- MODEL.onnx INPUT.f32 1,3,224,224 f4|f2|off|nothing best|avx512|avx2|neon|scalar`
//!
//! `INPUT.f32` is little-endian `f32`, row-major; `nothing` is stock tract without rewrites, the others say how far convolutions may be
//! Winograd's. First come two lines: the microseconds that loading and the first run took, and the logits. Then every number read from standard
//! input is answered by a line with the microseconds of that many runs.

use std::error::Error;
use std::io::{self, Write};
use std::time::Instant;

use senet::inference::{Gates, Lowering, Network, Rewrite};
use senet::kernels::Simd;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, input, shape, rewrite, simd] = arguments.as_slice() else {
        return Err("expected MODEL.onnx INPUT.f32 SHAPE f4|f2|off|nothing LEVEL".into());
    };
    let shape = shape.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
    let rewrite = match rewrite.as_str() {
        "nothing" => Rewrite::Nothing,
        winograd => Rewrite::All(Lowering { winograd: winograd.parse()?, ..Lowering::default() }),
    };
    let simd = match simd.as_str() {
        "best" => Simd::detect(),
        level => Simd::request(level.parse()?)?,
    };
    let input: Vec<f32> = std::fs::read(input)?.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let start = Instant::now();
    let network = Network::load(std::fs::read(model)?, &shape, simd, rewrite)?;
    let logits = network.run(&input, Gates::Drop)?.logits;
    say([start.elapsed().as_micros()])?;
    say(logits)?;
    for runs in io::stdin().lines() {
        let time = |_| {
            let start = Instant::now();
            network.run(&input, Gates::Drop)?;
            Ok(start.elapsed().as_nanos() as f64 / 1e3)
        };
        say((0..runs?.parse::<usize>()?).map(time).collect::<Result<Vec<f64>, Box<dyn Error>>>()?)?;
    }
    Ok(())
}

/// One line, at once.
fn say(values: impl IntoIterator<Item: ToString>) -> io::Result<()> {
    let words: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    let mut out = io::stdout().lock();
    writeln!(out, "{}", words.join(" "))?;
    out.flush()
}
