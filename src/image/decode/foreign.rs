//! Names for what is often sent and not read, told by its first bytes, so that whoever sent it knows what to convert.

/// How much of a file is looked at where its first bytes do not tell.
const HEAD: usize = 1024;

/// What a message calls `bytes`; `None` for what is not known.
pub(super) fn name(bytes: &[u8]) -> Option<&'static str> {
    let name = match bytes {
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => return Some(base_media(bytes)),
        [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => "JPEG XL",
        [0, 0, 0, 12, b'j', b'P', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => "JPEG 2000",
        [0, 0, 1, 0, ..] => "an icon (ICO)",
        [b'8', b'B', b'P', b'S', ..] => "a Photoshop document",
        [b'q', b'o', b'i', b'f', ..] => "QOI",
        [b'v', b'/', b'1', 1, ..] => "OpenEXR",
        [b'P', b'1'..=b'7', b'\n' | b' ' | b'\r' | b'\t', ..] => "a portable anymap (PNM)",
        [0x1a, 0x45, 0xdf, 0xa3, ..] => "a Matroska or WebM video",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => "an AVI video",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => "a WAVE sound",
        [b'P', b'K', 3, 4, ..] => "a ZIP archive",
        [0x1f, 0x8b, ..] => "gzip",
        [b'%', b'P', b'D', b'F', ..] => "PDF",
        [b'%', b'!', b'P', b'S', ..] => "PostScript",
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
        "AVIF"
    } else if has(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"]) {
        "HEIC"
    } else if has(&[b"qt  "]) {
        "a QuickTime video"
    } else {
        "an MP4 video"
    }
}

fn text(bytes: &[u8]) -> Option<&'static str> {
    let head = bytes.get(..HEAD).unwrap_or(bytes);
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let begins = |with: &str| head.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()));
    let has = |what: &str| memchr::memmem::find(head, what.as_bytes()).is_some();
    const TEXTS: [(&str, &str); 8] = [
        ("<!doctype html", "HTML"),
        ("<html", "HTML"),
        ("data:", "a data URL, which is read as an image of a JSON body"),
        ("/9j/", "JPEG in base64, which is read as an image of a JSON body"),
        ("iVBORw0KGgo", "PNG in base64, which is read as an image of a JSON body"),
        ("UklGR", "WebP in base64, which is read as an image of a JSON body"),
        ("R0lGOD", "GIF in base64, which is read as an image of a JSON body"),
        ("{", "JSON, which is read where the content type says so"),
    ];
    match TEXTS.iter().find(|(start, _)| begins(start)) {
        Some((_, name)) => Some(name),
        None if head.starts_with(b"<") && has("<svg") => Some("SVG"),
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
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".as_slice(), "HEIC"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
            (b"\0\0\0\x18ftypmp42\0\0\0\0isomavif", "AVIF"),
            (b"\0\0\0\x14ftypisom\0\0\0\0isomavif", "an MP4 video"),
            (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "a QuickTime video"),
            (b"\xff\x0a\xff", "JPEG XL"),
            (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
            (b"%PDF-1.7", "PDF"),
            (b"\xef\xbb\xbf\n <?xml version='1.0'?><!-- c --><svg/>", "SVG"),
            (b"<svg xmlns=''/>", "SVG"),
            (b"<?xml version='1.0'?><rss/>", "XML"),
            (b"\n<!DOCTYPE HTML>", "HTML"),
            (b"/9j/4AAQSkZJRg", "JPEG in base64, which is read as an image of a JSON body"),
        ] {
            assert_eq!(name(bytes), Some(expected), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_not_known_has_none() {
        for bytes in [b"".as_slice(), b"hello", b"\0\0\0\0ftyp", b"\0\0\0\x18ftyp", b"RIFF", &[0xff; 3]] {
            assert!(matches!(name(bytes), None | Some("an MP4 video")), "{bytes:?}");
        }
        assert_eq!(name(b"hello"), None);
    }
}
