//! PNG: every colour type and depth, row by row, so that a 16-bit picture is never held whole.
//!
//! The decoder is given the chunks of the still picture alone: what else is in a file, and whether that is whole, does not matter to the pixels.

mod chunks;

use std::io::Cursor;

use image::RgbImage;
use png::{BitDepth, ColorType, Decoder, Reader, Transformations};

use self::chunks::Chunks;
use super::{DecodeError, Format, Limits, Stored, area};

type PngReader = Reader<Cursor<Vec<u8>>>;

/// What the decoder takes for rows and its window.
const ROW_BYTES: usize = 2 << 20;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Stored, DecodeError> {
    let chunks = Chunks::read(bytes);
    let file = chunks.file();
    let file_bytes = file.len() as u64;
    let mut decoder = Decoder::new_with_limits(Cursor::new(file), png::Limits { bytes: ROW_BYTES });
    let header = decoder.read_header_info().map_err(fail)?;
    let (width, height) = header.size();
    let grey16 = header.color_type == ColorType::Grayscale && header.bit_depth == BitDepth::Sixteen;
    limits.check(width, height, 3 * area([width, height]) + file_bytes + ROW_BYTES as u64)?;
    // Pillow takes the high byte of 16-bit samples, except of grey ones.
    decoder.set_transformations(if grey16 { Transformations::EXPAND } else { Transformations::EXPAND | Transformations::STRIP_16 });
    let mut reader = decoder.read_info().map_err(fail)?;
    let pixels = read_pixels(&mut reader, width, height)?;
    // To the very end, where the last pixels' checksum is.
    reader.finish().map_err(fail)?;
    Ok(Stored { part: pixels.into(), orientation: chunks.metadata().orientation() })
}

fn fail(error: png::DecodingError) -> DecodeError {
    Format::Png.undecodable(error)
}

fn read_pixels(reader: &mut PngReader, width: u32, height: u32) -> Result<RgbImage, DecodeError> {
    let stored = Samples::of(reader)?;
    let mut pixels = RgbImage::new(width, height);
    let mut row = vec![0; reader.output_line_size(width).ok_or_else(|| Format::Png.undecodable("its rows are too long"))?];
    let passes: &[Pass] = if reader.info().interlaced { &ADAM7 } else { &[Pass { x: 0, y: 0, dx: 1, dy: 1 }] };
    for pass in passes.iter().filter(|pass| pass.x < width as usize) {
        let lines = pixels.chunks_exact_mut(3 * width as usize).skip(pass.y).step_by(pass.dy);
        for line in lines {
            reader.read_row(&mut row).map_err(fail)?.ok_or_else(|| Format::Png.undecodable("it has too few rows"))?;
            stored.scatter(&row, line, pass);
        }
    }
    Ok(pixels)
}

/// One pass of Adam7: which pixels its rows hold.
struct Pass {
    x: usize,
    y: usize,
    dx: usize,
    dy: usize,
}

/// PNG specification (third edition), 8.1.
const ADAM7: [Pass; 7] = [
    Pass { x: 0, y: 0, dx: 8, dy: 8 },
    Pass { x: 4, y: 0, dx: 8, dy: 8 },
    Pass { x: 0, y: 4, dx: 4, dy: 8 },
    Pass { x: 2, y: 0, dx: 4, dy: 4 },
    Pass { x: 0, y: 2, dx: 2, dy: 4 },
    Pass { x: 1, y: 0, dx: 2, dy: 2 },
    Pass { x: 0, y: 1, dx: 1, dy: 2 },
];

/// How a row's samples lie in memory.
#[derive(Clone, Copy)]
enum Samples {
    /// 8 bits, this many channels; grey, grey and alpha, RGB, RGBA.
    Eight(usize),
    /// 16-bit grey, big-endian, with this many channels.
    Grey16(usize),
}

impl Samples {
    fn of(reader: &PngReader) -> Result<Self, DecodeError> {
        let (color, depth) = reader.output_color_type();
        match depth {
            BitDepth::Eight => Ok(Self::Eight(color.samples())),
            BitDepth::Sixteen if color.samples() < 3 => Ok(Self::Grey16(color.samples())),
            _ => Err(Format::Png.undecodable(format!("{color:?} samples of {depth:?} bits"))),
        }
    }

    /// Writes one row of a pass to the pixels of `line` that it stands for.
    fn scatter(self, row: &[u8], line: &mut [u8], pass: &Pass) {
        if let (Self::Eight(3), 1) = (self, pass.dx) {
            line.copy_from_slice(row);
            return;
        }
        let (targets, _) = line.as_chunks_mut::<3>();
        let targets = targets.iter_mut().skip(pass.x).step_by(pass.dx);
        match self {
            Self::Eight(channels @ (1 | 2)) => targets.zip(row.chunks_exact(channels)).for_each(|(to, from)| *to = [from[0]; 3]),
            Self::Eight(channels) => targets.zip(row.chunks_exact(channels)).for_each(|(to, from)| to.copy_from_slice(&from[..3])),
            Self::Grey16(channels) => targets.zip(row.chunks_exact(2 * channels)).for_each(|(to, from)| {
                // Pillow's conversion of mode I;16 cuts at 255.
                *to = [if from[0] == 0 { from[1] } else { 255 }; 3];
            }),
        }
    }
}
