//! What reading and feeding a picture costs in memory, measured as the process's peak; in a binary of its own, one at a time, for that reason.

#![expect(clippy::unwrap_used, reason = "what fails in a helper fails the test")]

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use senet::image::{Color, CropOffset, DecodeError, InputContract, Interpolation, Layout, Limits, Resize, decode, decode_part, needed, preprocess};

const MEGABYTE: u64 = 1 << 20;

/// The process's memory in bytes: `VmRSS` now, `VmHWM` at its peak.
fn status(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Whether a process can be told its peak memory here, and the right to be the only one who measures it.
fn alone() -> Option<MutexGuard<'static, ()>> {
    static ALONE: Mutex<()> = Mutex::new(());
    if fs::write("/proc/self/clear_refs", "5").is_err() {
        eprintln!("skipped: this system does not tell a process its peak memory");
        return None;
    }
    Some(ALONE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// By how much the peak of `work` lies over what was in use before.
fn peak_bytes<T>(work: impl FnOnce() -> T) -> (T, u64) {
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS");
    let result = work();
    (result, status("VmHWM").saturating_sub(before))
}

/// A grey gradient of 16-bit RGB, which is 300 MB when unpacked whole.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Sixteen);
    encoder.set_compression(png::Compression::Fastest);
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer().unwrap();
    let row: Vec<u8> = (0..6 * width).map(|at| (at / 200) as u8).collect();
    for _ in 0..height {
        std::io::Write::write_all(&mut stream, &row).unwrap();
    }
    stream.finish().unwrap();
    drop(writer);
    bytes
}

const CONTRACT: InputContract = InputContract {
    size: [224, 224],
    resize: Resize::ShorterSide,
    resize_to: [256, 256],
    crop_offset: CropOffset::Nearest,
    interpolation: Interpolation::Lanczos,
    color: Color::Rgb,
    layout: Layout::Nchw,
    mean: [0.0; 3],
    std: [1.0; 3],
    scale: 1.0,
};

#[test]
fn fifty_megapixels_cost_little_more_than_their_pixels() {
    let Some(_alone) = alone() else { return };
    let file = png(8000, 6250);
    let (decoded, decoding) = peak_bytes(|| decode(&file, &Limits::default()).unwrap());
    assert!((150_000_000..150_000_000 + 8 * MEGABYTE).contains(&decoding), "decoding took {decoding} bytes");
    let (tensor, feeding) = peak_bytes(|| preprocess(decoded.pixels, &CONTRACT));
    assert_eq!(tensor.len(), 3 * 224 * 224);
    assert!(feeding < 8 * MEGABYTE, "preprocessing took {feeding} bytes");
}

/// A segment of a JPEG with its length.
fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
    [&[0xff, marker], (data.len() as u16 + 2).to_be_bytes().as_slice(), data].concat()
}

/// A grey JPEG of 8000×6250 pixels in three components, the first sampled by `factors`; coded so that all data is zeros.
///
/// Every Huffman table has one symbol, whose code is a zero: a mean like the one before, the end of a block, or as many ended blocks as can be. In a
/// progressive one every block has a coefficient that is not zero as well, but its quantisation step is.
fn jpeg(progressive: bool, factors: u8) -> Vec<u8> {
    const BLOCKS: usize = 1000 * 784;
    let table = |kind: u8, symbol: u8| segment(0xc4, &[[kind, 1].as_slice(), &[0; 15], &[symbol]].concat());
    let scan = |components: &[u8], tables: u8, band: [u8; 2], bytes: usize| {
        let components: Vec<u8> = components.iter().flat_map(|id| [*id, tables]).collect();
        let header = [&[components.len() as u8 / 2], components.as_slice(), &band, &[0]].concat();
        [segment(0xda, &header), vec![0; bytes]].concat()
    };
    let scans = if progressive {
        let first = [1, 2, 3].map(|id| scan(&[id], 1, [1, 1], BLOCKS / 4)).concat();
        let others = [1, 2, 3].map(|id| scan(&[id], 0, [2, 63], BLOCKS / (1 << 14) * 2 + 4)).concat();
        [scan(&[1, 2, 3], 0, [0, 0], 3 * BLOCKS / 8), first, others].concat()
    } else {
        scan(&[1, 2, 3], 0, [0, 63], 3 * BLOCKS / 4)
    };
    let steps: [u8; 64] = std::array::from_fn(|place| u8::from(place == 0));
    let size = [6250_u16, 8000].map(u16::to_be_bytes).concat();
    [
        vec![0xff, 0xd8],
        segment(0xdb, &[[0].as_slice(), &steps].concat()),
        segment(if progressive { 0xc2 } else { 0xc0 }, &[[8].as_slice(), &size, &[3, 1, factors, 0, 2, 0x11, 0, 3, 0x11, 0]].concat()),
        table(0x00, 0),
        table(0x10, if progressive { 0xe0 } else { 0 }),
        table(0x11, 1),
        scans,
        vec![0xff, 0xd9],
    ]
    .concat()
}

