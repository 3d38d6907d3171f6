//! Pictures of every kind against Pillow's answers; see `fixtures/images/make.py`.

#![expect(clippy::unwrap_used, reason = "what fails in a helper fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;
use senet::image::{
    Color, CropOffset, DecodeError, InputContract, Interpolation, Layout, Limits, Region, Resize, decode, decode_part, needed, preprocess,
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images")
}

/// Name, extension and bytes of every file to decode.
fn files() -> Vec<(String, String, Vec<u8>)> {
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap().to_str().unwrap().to_owned();
    let mut files: Vec<_> = fs::read_dir(fixtures().join("decode/in"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (part(path.file_stem()), part(path.extension()), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    assert!(files.len() > 80, "only {} fixtures", files.len());
    files
}

fn pillow(name: &str) -> RgbImage {
    image::open(fixtures().join(name)).unwrap().into_rgb8()
}

/// The largest and the mean difference of two pictures' samples.
fn difference(left: &RgbImage, right: &RgbImage) -> (u8, f64) {
    assert_eq!(left.dimensions(), right.dimensions());
    let differences = left.iter().zip(right.iter()).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = differences.clone().map(u64::from).sum();
    (differences.max().unwrap(), sum as f64 / left.len() as f64)
}

#[test]
fn every_kind_of_file_decodes_as_pillow_does() {
    for (name, _, bytes) in files() {
        let decoded = decode(&bytes, &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (max, mean) = difference(&decoded.pixels, &pillow(&format!("decode/pillow/{name}.png")));
        assert_eq!(max, 0, "{name}: mean {mean}");
    }
}

/// As [`identity`], of a crop so small that it leaves most of the fixtures out.
fn crops() -> impl Iterator<Item = InputContract> {
    let sizes = [([9, 9], 12), ([20, 7], 40), ([1, 1], 61), ([33, 40], 40)];
    let filters = [Interpolation::Nearest, Interpolation::Bilinear, Interpolation::Bicubic, Interpolation::Lanczos];
    let contracts = sizes.into_iter().flat_map(move |size| filters.map(|filter| (size, filter)));
    contracts.map(|((size, to), interpolation)| InputContract { size, resize: Resize::ShorterSide, resize_to: [to; 2], interpolation, ..identity() })
}

#[test]
fn the_part_that_a_crop_needs_is_that_of_the_whole() {
    for (name, _, bytes) in files() {
        let whole = decode(&bytes, &Limits::default()).unwrap();
        for contract in crops() {
            let (info, part) = decode_part(&bytes, &Limits::default(), |size| needed(size, &contract)).unwrap();
            assert_eq!(info, whole.info, "{name}");
            assert!(preprocess(part, &contract) == preprocess(whole.pixels.clone(), &contract), "{name}: {contract:?}");
        }
    }
}

#[test]
fn any_region_is_decoded_and_every_other_is_cut_to_the_picture() {
    let [pixel, nothing, everything] = [5..6, 70..90, 0..u32::MAX];
    for (name, extension, bytes) in files() {
        for (columns, rows) in [(&pixel, &pixel), (&pixel, &everything), (&everything, &pixel), (&nothing, &pixel), (&pixel, &nothing)] {
            let region = Region { columns: columns.clone(), rows: rows.clone() };
            let part = decode_part(&bytes, &Limits::default(), |_| region.clone());
            assert!(part.is_ok(), "{name}.{extension}: {region:?}");
        }
    }
}

#[test]
fn a_fault_outside_the_part_that_is_needed_is_an_error_still() {
    let contract = InputContract { size: [1, 1], resize: Resize::ShorterSide, resize_to: [47, 47], ..identity() };
    let decode_middle =
        |bytes: &[u8]| decode_part(bytes, &Limits::default(), |size| needed(size, &contract)).map(|_| ()).map_err(|error| error.to_string());
    for (name, extension, bytes) in files() {
        for percent in [20, 80, 95, 99] {
            for tail in [[].as_slice(), &[0xff, 0xd9]] {
                let cut = [&bytes[..bytes.len() * percent / 100], tail].concat();
                let expected = decode(&cut, &Limits::default()).map(|_| ()).map_err(|error| error.to_string());
                assert_eq!(decode_middle(&cut), expected, "{name}.{extension} cut to {percent} %");
            }
        }
    }
}

#[test]
fn an_orientation_behind_the_pixels_of_a_jpeg_is_ignored_as_pillow_does() {
    let bytes = file("orientation_6.jpg");
    let start = bytes.windows(6).position(|window| window == b"Exif\0\0").unwrap() - 4;
    let end = start + 2 + usize::from(u16::from_be_bytes([bytes[start + 2], bytes[start + 3]]));
    let without = [&bytes[..start], &bytes[end..]].concat();
    // Segments behind the pixels are read for the sake of further scans in a progressive file, and skipped in a baseline one.
    for file in [without, file("progressive_420.jpg")] {
        let moved = [&file[..file.len() - 2], &bytes[start..end], &[0xff, 0xd9]].concat();
        assert_eq!(decode(&moved, &Limits::default()).unwrap().info.orientation, 1);
    }
}

#[test]
fn a_file_cut_anywhere_has_all_its_pixels_or_is_an_error() {
    let mut whole = 0;
    for (name, extension, bytes) in files() {
        let pixels = decode(&bytes, &Limits::default()).unwrap().pixels;
        for part in [0.3, 0.6, 0.95, 0.999] {
            let end = (bytes.len() as f64 * part) as usize;
            match decode(&bytes[..end], &Limits::default()) {
                Ok(decoded) => {
                    assert_eq!(decoded.pixels.as_raw(), pixels.as_raw(), "{name}.{extension} cut to {end} of {} bytes", bytes.len());
                    whole += 1;
                }
                Err(error) => assert!(matches!(error, DecodeError::Undecodable { .. }), "{name}.{extension}: {error}"),
            }
        }
    }
    // What ends a file, and later frames, may be missing; pixels may not.
    assert!(whole < 4 * files().len() / 3, "{whole} cut files are whole");
}

#[test]
fn what_follows_the_pixels_does_not_matter() {
    for (name, end) in
        [("baseline_420.jpg", 2), ("progressive_420.jpg", 2), ("a_scan_for_each_component_420.jpg", 2), ("rgb_8_bit.png", 12), ("gif_plain.gif", 1)]
    {
        let bytes = file(name);
        let whole = decode(&bytes, &Limits::default()).unwrap();
        let (pixels, _) = bytes.split_at(bytes.len() - end);
        for tail in [[].as_slice(), b"\0\0\0\x18ftypmp42", b"\xff\xe1\xff", &[0; 100]] {
            let decoded = decode(&[pixels, tail].concat(), &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(decoded.pixels.as_raw(), whole.pixels.as_raw(), "{name}");
        }
    }
}

#[test]
fn a_png_whose_pixels_are_not_those_of_its_checksum_is_an_error() {
    // A filter and eight pixels in every row; stored as they are, so that no decompressor notices a wrong one.
    let pixels = miniz_oxide::deflate::compress_to_vec_zlib(&[0; 5 * 25], 0);
    let file = [b"\x89PNG\r\n\x1a\n".as_slice(), &chunk(b"IHDR", &header(8, 5)), &chunk(b"IDAT", &pixels), &chunk(b"IEND", b"")].concat();
    assert!(decode(&file, &Limits::default()).is_ok());
    for from_end in [40, 80, 120] {
        let mut damaged = file.clone();
        let at = damaged.len() - from_end;
        damaged[at] ^= 0x55;
        assert!(matches!(decode(&damaged, &Limits::default()), Err(DecodeError::Undecodable { .. })), "{from_end} bytes before the end");
    }
}

#[test]
fn a_huffman_table_that_no_scan_uses_may_be_wrong() {
    let bytes = file("baseline_420.jpg");
    // Two codes of one bit, which libjpeg refuses when a scan uses them.
    let table = |class: u8| [&[0xff, 0xc4, 0, 21, class, 2], [0; 15].as_slice(), &[0, 0]].concat();
    let with = |class: u8| [&bytes[..2], &table(class), &bytes[2..]].concat();
    assert_eq!(decode(&with(0x13), &Limits::default()).unwrap().pixels.as_raw(), decode(&bytes, &Limits::default()).unwrap().pixels.as_raw());
    let scan = bytes.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    let used = [&bytes[..scan], &table(0x10), &bytes[scan..]].concat();
    assert_eq!(decode(&used, &Limits::default()).unwrap_err().to_string(), "undecodable jpeg: a Huffman table is no prefix code");
}

#[test]
fn a_jpeg_that_pretends_to_be_whole_is_an_error() {
    // Cut, and an end-of-image marker after it: libjpeg makes the rest grey and only warns.
    for (name, extension, bytes) in files() {
        // Of these, the last percents have no pixels; where restart markers are wrong, the last data may belong to none.
        if extension == "jpg" && !["one_pixel", "no_end", "restart_number"].iter().any(|other| name.starts_with(other)) {
            for percent in [60, 80, 95, 99] {
                let cut = [&bytes[..bytes.len() * percent / 100], &[0xff, 0xd9]].concat();
                assert!(matches!(decode(&cut, &Limits::default()), Err(DecodeError::Undecodable { .. })), "{name} cut to {percent} %");
            }
        }
    }
}

#[test]
fn a_progressive_jpeg_has_every_scan_once() {
    let bytes = file("progressive_420.jpg");
    let last_scan = bytes.windows(2).rposition(|pair| pair == [0xff, 0xda]).unwrap();
    let (before, scan) = (&bytes[..last_scan], &bytes[last_scan..bytes.len() - 2]);
    let decode_with = |scans: &[&[u8]]| decode(&[before, &scans.concat(), &[0xff, 0xd9]].concat(), &Limits::default());
    assert!(decode_with(&[scan]).is_ok());
    let refusals = [decode_with(&[]), decode_with(&[scan, scan])].map(|result| result.unwrap_err().to_string());
    assert_eq!(refusals, ["undecodable jpeg: it ends before its last scan", "undecodable jpeg: its scans do not follow on each other"]);
}

#[test]
fn damaged_files_never_panic() {
    let mut random = Random(7);
    std::panic::set_hook(Box::new(|_| {}));
    let mut decoder_panics = Vec::new();
    for (name, _, bytes) in files() {
        for _ in 0..60 {
            let mut damaged = bytes.clone();
            for _ in 0..=random.below(8) {
                let at = random.below(damaged.len());
                damaged[at] = random.below(256) as u8;
            }
            damaged.truncate(bytes.len() - random.below(2) * random.below(bytes.len()));
            match decode(&damaged, &Limits { max_pixels: 1_000_000, ..Limits::default() }) {
                Ok(decoded) => assert!(decoded.pixels.width() > 0 && decoded.pixels.height() > 0),
                Err(error) if error.to_string().ends_with("its decoder panicked") => decoder_panics.push(name.clone()),
                Err(_) => {}
            }
        }
    }
    drop(std::panic::take_hook());
    eprintln!("decoders panicked, and were caught, on {decoder_panics:?}");
}

#[test]
fn photographs_are_read_whole_or_not_at_all() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/images/imagenet-sample");
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!("skipped: {} is absent", folder.display());
        return;
    };
    let photographs: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "JPEG")).collect();
    assert_eq!(photographs.len(), 100);
    for path in photographs {
        let bytes = fs::read(&path).unwrap();
        decode(&bytes, &Limits::default()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for percent in [30, 60, 95] {
            let cut = &bytes[..bytes.len() * percent / 100];
            assert!(decode(cut, &Limits::default()).is_err(), "{} cut to {percent} %", path.display());
            let ended = [cut, &[0xff, 0xd9]].concat();
            assert!(decode(&ended, &Limits::default()).is_err(), "{} cut to {percent} % and ended", path.display());
        }
    }
}

#[test]
fn text_and_nothing_are_no_images() {
    assert_eq!(decode(b"", &Limits::default()).unwrap_err(), DecodeError::Empty);
    for bytes in [b"hello".as_slice(), b"RIFF....WEBM", b"\xff\xd8", b"GIF88a", b"\x89PNG\n"] {
        assert_eq!(decode(bytes, &Limits::default()).unwrap_err(), DecodeError::UnsupportedFormat(None), "{bytes:?}");
    }
}

#[test]
fn a_header_and_nothing_else_is_undecodable() {
    let magic: [&[u8]; 7] = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x04\0\0\0WEBP", b"GIF89a", b"BM", b"II*\0", b"MM\0+"];
    for bytes in magic {
        assert!(matches!(decode(bytes, &Limits::default()), Err(DecodeError::Undecodable { .. })), "{bytes:?}");
    }
}

/// A page of 61×47 in tiles of 32×16, with another number under this tag, 256 + `tag`.
fn tiff_with(tag: u8, value: u32) -> Vec<u8> {
    let mut bytes = file("tiff_tiles.tif");
    let entry = bytes.windows(8).rposition(|entry| entry == [1, tag, 0, 4, 0, 0, 0, 1]).unwrap();
    bytes[entry + 8..entry + 12].copy_from_slice(&value.to_be_bytes());
    bytes
}

#[test]
fn a_tiff_is_bounded_in_all_that_it_says() {
    const TILE_WIDTH: u8 = 66;
    const TILE_HEIGHT: u8 = 67;
    for (file, expected) in [
        (tiff_with(TILE_WIDTH, 0), "tiles of 0×16 are not read"),
        (tiff_with(TILE_WIDTH, 1 << 17), "tiles of 131072×16 are not read"),
        (tiff_with(TILE_WIDTH, 16), "it has 6 of 12 strips or tiles"),
        (tiff_with(TILE_HEIGHT, 60_000), "a strip or tile ends early"),
        ([b"II+\0\x08\0\0\0".as_slice(), &[0xff; 24]].concat(), "its directory is not in the file"),
        ([b"II*\0\x08\0\0\0".as_slice(), &[0xff; 24]].concat(), "its directory is cut"),
        ([b"MM\0*\0\0\0\x08".as_slice(), &[0; 24]].concat(), "it has no width or no height"),
    ] {
        let error = decode(&file, &Limits::default()).map(|decoded| decoded.info).unwrap_err();
        assert_eq!(error.to_string(), format!("undecodable tiff: {expected}"));
    }
}

/// The beginning of a TIFF file whose entries have each a tag, how many numbers of 32 bits, and the number, or where the numbers lie.
fn directory_of(entries: &[(u16, u32, u32)]) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, count, value) in entries {
        bytes.extend([[*tag as u8, (tag >> 8) as u8, 4, 0].as_slice(), &count.to_le_bytes(), &value.to_le_bytes()].concat());
    }
    bytes
}

