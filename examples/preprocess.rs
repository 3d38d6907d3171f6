//! Feeds a picture as a model would be fed, for scripts that compare contracts with the programs they come from.
//!
//! `cargo run --release --example preprocess -- FOLDER IMAGE > input.f32`
//!
//! Output is little-endian `f32` in the layout of the model in FOLDER; its warnings go to standard error.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;

use senet::image::{Limits, decode_part, needed, preprocess};
use senet::inference::LoadOptions;
use senet::model::{Location, Model};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, image] = arguments.as_slice() else { return Err("expected FOLDER IMAGE".into()) };
    let model = Model::load(&Location::Folder { path: PathBuf::from(folder), version: None }, LoadOptions::default())?;
    model.warnings().iter().for_each(|warning| eprintln!("{warning}"));
    let (_, picture) = decode_part(&std::fs::read(image)?, &Limits::default(), |size| needed(size, model.contract()))?;
    let input = preprocess(picture, model.contract());
    io::stdout().write_all(&input.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?;
    Ok(())
}
