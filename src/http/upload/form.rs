//! `multipart/form-data` (RFC 7578) in a body that is whole: its pictures are slices of the body, so that a form takes no more memory than came.

use bytes::Bytes;
use httparse::{EMPTY_HEADER, Status, parse_headers};
use memchr::memmem::Finder;

use super::{Encoded, check_count, check_identity, invalid};
use crate::excerpt::excerpt;
use crate::http::parameters::{NAMES, Parameters, invalid_parameter, is_parameter, meant};
use crate::http::problem::Problem;
use crate::image::Format;

/// Of one part, before its content.
const MAX_HEAD_BYTES: usize = 8 << 10;
/// Of one part.
const MAX_HEADERS: usize = 16;
/// Parts that are no pictures: every option once, and what a page's form sends beside them.
const MAX_FIELDS: usize = 64;
/// As RFC 2046, section 5.1.1, has it.
const MAX_BOUNDARY: usize = 70;

/// The pictures of the form, and the options in its other fields.
///
/// # Errors
/// `invalid-body` and `invalid-parameter`.
pub(super) fn read(content_type: &str, body: &Bytes, max_images: usize) -> Result<(Vec<Encoded>, Parameters), Problem> {
    let mut images = Vec::new();
    let mut parameters = Parameters::default();
    let mut fields = 0;
    let mut parts = Parts::of(content_type, body)?;
    while let Some(part) = parts.next_part()? {
        if part.is_picture() {
            images.push(part.picture(body)?);
            check_count(images.len(), max_images)?;
        } else {
            fields += 1;
            if fields > MAX_FIELDS {
                return Err(broken(&format!("it has more than {MAX_FIELDS} fields that are no pictures")).with_limit(MAX_FIELDS as u64));
            }
            part.set_option(&mut parameters)?;
        }
    }
    if images.is_empty() { Err(invalid(format!("the form holds no picture; {NEEDED}"))) } else { Ok((images, parameters)) }
}

const NEEDED: &str = "a picture is a part with a file name, as curl -F image=@cat.jpg sends it, or the bytes of an image file";

/// The parts of a form that have not been read yet.
struct Parts<'a> {
    /// From behind a boundary on; nothing behind the last one.
    rest: &'a [u8],
    delimiter: Finder<'static>,
    ended: bool,
}

struct Part<'a> {
    name: String,
    file_name: Option<String>,
    content_type: Option<String>,
    transfer_encoding: String,
    content: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(content_type: &str, body: &'a [u8]) -> Result<Self, Problem> {
        let boundary = attribute(content_type, "boundary").ok_or_else(|| broken("the header Content-Type names no boundary"))?;
        if !(1..=MAX_BOUNDARY).contains(&boundary.len()) {
            return Err(broken(&format!("its boundary has {} characters, expected 1 to {MAX_BOUNDARY}", boundary.len())));
        }
        let delimiter = Finder::new(&format!("\r\n--{boundary}")).into_owned();
        // The first boundary has no line break before it, unless something stands there, which is ignored.
        let first = delimiter.needle().get(2..).unwrap_or_default();
        let mut parts = Self { rest: body, delimiter: delimiter.clone(), ended: false };
        let begun = match body.strip_prefix(first).and_then(behind_delimiter) {
            Some((rest, ended)) => {
                (parts.rest, parts.ended) = (rest, ended);
                true
            }
            None => parts.until_delimiter().is_some(),
        };
        if begun { Ok(parts) } else { Err(broken("the boundary that the header Content-Type names is not in it")) }
    }

    /// What stands before the next boundary, which is left behind.
    fn until_delimiter(&mut self) -> Option<&'a [u8]> {
        let mut from = 0;
        loop {
            let at = from + self.delimiter.find(self.rest.get(from..)?)?;
            from = at + self.delimiter.needle().len();
            // A line that merely begins as the boundary does is content.
            if let Some((rest, ended)) = behind_delimiter(self.rest.get(from..)?) {
                let before = self.rest.get(..at)?;
                (self.rest, self.ended) = (rest, ended);
                return Some(before);
            }
        }
    }

    fn next_part(&mut self) -> Result<Option<Part<'a>>, Problem> {
        if self.ended {
            return Ok(None);
        }
        let part = self.until_delimiter().ok_or_else(|| broken("it ends before its closing boundary"))?;
        // The line break behind the boundary, which is that before the next one where there is nothing between them.
        Part::parse(part.strip_prefix(b"\r\n").unwrap_or(part)).map(Some)
    }
}

/// What follows a boundary, from its line break on, and whether it was the last one; nothing where the line goes on, so that it is no boundary.
fn behind_delimiter(rest: &[u8]) -> Option<(&[u8], bool)> {
    if let Some(rest) = rest.strip_prefix(b"--") {
        return Some((rest, true));
    }
    let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    rest.get(padding..).filter(|rest| rest.starts_with(b"\r\n")).map(|rest| (rest, false))
}

