//! Names for what is often sent and not read, told by its first bytes, so that whoever sent it knows what to convert.

/// How much of a file is looked at where its first bytes do not tell.
const HEAD: usize = 1024;

/// A format that is not read, and what would help whoever sent it.
macro_rules! convertible {
    ($name:literal) => {
        concat!($name, "; convert it to JPEG, PNG or WebP")
    };
}

/// As [`convertible`], for a video.
macro_rules! video {
    ($name:literal) => {
        concat!($name, "; send a frame of it as JPEG, PNG or WebP")
    };
}

/// What a message calls `bytes`, and what would help; `None` for what is not known.
pub(super) fn name(bytes: &[u8]) -> Option<&'static str> {
    let name = match bytes {
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => return Some(base_media(bytes)),
        [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => convertible!("JPEG XL"),
        [0, 0, 0, 12, b'j', b'P', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => convertible!("JPEG 2000"),
        [0, 0, 1, 0, ..] => convertible!("an icon (ICO)"),
        [b'8', b'B', b'P', b'S', ..] => convertible!("a Photoshop document"),
        [b'q', b'o', b'i', b'f', ..] => convertible!("QOI"),
        [b'v', b'/', b'1', 1, ..] => convertible!("OpenEXR"),
        [b'P', b'1'..=b'7', b'\n' | b' ' | b'\r' | b'\t', ..] => convertible!("a portable anymap (PNM)"),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => video!("a Matroska or WebM video"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => video!("an AVI video"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => "a WAVE sound",
        [b'P', b'K', 3, 4, ..] => "a ZIP archive; send the images in it",
        [0x1f, 0x8b, ..] => "gzip; send what is in it",
        [b'%', b'P', b'D', b'F', ..] => convertible!("PDF"),
        [b'%', b'!', b'P', b'S', ..] => convertible!("PostScript"),
        _ => return text(bytes),
    };
    Some(name)
}

/// The brands of a file in boxes (ISO/IEC 14496-12): the major one, and those that it is compatible with.
fn base_media(bytes: &[u8]) -> &'static str {
    let length = bytes.first_chunk().map_or(0, |length| u32::from_be_bytes(*length) as usize);
    let brands = || bytes.get(8..length.min(HEAD)).unwrap_or_default().as_chunks::<4>().0.iter();
    let has = |names: &[&[u8; 4]]| brands().any(|brand| names.contains(&brand));
    if has(&[b"avif", b"avis"]) {
        convertible!("AVIF")
    } else if has(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"]) {
        convertible!("HEIC")
    } else if has(&[b"qt  "]) {
        video!("a QuickTime video")
    } else {
        video!("an MP4 video")
    }
}

fn text(bytes: &[u8]) -> Option<&'static str> {
    let head = bytes.get(..HEAD).unwrap_or(bytes);
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let begins = |with: &str| head.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()));
    let has = |what: &str| memchr::memmem::find(head, what.as_bytes()).is_some();
    const TEXTS: [(&str, &str); 8] = [
        ("<!doctype html", "HTML; send the image itself, which the page may only show"),
        ("<html", "HTML; send the image itself, which the page may only show"),
        ("data:", "a data URL, which is read as an image of a JSON body"),
        ("/9j/", "JPEG in base64, which is read as an image of a JSON body"),
        ("iVBORw0KGgo", "PNG in base64, which is read as an image of a JSON body"),
        ("UklGR", "WebP in base64, which is read as an image of a JSON body"),
        ("R0lGOD", "GIF in base64, which is read as an image of a JSON body"),
        ("{", "JSON, which is read where the content type says so"),
    ];
    match TEXTS.iter().find(|(start, _)| begins(start)) {
        Some((_, name)) => Some(name),
        None if head.starts_with(b"<") && has("<svg") => Some(convertible!("SVG")),
        None if begins("<?xml") => Some("XML"),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_often_sent_has_a_name() {
        for (bytes, expected) in [
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".as_slice(), "HEIC; convert it to JPEG, PNG or WebP"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF; convert it to JPEG, PNG or WebP"),
            (b"\0\0\0\x18ftypmp42\0\0\0\0isomavif", "AVIF; convert it to JPEG, PNG or WebP"),
            (b"\0\0\0\x14ftypisom\0\0\0\0isomavif", "an MP4 video; send a frame of it as JPEG, PNG or WebP"),
            (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "a QuickTime video; send a frame of it as JPEG, PNG or WebP"),
            (b"\xff\x0a\xff", "JPEG XL; convert it to JPEG, PNG or WebP"),
            (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000; convert it to JPEG, PNG or WebP"),
            (b"%PDF-1.7", "PDF; convert it to JPEG, PNG or WebP"),
            (b"\xef\xbb\xbf\n <?xml version='1.0'?><!-- c --><svg/>", "SVG; convert it to JPEG, PNG or WebP"),
            (b"<svg xmlns=''/>", "SVG; convert it to JPEG, PNG or WebP"),
            (b"<?xml version='1.0'?><rss/>", "XML"),
            (b"\n<!DOCTYPE HTML>", "HTML; send the image itself, which the page may only show"),
            (b"/9j/4AAQSkZJRg", "JPEG in base64, which is read as an image of a JSON body"),
        ] {
            assert_eq!(name(bytes), Some(expected), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_not_known_has_none() {
        for bytes in [b"".as_slice(), b"hello", b"\0\0\0\0ftyp", b"\0\0\0\x18ftyp", b"RIFF", &[0xff; 3]] {
            assert!(matches!(name(bytes), None | Some("an MP4 video; send a frame of it as JPEG, PNG or WebP")), "{bytes:?}");
        }
        assert_eq!(name(b"hello"), None);
    }
}
