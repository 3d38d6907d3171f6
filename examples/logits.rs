//! Runs an ONNX file on raw numbers, for scripts that compare engines.
//!
//! `cargo run --release --example logits -- MODEL.onnx 1,3,224,224 all|nothing [INSTRUCTION_SET] < input.f32 > logits.f32`
//!
//! Input and output are little-endian `f32`, row-major; of several inputs behind each other, each is run. `nothing` is stock tract without rewrites.

use std::error::Error;
use std::io::{self, Read, Write};

use senet::inference::{Gates, Lowering, Network, Rewrite};
use senet::kernels::Simd;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, shape, rewrite, level @ ..] = arguments.as_slice() else {
        return Err("expected MODEL.onnx SHAPE all|nothing [INSTRUCTION_SET]".into());
    };
    let shape = shape.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
    let rewrite = match rewrite.as_str() {
        "all" => Rewrite::All(Lowering::default()),
        "nothing" => Rewrite::Nothing,
        other => return Err(format!("{other:?}, expected all or nothing").into()),
    };
    let simd = match level {
        [] => Simd::detect(),
        [level, ..] => Simd::request(level.parse()?)?,
    };
    let network = Network::load(std::fs::read(model)?, &shape, simd, rewrite)?;
    let mut bytes = vec![];
    io::stdin().read_to_end(&mut bytes)?;
    let inputs: Vec<f32> = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    for input in inputs.chunks(shape.iter().product()) {
        let inference = network.run(input, Gates::Drop)?;
        io::stdout().write_all(&inference.logits.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())?;
    }
    Ok(())
}