impl<'a> Part<'a> {
    fn parse(part: &'a [u8]) -> Result<Self, Problem> {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let Ok(Status::Complete((length, headers))) = parse_headers(part.get(..part.len().min(MAX_HEAD_BYTES)).unwrap_or_default(), &mut headers)
        else {
            return Err(broken(&format!("a part does not begin with headers of at most {MAX_HEAD_BYTES} bytes and a blank line")));
        };
        let value = |name: &str| {
            let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            header.map(|header| String::from_utf8_lossy(header.value).into_owned())
        };
        let disposition = value("content-disposition").unwrap_or_default();
        Ok(Self {
            name: attribute(&disposition, "name").unwrap_or_default(),
            file_name: attribute(&disposition, "filename*").or_else(|| attribute(&disposition, "filename")),
            content_type: value("content-type"),
            transfer_encoding: value("content-transfer-encoding").unwrap_or_default(),
            content: part.get(length..).unwrap_or_default(),
        })
    }

    /// A page sends a part with an empty file name and nothing in it where no file was chosen.
    fn is_picture(&self) -> bool {
        let is_file = self.file_name.is_some() || self.content_type.as_deref().is_some_and(|kind| !starts_with_text(kind));
        let no_file_chosen = self.file_name.as_deref().unwrap_or_default().is_empty() && self.content.is_empty();
        (is_file && !no_file_chosen) || (!is_parameter(&self.name) && looks_like_a_picture(self.content))
    }

    /// Mail's encodings have no place in HTTP (RFC 7578, section 4.7), but some clients use them.
    fn picture(&self, body: &Bytes) -> Result<Encoded, Problem> {
        let content = body.slice_ref(self.content);
        match self.transfer_encoding.trim().to_ascii_lowercase().as_str() {
            "base64" => Ok(Encoded::Base64(content)),
            "7bit" | "8bit" | "binary" => Ok(Encoded::Binary(content)),
            other => check_identity("Content-Transfer-Encoding", other).map(|()| Encoded::Binary(content)),
        }
    }

    fn set_option(&self, parameters: &mut Parameters) -> Result<(), Problem> {
        let name = self.name.as_str();
        if self.content.is_empty() {
            // What was left blank in a page's form has its default.
            return Ok(());
        }
        if is_parameter(name) {
            let text = std::str::from_utf8(self.content).map_err(|_| invalid_parameter(format!("{name} is not UTF-8")))?;
            return parameters.set(name, text);
        }
        if is_button(name) { Ok(()) } else { Err(self.unknown()) }
    }

    fn unknown(&self) -> Problem {
        let name = excerpt(&self.name);
        match meant(&name, NAMES) {
            Some(meant) => invalid_parameter(format!("there is no parameter {name:?}; did you mean {meant}?")),
            None => invalid_parameter(format!("the field {name:?} is neither a parameter nor a picture; {NEEDED}")),
        }
    }
}

fn starts_with_text(kind: &str) -> bool {
    kind.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("text/"))
}

/// Whether it begins as an image file does; the two letters that a bitmap begins with may be those of a text.
fn looks_like_a_picture(content: &[u8]) -> bool {
    Format::sniff(content).is_some_and(|format| format != Format::Bmp || content.iter().take(16).any(|byte| *byte == 0))
}

/// Whether a page's form may send it for the button that was pressed.
fn is_button(name: &str) -> bool {
    const WORDS: [&str; 7] = ["action", "classify", "commit", "go", "ok", "send", "upload"];
    let name = name.to_ascii_lowercase();
    WORDS.contains(&name.as_str()) || ["btn", "button", "submit"].iter().any(|part| name.contains(part))
}

/// The value of `name` in a header such as `form-data; name="a"; filename="b"` (RFC 9110, section 5.6.6).
fn attribute(header: &str, name: &str) -> Option<String> {
    let (_, mut rest) = header.split_once(';')?;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, next) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => after.split_once(';').map_or_else(|| (after.trim().to_owned(), ""), |(value, next)| (value.trim().to_owned(), next)),
        };
        if key.rsplit(';').next().is_some_and(|key| key.trim().eq_ignore_ascii_case(name)) {
            return Some(value);
        }
        rest = next;
    }
}

/// The text up to the closing quote, and what follows that.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        match char {
            '"' => break,
            '\\' => value.extend(rest.next()),
            _ => value.push(char),
        }
    }
    (value, rest.as_str())
}