#[test]
fn fifty_megapixels_of_a_jpeg_cost_what_the_crop_needs_and_the_coefficients() {
    let Some(_alone) = alone() else { return };
    // The middle 5470×5470 of the picture with the filter's reach; where scans follow on each other, 2 bytes for each of its coefficients as well, and
    // 8 for each block of the whole.
    let cut = 3 * 5615 * 5615;
    for (progressive, factors, most) in
        [(false, 0x11, cut), (false, 0x22, cut), (true, 0x11, 3 * cut + 19_000_000), (true, 0x22, 2 * cut + 10_000_000)]
    {
        let file = jpeg(progressive, factors);
        let work = || decode_part(&file, &Limits::default(), |size| needed(size, &CONTRACT)).map(|(_, picture)| preprocess(picture, &CONTRACT));
        let (tensor, peak) = peak_bytes(work);
        assert!(tensor.unwrap().iter().all(|value| *value == 128.0));
        assert!((most - most / 8..most + 8 * MEGABYTE).contains(&peak), "progressive: {progressive}, {factors:x}: {peak} bytes of {most}");
    }
}

/// A PNG chunk with its length and checksum.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [kind.as_slice(), data].concat();
    let checksum = body
        .iter()
        .fold(!0_u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xedb8_8320 }));
    [(data.len() as u32).to_be_bytes().as_slice(), &body, &(!checksum).to_be_bytes()].concat()
}

#[test]
fn chunks_that_are_not_needed_are_not_unpacked() {
    let Some(_alone) = alone() else { return };
    let zeros = vec![0; 64 << 20];
    let bomb = miniz_oxide::deflate::compress_to_vec_zlib(&zeros, 6);
    let small = png(60, 40);
    let wanted = decode(&small, &Limits::default()).unwrap();
    // Two chunks that grow a thousandfold, one that is merely long, and one that is not even what it says.
    let extra = [
        chunk(b"iCCP", &[b"p\0\0".as_slice(), &bomb].concat()),
        chunk(b"zTXt", &[b"k\0\0".as_slice(), &bomb].concat()),
        chunk(b"prVt", &zeros[..20 << 20]),
        chunk(b"gAMA", b"?"),
    ];
    let file = [&small[..33], &extra.concat(), &small[33..]].concat();
    let (decoded, decoding) = peak_bytes(|| decode(&file, &Limits::default()).unwrap());
    assert_eq!(decoded.pixels, wanted.pixels);
    assert!(decoding < 2 * MEGABYTE, "decoding took {decoding} bytes");
}

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

/// A file of each decoder that makes it take much memory.
fn expensive() -> Vec<(&'static str, Vec<u8>)> {
    let noise = |length: usize| (0..length).map(|at| (at * at >> 7) as u8).collect::<Vec<_>>();
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
        ("png with a large EXIF chunk", [&png[..33], &chunk(b"eXIf", &noise(4 << 20)), &png[33..]].concat()),
        ("png of 16 bits", self::png(4000, 1000)),
        ("gif", encode(image::ImageFormat::Gif, 1200, 1000)),
        ("bmp", encode(image::ImageFormat::Bmp, 1200, 1000)),
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
