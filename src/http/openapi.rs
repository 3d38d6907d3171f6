//! The OpenAPI 3.1 document.

use std::sync::OnceLock;

/// The document as JSON text, with this build's version in it.
pub(super) fn document() -> &'static str {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(|| include_str!("openapi.json").replace("{{version}}", env!("CARGO_PKG_VERSION")))
}