#[test]
fn strips_that_cost_more_than_their_pixels_are_few() {
    let tiles = |compression, side: u32, count: u32, tile: u32| {
        let (sides, numbers) =
            ([(256, 1, side), (257, 1, side), (258, 1, 8)], [(322, 1, tile), (323, 1, tile), (324, count, 400), (325, count, 400)]);
        [&sides[..], &[(259, 1, compression), (262, 1, 1)], &numbers].concat()
    };
    let said = |entries: &[(u16, u32, u32)], count: usize| {
        let mut bytes = directory_of(entries);
        bytes.resize(400 + 4 * count, 0);
        decode(&bytes, &Limits::default()).map(|decoded| decoded.info).unwrap_err().to_string()
    };
    let small = said(&tiles(8, 300, 90_000, 1), 90_000);
    assert_eq!(small, "undecodable tiff: it has 90000 strips or tiles of 1×1 pixels, expected at most 65536 so small");
    assert_eq!(said(&tiles(8, 250, 62_500, 1), 62_500), "undecodable tiff: a strip or tile ends early");
    // 256 tiles of JPEG, and tables of 20 KB to be read with each.
    let tables = [tiles(7, 256, 256, 16), vec![(347, 5_000, 400)]].concat();
    let said = said(&tables, 5_000);
    assert_eq!(said, "undecodable tiff: its JPEG tables of 20000 bytes are read for each of 256 strips or tiles, expected at most 1024");
}

