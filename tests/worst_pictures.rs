//! Pictures that are made to cost much: none takes more memory than it is refused for, measured as the process's peak.
//!
//! In a binary of its own, one at a time: what other tests leave to the allocator would count as little or as much as it likes.

#![expect(clippy::unwrap_used, reason = "what fails in a helper fails the test")]

mod memory_support;

use std::fs;

use memory_support::{MEGABYTE, alone, chunk, jpeg, peak_bytes};
use senet::image::{DecodeError, Limits, decode};

/// Bits, the first one lowest in its byte.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    count: usize,
}

impl Bits {
    fn put(&mut self, value: usize, count: usize) {
        for bit in 0..count {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value.checked_shr(bit as u32).unwrap_or(0) & 1) as u8) << (self.count % 8);
            self.count += 1;
        }
    }

    /// The prefix code of one symbol.
    fn single(&mut self, symbol: usize) {
        self.put(0b101, 3);
        self.put(symbol, 8);
    }

    /// A prefix code of one symbol each with 1 to 9 bits, and two with 10: the least that makes a decoder build a table for 10 bits.
    fn longest_table(&mut self) {
        // Lengths are coded by a code that has every length in 4 bits, stated in this order: 17, 18, 0 to 5, 16, 6 to 15; the first 11 follow.
        self.put(0, 1);
        self.put(15, 4);
        (0..19).for_each(|at| self.put(if matches!(at, 0 | 1 | 8) { 0 } else { 4 }, 3));
        self.put(1, 1);
        self.put(1, 3);
        self.put(11 - 2, 4);
        (1_usize..=10).chain([10]).for_each(|length| self.put(length.reverse_bits() >> (usize::BITS - 4), 4));
    }
}

/// The coded pixels of a lossless WebP of this size whose only block has the last of so many groups of prefix codes, each with five large tables.
fn lossless_webp([width, height]: [usize; 2], groups: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(0x2f, 8);
    [width, height].iter().for_each(|side| bits.put(side - 1, 14));
    // No alpha, version 0, no transform, no colour cache, an entropy image for blocks of 512 pixels, without a colour cache.
    bits.put(0, 1 + 3 + 1 + 1);
    bits.put(0b1111, 4);
    bits.put(0, 1);
    let number = groups - 1;
    [number & 255, number >> 8, 0, 0, 0].iter().for_each(|symbol| bits.single(*symbol));
    (0..5 * groups).for_each(|_| bits.longest_table());
    bits.put(0, 4 * width * height + 64);
    bits.bytes
}

fn riff(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let padding = |data: &[u8]| vec![0; data.len() % 2];
    let chunk = |(kind, data): &(&[u8; 4], &[u8])| [kind.as_slice(), &(data.len() as u32).to_le_bytes(), data, &padding(data)].concat();
    let body = chunks.iter().map(chunk).collect::<Vec<_>>().concat();
    [b"RIFF", (body.len() as u32 + 4).to_le_bytes().as_slice(), b"WEBP", &body].concat()
}

