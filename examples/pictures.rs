//! Reads pictures whenever it is told to, for scripts that compare that with Pillow.
//!
//! `cargo run --release --example pictures -- pixels|time`
//!
//! Every line of standard input is the path of a picture. `pixels` answers it with a line of width and height and the pixels, RGB, after it, or with a
//! line that begins with `error`. `time` answers with two numbers, the microseconds that decoding and preprocessing took together, to 224×224 after a
//! bilinear resize of the shorter side to 256, and those that decoding the whole picture took.

use std::error::Error;
use std::io::{self, Write};
use std::time::Instant;

use senet::image::{Color, CropOffset, InputContract, Interpolation, Layout, Limits, Resize, decode, decode_part, needed, preprocess};

const CONTRACT: InputContract = InputContract {
    size: [224, 224],
    resize: Resize::ShorterSide,
    resize_to: [256, 256],
    crop_offset: CropOffset::Nearest,
    interpolation: Interpolation::Bilinear,
    color: Color::Rgb,
    layout: Layout::Nchw,
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
    scale: 1.0 / 255.0,
};

fn main() -> Result<(), Box<dyn Error>> {
    let answer = match std::env::args().nth(1).as_deref() {
        Some("pixels") => pixels,
        Some("time") => time,
        _ => return Err("expected pixels or time".into()),
    };
    for path in io::stdin().lines() {
        let mut out = io::stdout().lock();
        out.write_all(&answer(&std::fs::read(path?)?)?)?;
        out.flush()?;
    }
    Ok(())
}

fn pixels(bytes: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    Ok(match decode(bytes, &Limits::default()) {
        Ok(picture) => [format!("{} {}\n", picture.pixels.width(), picture.pixels.height()).as_bytes(), &picture.pixels].concat(),
        Err(error) => format!("error {error}\n").into_bytes(),
    })
}

fn time(bytes: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let start = Instant::now();
    let (_, part) = decode_part(bytes, &Limits::default(), |size| needed(size, &CONTRACT))?;
    let tensor = preprocess(part, &CONTRACT);
    let feeding = start.elapsed();
    drop(tensor);
    let start = Instant::now();
    let picture = decode(bytes, &Limits::default())?;
    let decoding = start.elapsed();
    drop(picture);
    Ok(format!("{} {}\n", feeding.as_nanos() as f64 / 1e3, decoding.as_nanos() as f64 / 1e3).into_bytes())
}