#[test]
fn strips_that_lie_on_each_other_are_read_only_so_often() {
    // 47 strips of one row, each of which is said to be the whole file.
    let (width, height) = (61_u32, 47_u32);
    let entries = [(256, 1, width), (257, 1, height), (258, 1, 8), (259, 1, 5), (262, 1, 1), (273, height, 200), (278, 1, 1), (279, height, 400)];
    let mut bytes = directory_of(&entries);
    bytes.resize(400, 0);
    bytes.extend(588_u32.to_le_bytes().repeat(47));
    let error = decode(&bytes, &Limits::default()).map(|decoded| decoded.info).unwrap_err().to_string();
    assert_eq!(error, "undecodable tiff: its strips or tiles overlap 4 times");
}

#[test]
fn the_header_alone_refuses_what_is_too_large() {
    // 60,000 × 60,000, and not one byte of pixels.
    let png = [b"\x89PNG\r\n\x1a\n".as_slice(), &chunk(b"IHDR", &header(60_000, 60_000))].concat();
    let huge_jpeg = |width: u16, height: u16, name: &str| {
        let mut bytes = file(name);
        let frame = bytes.windows(2).position(|pair| matches!(pair, [0xff, 0xc0 | 0xc2])).unwrap();
        bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
        bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
        bytes
    };
    let mut gif = file("gif_plain.gif");
    gif[6..10].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    let mut bmp = file("bmp_24_bit.bmp");
    bmp[18..22].copy_from_slice(&20_000_u32.to_le_bytes());
    let webp = b"RIFF\x16\0\0\0WEBPVP8L\x0a\0\0\0\x2f\xfe\xbf\xff\x0f\0\0\0\0\0".to_vec();
    for (bytes, what, actual) in [
        (png, "the longer side", 60_000),
        (huge_jpeg(65_535, 10, "baseline_420.jpg"), "the longer side", 65_535),
        (huge_jpeg(10_000, 6_000, "baseline_420.jpg"), "the number of pixels", 60_000_000),
        (huge_jpeg(7_000, 7_000, "cmyk_progressive.jpg"), "the memory to decode it", 3 * 49_000_000 + 4 * 875 * 875 * (2 * 64 + 8)),
        (gif, "the longer side", 65_535),
        (bmp, "the longer side", 20_000),
        (tiff_with(0, 20_000), "the longer side", 20_000),
        (webp, "the number of pixels", 16_383 * 16_383),
    ] {
        match decode(&bytes, &Limits::default()) {
            Err(DecodeError::TooLarge { what: found, actual: size, .. }) => assert_eq!((found, size), (what, actual)),
            other => panic!("{what} {actual}: {other:?}"),
        }
    }
}

