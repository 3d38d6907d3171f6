//! Reading files whose sizes nobody has vouched for.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Bytes of a text file: labels of 20,000 classes have 1 MB.
const MAX_TEXT_BYTES: u64 = 16 << 20;

/// The bytes of the file at `path`, at most `limit`.
///
/// # Errors
/// The system's, and for what is no file (a pipe may never end) or has more bytes.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for somebody to write to it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let too_long = || io::Error::other(format!("it has more than {limit} bytes, the most that such a file may have"));
    if length > limit {
        return Err(too_long());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    // It may grow meanwhile, and those of /proc have no length.
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_long()) } else { Ok(bytes) }
}

/// The text in the file at `path`.
///
/// # Errors
/// As [`read`], and for bytes that are not UTF-8.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path, MAX_TEXT_BYTES)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_or_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        assert!(read(&path, 3).unwrap_err().to_string().contains("more than 3 bytes"));
        assert_eq!(read(folder.path(), 3).unwrap_err().to_string(), "it is no file");
        assert_eq!(read(Path::new("/dev/zero"), 3).unwrap_err().to_string(), "it is no file");
    }
}