/// The chunk `VP8X` for a canvas of one pixel.
fn extended(flags: u8) -> [u8; 10] {
    [flags, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// An animation of one frame of one pixel.
fn animated(frame: &[u8]) -> Vec<u8> {
    let frame = [[0; 16].as_slice(), &riff(&[(b"VP8L", frame)])[12..]].concat();
    riff(&[(b"VP8X", &extended(0x02)), (b"ANIM", &[0; 6]), (b"ANMF", &frame)])
}

#[test]
fn a_webp_pays_for_its_prefix_codes_before_they_are_built() {
    let Some(_alone) = alone() else { return };
    let coded = lossless_webp([1, 1], 1 << 16);
    for file in [riff(&[(b"VP8L", &coded)]), riff(&[(b"VP8X", &extended(0)), (b"VP8L", &coded)]), animated(&coded)] {
        let (result, peak) = peak_bytes(|| decode(&file, &Limits::default()));
        let Err(DecodeError::TooLarge { width: 1, height: 1, what: "the memory to decode it", actual, limit }) = result else {
            panic!("{:?}", result.map(|decoded| decoded.info))
        };
        assert!(actual > limit && actual < limit + MEGABYTE, "{actual} of {limit}");
        assert!(peak < 2 * MEGABYTE, "refusing took {peak} bytes");
    }
}

#[test]
fn the_alpha_of_a_lossy_webp_costs_nothing() {
    let Some(_alone) = alone() else { return };
    let opaque = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/images/decode/in/webp_lossy.webp")).unwrap();
    let mut canvas = extended(0x10);
    (canvas[4], canvas[7]) = (60, 46);
    // Compressed without a filter, as a lossless picture without its header of five bytes.
    let alpha = [&[1], &lossless_webp([61, 47], 1 << 15)[5..]].concat();
    let file = riff(&[(b"VP8X", &canvas), (b"ALPH", &alpha), (b"VP8 ", &opaque[20..])]);
    let (decoded, peak) = peak_bytes(|| decode(&file, &Limits::default()).unwrap());
    assert_eq!(decoded.pixels, decode(&opaque, &Limits::default()).unwrap().pixels);
    assert!(peak < 2 * MEGABYTE, "decoding took {peak} bytes");
}

#[test]
fn a_webp_on_a_small_canvas_is_no_larger_inside() {
    let Some(_alone) = alone() else { return };
    let lossy = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/images/decode/in/webp_lossy.webp")).unwrap();
    let mut lossy = lossy[20..].to_vec();
    lossy[6..10].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    let file = riff(&[(b"VP8X", &extended(0)), (b"VP8 ", &lossy)]);
    let (result, peak) = peak_bytes(|| decode(&file, &Limits::default()).unwrap_err().to_string());
    assert_eq!(result, "undecodable webp: its picture is of another size than its header says");
    assert!(peak < MEGABYTE, "refusing took {peak} bytes");
}

/// A page of 16-bit RGB in one strip.
fn tiff(width: u32, height: u32) -> Vec<u8> {
    let entries = [(256, width), (257, height), (258, 16), (262, 2), (273, 8), (277, 3), (278, height), (279, 6 * width * height)];
    let entries = entries.map(|(tag, value): (u32, u32)| [tag | 4 << 16, 1, value].map(u32::to_le_bytes).concat()).concat();
    let directory = 8 + 6 * width * height;
    [b"II*\0".as_slice(), &directory.to_le_bytes(), &vec![7; directory as usize - 8], &8_u16.to_le_bytes(), &entries, &[0; 4]].concat()
}

/// A file of each decoder that makes it take much memory.
fn expensive() -> Vec<(&'static str, Vec<u8>)> {
    let noise = |length: usize| (0..length).map(|at| ((at * at) >> 7) as u8).collect::<Vec<_>>();
    let encode = |format, width, height| {
        let picture = image::RgbImage::from_raw(width, height, noise(3 * width as usize * height as usize)).unwrap();
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::DynamicImage::from(picture).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let png = encode(image::ImageFormat::Png, 1200, 1000);
    vec![
        ("webp with 4,000 groups", riff(&[(b"VP8L", &lossless_webp([500, 500], 4000))])),
        ("webp, lossless", encode(image::ImageFormat::WebP, 1200, 1000)),
        ("webp, animated", animated(&lossless_webp([1, 1], 3000))),
        ("png with a large EXIF chunk", [&png[..33], &chunk(b"eXIf", &noise(12 << 20)), &png[33..]].concat()),
        ("png of 16 bits", memory_support::png(4000, 1000)),
        ("gif", encode(image::ImageFormat::Gif, 1200, 1000)),
        ("bmp", encode(image::ImageFormat::Bmp, 1200, 1000)),
        ("tiff of 16 bits in one strip", tiff(1200, 1000)),
        ("jpeg, baseline", jpeg(false, 0x11)),
        ("jpeg, progressive", jpeg(true, 0x22)),
    ]
}

#[test]
fn no_picture_takes_more_memory_than_it_is_refused_for() {
    let Some(_alone) = alone() else { return };
    for (name, file) in expensive() {
        let (decoded, peak) = peak_bytes(|| decode(&file, &Limits::default()).map(|decoded| decoded.info));
        decoded.unwrap_or_else(|error| panic!("{name}: {error}"));
        let limits = Limits { max_decoder_bytes: peak.saturating_sub(MEGABYTE), ..Limits::default() };
        let refused = decode(&file, &limits).map(|decoded| decoded.info);
        assert!(matches!(refused, Err(DecodeError::TooLarge { what: "the memory to decode it", .. })), "{name} took {peak} bytes: {refused:?}");
    }
}