#[test]
fn a_refusal_names_size_and_limit() {
    let limits = Limits { max_pixels: 1000, ..Limits::default() };
    let error = decode(&file("rgb_8_bit.png"), &limits).unwrap_err();
    assert_eq!(error.to_string(), "image of 61×47: the number of pixels is 2867, the limit is 1000");
}

#[test]
fn the_orientation_is_reported_with_the_stored_size() {
    for value in 1..=8 {
        let decoded = decode(&file(&format!("orientation_{value}.jpg")), &Limits::default()).unwrap();
        assert_eq!((decoded.info.width, decoded.info.height, decoded.info.orientation), (61, 47, value));
        let upright = if value < 5 { (61, 47) } else { (47, 61) };
        assert_eq!(decoded.pixels.dimensions(), upright);
    }
    let ignored = decode(&file("orientation_9_is_ignored.jpg"), &Limits::default()).unwrap();
    assert_eq!(ignored.info.orientation, 1);
}

#[test]
fn resized_pictures_equal_pillows_bit_for_bit() {
    let cases = fs::read_to_string(fixtures().join("resize/cases.tsv")).unwrap();
    assert!(cases.lines().count() >= 128);
    for line in cases.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [case, source, resize, height, width, resize_to, interpolation] = fields.as_slice() else { panic!("{line}") };
        let sides: Vec<u32> = resize_to.split(',').map(|side| side.parse().unwrap()).collect();
        let contract = InputContract {
            size: [height.parse().unwrap(), width.parse().unwrap()],
            resize: serde_json::from_value((*resize).into()).unwrap(),
            resize_to: [sides[0], sides[1]],
            crop_offset: CropOffset::Nearest,
            interpolation: serde_json::from_value((*interpolation).into()).unwrap(),
            // What a border is coloured with; the value is added again below.
            mean: MEAN.map(|value| value / 255.0),
            scale: 1.0 / 255.0,
            ..identity()
        };
        let fed = preprocess(pillow(&format!("resize/source_{source}.png")), &contract);
        let fed: Vec<f32> = fed.iter().zip(MEAN.iter().cycle()).map(|(value, mean)| (value * 255.0 + mean).round()).collect();
        let wanted: Vec<f32> = pillow(&format!("resize/{case}.png")).iter().map(|value| f32::from(*value)).collect();
        assert_eq!(fed.len(), wanted.len(), "{case}");
        let wrong = fed.iter().zip(&wanted).filter(|(fed, wanted)| fed != wanted).count();
        assert_eq!(wrong, 0, "{case}: {wrong} of {} values differ", wanted.len());
    }
}

