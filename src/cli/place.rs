//! Where `--models` leads: a folder, or the address of an object store.

use std::path::{Path, PathBuf};
use std::str::FromStr;

#[cfg(feature = "object-store")]
use url::Url;

/// A folder of model folders, or what takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// On this machine; a `file://` address is one too.
    Folder(PathBuf),
    /// In an object store.
    #[cfg(feature = "object-store")]
    Store(Url),
}

impl Place {
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(path) => Some(path),
            #[cfg(feature = "object-store")]
            Self::Store(_) => None,
        }
    }

    #[cfg(feature = "object-store")]
    pub(super) fn store(&self) -> Option<&Url> {
        match self {
            Self::Store(url) => Some(url),
            Self::Folder(_) => None,
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if is_address(text) { address(text) } else { Ok(Self::Folder(PathBuf::from(text))) }
    }
}

/// Parses a folder where no address will do.
pub(super) fn folder(text: &str) -> Result<PathBuf, String> {
    if is_address(text) { Err("expected a folder on this machine".to_owned()) } else { Ok(PathBuf::from(text)) }
}

fn is_address(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(feature = "object-store")]
fn address(text: &str) -> Result<Place, String> {
    let url = Url::parse(text).map_err(|error| format!("expected a folder or an address ({error})"))?;
    match url.scheme() {
        "file" => url.to_file_path().map(Place::Folder).map_err(|()| "expected file:///, and a folder on this machine".to_owned()),
        _ if url.host_str().is_none_or(str::is_empty) => Err("expected a bucket or a host behind ://, as in s3://bucket/models".to_owned()),
        _ if url.query().is_some() || url.fragment().is_some() => Err("expected no \"?\" or \"#\" in an address".to_owned()),
        "s3" | "s3a" | "gs" | "az" | "azure" | "adl" | "abfs" | "abfss" | "http" | "https" => Ok(Place::Store(url)),
        _ => Err("expected a folder, or an address that begins with s3://, gs://, az://, https://, http:// or file://".to_owned()),
    }
}

#[cfg(not(feature = "object-store"))]
fn address(_: &str) -> Result<Place, String> {
    Err(without_stores())
}

#[cfg(any(test, not(feature = "object-store")))]
fn without_stores() -> String {
    let how = "the container image reads them, and so does what `cargo install --locked --path . --features object-store` builds";
    format!("expected a folder, since this senet was built without object stores: {how}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_a_folder() {
        for text in ["models", "/srv/models", "./a:b", "C:/models", "a/b://c"] {
            assert_eq!(text.parse(), Ok(Place::Folder(PathBuf::from(text))), "{text}");
        }
        assert!(folder("s3://bucket").is_err());
    }

    #[test]
    #[cfg(feature = "object-store")]
    fn addresses_are_told_by_their_scheme() {
        for text in ["s3://bucket/models", "gs://bucket", "az://container/a", "https://host/models", "http://host:1/"] {
            assert_eq!(
                text.parse::<Place>().unwrap().store().map(Url::as_str).map(|url| url.trim_end_matches('/')),
                Some(text.trim_end_matches('/'))
            );
        }
        assert_eq!("file:///srv/my%20models".parse(), Ok(Place::Folder(PathBuf::from("/srv/my models"))));
        for (text, expected) in [
            ("ftp://host", "begins with s3://"),
            ("file://host/a", "file:///"),
            ("s3://b?x", "no \"?\""),
            ("s3://", "a bucket"),
            ("gs:///models", "a bucket"),
            ("http://", "an address ("),
        ] {
            let message = text.parse::<Place>().unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_build_without_object_stores_says_how_to_get_one() {
        let message = without_stores();
        assert!(message.contains("--features object-store") && message.contains("the container image"), "{message}");
        if cfg!(not(feature = "object-store")) {
            assert_eq!("s3://bucket/models".parse::<Place>(), Err(message));
        }
    }
}
