//! What reading and feeding a picture costs in memory, measured as the process's peak; in a binary of its own, one at a time, for that reason.

mod memory_support;

use memory_support::{MEGABYTE, alone, chunk, jpeg, peak_bytes, png};
use senet::image::{Color, CropOffset, InputContract, Interpolation, Layout, Limits, Resize, decode, decode_part, needed, preprocess};

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