/// The colour of the fixtures' borders.
const MEAN: [f32; 3] = [124.0, 116.0, 104.0];

fn file(name: &str) -> Vec<u8> {
    fs::read(fixtures().join("decode/in").join(name)).unwrap()
}

/// A PNG header of 8-bit RGB.
fn header(width: u32, height: u32) -> Vec<u8> {
    [&width.to_be_bytes(), &height.to_be_bytes(), [8, 2, 0, 0].as_slice(), &[0]].concat()
}

/// A PNG chunk with its length and checksum.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [kind.as_slice(), data].concat();
    let checksum = body
        .iter()
        .fold(!0_u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xedb8_8320 }));
    [(data.len() as u32).to_be_bytes().as_slice(), &body, &(!checksum).to_be_bytes()].concat()
}

/// A linear congruential generator: the same damage in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// Feeds 8-bit values as they are, channels last.
fn identity() -> InputContract {
    InputContract {
        size: [1, 1],
        resize: Resize::Squash,
        resize_to: [1, 1],
        crop_offset: CropOffset::Nearest,
        interpolation: Interpolation::Bilinear,
        color: Color::Rgb,
        layout: Layout::Nhwc,
        mean: [0.0; 3],
        std: [1.0; 3],
        scale: 1.0,
    }
}