fn broken(reason: &str) -> Problem {
    invalid(format!("broken multipart: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "multipart/form-data; boundary=b";

    fn detail(problem: Problem) -> String {
        serde_json::to_value(problem.body("")).unwrap()["detail"].as_str().unwrap().to_owned()
    }

    fn read_text(kind: &str, text: &str) -> Result<(Vec<Bytes>, Parameters), String> {
        let body = Bytes::copy_from_slice(text.as_bytes());
        let bytes = |image| match image {
            Encoded::Binary(bytes) => bytes,
            Encoded::Base64(_) => unreachable!(),
        };
        read(kind, &body, 3).map(|(images, parameters)| (images.into_iter().map(bytes).collect(), parameters)).map_err(detail)
    }

    fn part(disposition: &str, content: &str) -> String {
        format!("--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
    }

    #[test]
    fn reads_pictures_and_options_in_any_order() {
        let text = [
            "whatever\r\n",
            &part(r#"name="a"; filename="1;\".png""#, "one"),
            &part("name=top_k", "\u{feff}3"),
            "--b  \r\ncontent-type: image/png\r\nCONTENT-DISPOSITION: form-data; name=\"b\"\r\n\r\n\r\n--bb\r\n--b--",
        ]
        .concat();
        let (images, parameters) = read_text(KIND, &text).unwrap();
        assert_eq!(images, [&b"one"[..], b"\r\n--bb"]);
        assert_eq!(parameters.options(9).top_k, 3);
    }

    #[test]
    fn the_boundary_may_be_quoted_and_parameters_have_any_case() {
        let text = part(r#"name="a"; filename="x""#, "one") + "--b--\r\n";
        for kind in [r#"multipart/form-data; charset="a;b=c"; Boundary="b""#, "Multipart/Form-Data;boundary = b ;x=y"] {
            assert_eq!(read_text(kind, &text).unwrap().0.len(), 1, "{kind}");
        }
    }

    #[test]
    fn a_picture_needs_no_file_name() {
        let gif = "GIF89a\u{1}\0\u{1}\0";
        let text = part("name=photo", gif) + &part("name=model", "GIF89a") + "--b--";
        let (images, parameters) = read_text(KIND, &text).unwrap();
        assert_eq!(images, [gif]);
        assert_eq!(parameters.model(), Some("GIF89a"));
        assert!(!looks_like_a_picture(b"BMW") && looks_like_a_picture(b"BM\x46\0\0\0\0\0\0\0"));
    }

    #[test]
    fn a_picture_may_come_in_base64_and_in_no_other_encoding_of_mail() {
        let encoded = |name: &str| {
            let text = format!("--b\r\nContent-Disposition: form-data; name=a; filename=x\r\nContent-Transfer-Encoding: {name}\r\n\r\naGV5\r\n--b--");
            read(KIND, &Bytes::from(text), 3).map(|(mut images, _)| images.remove(0)).map_err(detail)
        };
        assert_eq!(encoded("Base64"), Ok(Encoded::Base64(Bytes::from_static(b"aGV5"))));
        assert_eq!(encoded("binary"), Ok(Encoded::Binary(Bytes::from_static(b"aGV5"))));
        assert_eq!(
            encoded("quoted-printable").unwrap_err(),
            "Content-Transfer-Encoding is \"quoted-printable\", which is not read; send the body as it is"
        );
    }

    #[test]
    fn what_a_page_sends_beside_a_picture_is_ignored() {
        let picture = part(r#"name="a"; filename="x""#, "one");
        for other in [
            part(r#"name="other"; filename="""#, ""),
            part("name=comment", ""),
            part("name=top_k", ""),
            part("name=submit", "Go"),
            part("name=btnUpload", "1"),
        ] {
            let (images, parameters) = read_text(KIND, &[picture.as_str(), &other, "--b--"].concat()).unwrap();
            assert_eq!((images.len(), parameters), (1, Parameters::default()), "{other}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let picture = part(r#"name="a"; filename="x""#, "one");
        let many = part("name=ok", "1").repeat(MAX_FIELDS + 1) + "--b--";
        let long = part(&format!("name={}", "x".repeat(MAX_HEAD_BYTES)), "1") + "--b--";
        let name = "y".repeat(1000);
        let cut = format!("the field \"{}…\" is neither a parameter nor a picture; {NEEDED}", "y".repeat(64));
        for (kind, text, expected) in [
            ("multipart/form-data", &*picture, "broken multipart: the header Content-Type names no boundary"),
            ("multipart/form-data; boundary=", &picture, "broken multipart: its boundary has 0 characters, expected 1 to 70"),
            (KIND, "no form", "broken multipart: the boundary that the header Content-Type names is not in it"),
            (KIND, &picture, "broken multipart: it ends before its closing boundary"),
            (KIND, "--b\r\n--b--", "broken multipart: a part does not begin with headers of at most 8192 bytes and a blank line"),
            (KIND, &long, "broken multipart: a part does not begin with headers of at most 8192 bytes and a blank line"),
            (KIND, &many, "broken multipart: it has more than 64 fields that are no pictures"),
            (KIND, "--b--", &format!("the form holds no picture; {NEEDED}")),
            (KIND, &(picture.repeat(4) + "--b--"), "the body holds more than 3 images"),
            (KIND, &(part("name=topk", "3") + "--b--"), "there is no parameter \"topk\"; did you mean top_k?"),
            (KIND, &(part("name=top_k", "many") + "--b--"), "top_k is \"many\", expected a whole number of 1 or more"),
            (KIND, &(part(&format!("name={name}"), "3") + "--b--"), &cut),
        ] {
            assert_eq!(read_text(kind, text).unwrap_err(), expected);
        }
    }
}
