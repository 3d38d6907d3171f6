//! An object store as models need it: one listing, and whole objects.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, Error, GetOptions, HeaderValue, ObjectMeta, ObjectStore, ObjectStoreScheme, RetryConfig};
use percent_encoding::percent_decode_str;
use url::{Position, Url};

use super::blobs::Writing;
use super::connector::Connector;
use super::error::StoreError;
use super::listing::{Listing, Object};
use super::reason::judge;

/// Most objects below one prefix: a whole bucket that was named by mistake may have millions.
const MAX_OBJECTS: usize = 100_000;

/// A bucket and a prefix in it.
pub(super) struct Store {
    store: Box<dyn ObjectStore>,
    scheme: ObjectStoreScheme,
    prefix: Path,
    /// Without user, password or slash at the end.
    url: String,
}

impl Store {
    /// With credentials and endpoint from the environment; asks nobody yet. What does not answer is asked again for as long as `patience`.
    ///
    /// # Errors
    /// [`StoreError::Address`] and [`StoreError::Setting`].
    pub(super) fn open(url: &Url, patience: Duration) -> Result<Self, StoreError> {
        let shown = shown(url);
        let wrong = |reason: String| StoreError::Address { url: shown.clone(), reason };
        let (scheme, prefix) = ObjectStoreScheme::parse(url).map_err(|error| wrong(error.to_string()))?;
        let backoff = BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() };
        let retry = RetryConfig { backoff, max_retries: 100, retry_timeout: patience };
        let connector = Connector::new(authorization(url, &scheme))?;
        let store = build(url, &scheme, retry, connector).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { store, scheme, prefix, url: shown })
    }

    /// For people: it holds no secret.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Everything below the prefix.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`], [`StoreError::Refused`] and [`StoreError::TooMany`].
    pub(super) fn list(&self) -> Result<Listing, StoreError> {
        let objects = wait(async {
            let listed = self.store.list(Some(&self.prefix)).take(MAX_OBJECTS + 1);
            listed.try_filter_map(async |meta| Ok(self.object(meta))).try_collect::<Vec<Object>>().await
        })?;
        let objects = objects.map_err(|error| judge(&error, &self.scheme, &self.url))?;
        match objects.len() {
            ..=MAX_OBJECTS => Ok(Listing::new(objects)),
            _ => Err(StoreError::TooMany { url: self.url.clone(), limit: MAX_OBJECTS }),
        }
    }

    fn object(&self, meta: ObjectMeta) -> Option<Object> {
        let below = meta.location.as_ref().strip_prefix(self.prefix.as_ref())?;
        let path = if self.prefix.as_ref().is_empty() { below } else { below.strip_prefix('/')? };
        Some(Object { path: path.to_owned(), bytes: meta.size, e_tag: meta.e_tag, modified: meta.last_modified.timestamp_millis() })
    }

    /// Writes to `file` the object as it was listed.
    ///
    /// # Errors
    /// [`StoreError::Changed`] where it no longer is as it was, those of [`Store::list`], and [`StoreError::Cache`].
    pub(super) fn get(&self, object: &Object, file: &mut Writing) -> Result<(), StoreError> {
        let url = format!("{}/{}", self.url, object.path);
        let changed = || StoreError::Changed { url: url.clone() };
        let told = |error: Error| match error {
            Error::Precondition { .. } => changed(),
            error => judge(&error, &self.scheme, &url),
        };
        let location = Path::parse(format!("{}/{}", self.prefix, object.path)).map_err(|error| told(error.into()))?;
        // A weak tag never matches.
        let if_match = object.e_tag.clone().filter(|e_tag| !e_tag.starts_with("W/"));
        wait(async {
            let answer = self.store.get_opts(&location, GetOptions { if_match, ..GetOptions::default() }).await.map_err(told)?;
            if !is_same(object, &answer.meta) {
                return Err(changed());
            }
            let (mut pieces, mut length) = (answer.into_stream(), 0);
            while let Some(piece) = pieces.try_next().await.map_err(told)? {
                length += piece.len() as u64;
                file.write(&piece)?;
            }
            if length == object.bytes { Ok(()) } else { Err(changed()) }
        })?
    }
}

/// A server may leave out the tag, or the time, which is then the beginning of 1970; and time may be in whole seconds here and not there.
fn is_same(listed: &Object, got: &ObjectMeta) -> bool {
    let strong = |e_tag: &str| e_tag.trim_start_matches("W/").to_owned();
    let seconds = got.last_modified.timestamp();
    listed.bytes == got.size
        && match (&listed.e_tag, &got.e_tag) {
            (Some(listed), Some(got)) => strong(listed) == strong(got),
            _ => seconds == 0 || seconds == listed.modified.div_euclid(1000),
        }
}

fn build(url: &Url, scheme: &ObjectStoreScheme, retry: RetryConfig, connector: Connector) -> object_store::Result<Box<dyn ObjectStore>> {
    let address = shown_with_container(url);
    Ok(match scheme {
        ObjectStoreScheme::AmazonS3 => {
            Box::new(AmazonS3Builder::from_env().with_url(address).with_retry(retry).with_http_connector(connector).build()?)
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            Box::new(GoogleCloudStorageBuilder::from_env().with_url(address).with_retry(retry).with_http_connector(connector).build()?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            Box::new(MicrosoftAzureBuilder::from_env().with_url(address).with_retry(retry).with_http_connector(connector).build()?)
        }
        ObjectStoreScheme::Http => {
            // Whoever writes http:// means it.
            let options = ClientOptions::new().with_allow_http(true);
            let mut host = url.clone();
            strip(&mut host);
            let builder = HttpBuilder::new().with_url(&host[..Position::BeforePath]).with_client_options(options);
            Box::new(builder.with_retry(retry).with_http_connector(connector).build()?)
        }
        _ => return Err(Error::NotSupported { source: "expected s3://, gs://, az://, https:// or file://".into() }),
    })
}

/// As its user wrote it, without secrets, for people.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    strip(&mut url);
    url.as_str().trim_end_matches('/').to_owned()
}

/// In `abfs://container@account…` the user is no user.
fn shown_with_container(url: &Url) -> String {
    let mut url = url.clone();
    let _no_host = url.set_password(None);
    url.into()
}

fn strip(url: &mut Url) {
    url.set_query(None);
    url.set_fragment(None);
    let _no_host = url.set_password(None);
    if matches!(url.scheme(), "http" | "https") {
        let _no_host = url.set_username("");
    }
}

/// Of the user and password in an `https://` address.
fn authorization(url: &Url, scheme: &ObjectStoreScheme) -> Option<HeaderValue> {
    if *scheme != ObjectStoreScheme::Http || url.username().is_empty() {
        return None;
    }
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pair = format!("{}:{}", decode(url.username()), decode(url.password().unwrap_or_default()));
    let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Runs `work` to its end on this thread, with a runtime of its own, since [`Connector`] blocks.
fn wait<T>(work: impl Future<Output = T>) -> Result<T, StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| StoreError::Setting(format!("cannot start: {error}")))?;
    Ok(runtime.block_on(work))
}
