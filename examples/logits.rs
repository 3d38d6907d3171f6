//! Runs an ONNX file on raw numbers, for scripts that compare engines.
//!
//! `cargo run --release --example logits -- MODEL.onnx 1,3,224,224 all|nothing < input.f32 > logits.f32`
//!
//! Input and output are little-endian `f32`, row-major. `nothing` is stock tract without rewrites.

use std::error::Error;
use std::io::{self, Read, Write};

use senet::inference::{Gates, Lowering, Network, Rewrite};
use senet::kernels::Simd;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, shape, rewrite] = arguments.as_slice() else { return Err("expected MODEL.onnx SHAPE all|nothing".into()) };
    let shape = shape.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
    let rewrite = match rewrite.as_str() {
        "all" => Rewrite::All(Lowering::default()),
        "nothing" => Rewrite::Nothing,
        other => return Err(format!("{other:?}, expected all or nothing").into()),
    };
    let onnx = std::fs::read(model)?;
    let network = Network::load(&onnx, &shape, Simd::detect(), rewrite)?;
    let mut bytes = vec![];
    io::stdin().read_to_end(&mut bytes)?;
    let input: Vec<f32> = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let inference = network.run(&input, Gates::Drop)?;
    io::stdout().write_all(&inference.logits.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())?;
    Ok(())
}
