//! Memory as the process's peak, and pictures of which one knows what they cost.

#![expect(clippy::unwrap_used, reason = "what fails in a helper fails the test")]

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) const MEGABYTE: u64 = 1 << 20;

/// The process's memory in bytes: `VmRSS` now, `VmHWM` at its peak.
pub(crate) fn status(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Whether a process can be told its peak memory here, and the right to be the only one who measures it.
pub(crate) fn alone() -> Option<MutexGuard<'static, ()>> {
    static ALONE: Mutex<()> = Mutex::new(());
    if fs::write("/proc/self/clear_refs", "5").is_err() {
        eprintln!("skipped: this system does not tell a process its peak memory");
        return None;
    }
    Some(ALONE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// By how much the peak of `work` lies over what was in use before.
pub(crate) fn peak_bytes<T>(work: impl FnOnce() -> T) -> (T, u64) {
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS");
    let result = work();
    (result, status("VmHWM").saturating_sub(before))
}

/// A grey gradient of 16-bit RGB, which is 300 MB when unpacked whole.
pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
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

/// A segment of a JPEG with its length.
pub(crate) fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
    [&[0xff, marker], (data.len() as u16 + 2).to_be_bytes().as_slice(), data].concat()
}

/// A grey JPEG of 8000×6250 pixels in three components, the first sampled by `factors`; coded so that all data is zeros.
///
/// Every Huffman table has one symbol, whose code is a zero: a mean like the one before, the end of a block, or as many ended blocks as can be. In a
/// progressive one every block has a coefficient that is not zero as well, but its quantisation step is.
pub(crate) fn jpeg(progressive: bool, factors: u8) -> Vec<u8> {
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

/// A PNG chunk with its length and checksum.
pub(crate) fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [kind.as_slice(), data].concat();
    let checksum = body
        .iter()
        .fold(!0_u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xedb8_8320 }));
    [(data.len() as u32).to_be_bytes().as_slice(), &body, &(!checksum).to_be_bytes()].concat()
}
