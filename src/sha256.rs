//! SHA-256 as people compare it.

use sha2::{Digest, Sha256};

/// The 64 lower-case hexadecimal digits that `sha256sum` prints for `bytes`.
pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    digits(Sha256::digest(bytes))
}

/// As [`hex`], of a file's content, which is never held in memory as a whole.
///
/// # Errors
/// When it cannot be read.
#[cfg(feature = "server")]
pub(crate) fn hex_of_file(path: &std::path::Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut file = std::fs::File::open(path)?;
    let (mut sha256, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(digits(sha256.finalize())),
            length => sha256.update(buffer.get(..length).unwrap_or_default()),
        }
    }
}

pub(crate) fn digits(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
