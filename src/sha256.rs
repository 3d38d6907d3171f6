//! SHA-256 as people compare it.

use sha2::{Digest, Sha256};

/// The 64 lower-case hexadecimal digits that `sha256sum` prints for `bytes`.
pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
