//! Base64 as clients write it: either alphabet, padded or not, with line breaks, perhaps in a `data:` URL.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::invalid;
use crate::http::problem::Problem;

const STANDARD: GeneralPurpose =
    GeneralPurpose::new(&base64::alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// Characters that are tidied at a time: whole groups of four.
const BLOCK: usize = 4096;

/// The bytes that `text` stands for.
///
/// # Errors
/// `invalid-body`, with the place in `text`.
pub(super) fn decode(text: &[u8]) -> Result<Vec<u8>, Problem> {
    let start = after_data_url(text);
    let symbols = text.get(start..).unwrap_or_default();
    // Nearly all texts are in the standard form, which takes one pass.
    STANDARD.decode(symbols).or_else(|_| decode_tidied(symbols).map_err(|(at, reason)| broken(start + at, &reason)))
}

/// The same without line breaks and spaces, and with the characters of the URL-safe alphabet replaced. The error is a place and a reason.
fn decode_tidied(text: &[u8]) -> Result<Vec<u8>, (usize, String)> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut block = Vec::with_capacity(BLOCK);
    let mut padded = false;
    for (at, byte) in text.iter().enumerate().filter(|(_, byte)| !byte.is_ascii_whitespace()) {
        block.push(match byte {
            b'-' => b'+',
            b'_' => b'/',
            b'+' | b'/' | b'=' => *byte,
            _ if byte.is_ascii_alphanumeric() => *byte,
            _ => return Err((at, format!("{:?} is no character of base64", character(text, at)))),
        });
        if padded && *byte != b'=' {
            return Err((at, "there is more behind the padding".to_owned()));
        }
        padded |= *byte == b'=';
        if block.len() == BLOCK {
            append(&mut bytes, &mut block).map_err(|reason| (at, reason))?;
        }
    }
    append(&mut bytes, &mut block).map_err(|reason| (text.len(), reason))?;
    Ok(bytes)
}

fn append(bytes: &mut Vec<u8>, block: &mut Vec<u8>) -> Result<(), String> {
    STANDARD.decode_vec(&*block, bytes).map_err(|_| "it is cut off, or its padding is wrong".to_owned())?;
    block.clear();
    Ok(())
}

/// The character that begins at `at`.
fn character(text: &[u8], at: usize) -> char {
    let bytes = text.get(at..text.len().min(at + 4)).unwrap_or_default();
    String::from_utf8_lossy(bytes).chars().next().unwrap_or_default()
}

fn broken(at: usize, reason: &str) -> Problem {
    invalid(format!("broken base64 at character {}: {reason}", at + 1))
}

/// Where the base64 of `data:…;base64,…` begins; 0 for any other text.
fn after_data_url(text: &[u8]) -> usize {
    const MARK: &[u8] = b";base64,";
    // A media type and its parameters are short; the rest is not searched.
    let head = text.get(..text.len().min(128)).unwrap_or_default();
    match head.windows(MARK.len()).position(|window| window.eq_ignore_ascii_case(MARK)) {
        Some(at) if head.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:")) => at + MARK.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(text: &str) -> String {
        serde_json::to_value(decode(text.as_bytes()).unwrap_err().body("")).unwrap()["detail"].as_str().unwrap().to_owned()
    }

    #[test]
    fn reads_what_clients_write() {
        for text in [
            "aGV5Pz8+",
            "aGV5Pz8-",
            "aGV5Pz8",
            "aGV5\r\nPz8+\n",
            " aGV5 Pz8= ",
            "aGV5Pz8=",
            "data:image/png;base64,aGV5Pz8+",
            "DATA:;Base64,\naGV5Pz8",
        ] {
            assert!(decode(text.as_bytes()).is_ok_and(|bytes| bytes.starts_with(b"hey??")), "{text:?}");
        }
        assert_eq!(decode(b"").unwrap(), b"");
    }

    #[test]
    fn reads_long_lines_as_long_texts() {
        let bytes: Vec<u8> = (0..50_000_u32).map(|at| (at * at % 251) as u8).collect();
        for pad in [0, 1, 2] {
            let bytes = &bytes[pad..];
            let text = STANDARD.encode(bytes);
            let lines: Vec<&str> = text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
            assert_eq!(decode(lines.join("\r\n").as_bytes()).unwrap(), bytes);
            assert_eq!(decode(lines.join("\n").replace('+', "-").replace('/', "_").trim_end_matches('=').as_bytes()).unwrap(), bytes);
        }
    }

    #[test]
    fn says_where_it_goes_wrong() {
        for (text, expected) in [
            ("aGV5!", "broken base64 at character 5: '!' is no character of base64"),
            ("aGé5", "broken base64 at character 3: 'é' is no character of base64"),
            ("data:image/png,aGV5", "broken base64 at character 5: ':' is no character of base64"),
            ("data:;base64,aGV5\n?", "broken base64 at character 19: '?' is no character of base64"),
            ("aGV5IQ==aGV5", "broken base64 at character 9: there is more behind the padding"),
            ("a", "broken base64 at character 2: it is cut off, or its padding is wrong"),
            ("aGV5=", "broken base64 at character 6: it is cut off, or its padding is wrong"),
        ] {
            assert_eq!(detail(text), expected);
        }
    }
}
