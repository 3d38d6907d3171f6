//! One file over HTTP: resumed where it broke off, tried again where that can help, never longer than expected.

use std::fs::{self, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::Body;
use ureq::http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName, IF_RANGE, RANGE, RETRY_AFTER};
use ureq::http::{Response, StatusCode};

use super::catalogue::Entry;
use super::client::{Client, Patience};
use super::error::ZooError;

/// What happens during a pull, for those who watch.
#[derive(Debug)]
pub enum Progress<'a> {
    /// Another process pulls the same model.
    Waiting,
    /// The server is going to be asked for what is missing.
    Asking {
        /// The address.
        url: &'a str,
        /// Bytes that are there already.
        position: u64,
        /// Bytes of the whole file.
        bytes: u64,
    },
    /// So many bytes are there now.
    Received(u64),
    /// An attempt failed, the next one follows.
    Retrying {
        /// Why.
        reason: &'a str,
        /// After this time.
        wait: Duration,
    },
}

/// Why an attempt failed.
enum Failure {
    /// For good.
    Final(ZooError),
    /// The next attempt may do better, after the time that the server asks for.
    Passing { reason: String, retry_after: Option<Duration> },
}

fn passing(reason: impl Into<String>) -> Failure {
    Failure::Passing { reason: reason.into(), retry_after: None }
}

/// A file on its way.
pub(super) struct Download<'a> {
    pub client: &'a Client,
    pub entry: &'a Entry,
    /// What has come so far; kept when it breaks off.
    pub part: &'a Path,
}

impl Download<'_> {
    /// Fetches what is missing of the file; asks nobody where nothing is.
    ///
    /// # Errors
    /// Every [`ZooError`] of the network, and [`ZooError::Write`].
    pub(super) fn run(&self, watch: &mut dyn FnMut(Progress<'_>)) -> Result<(), ZooError> {
        let Patience { retries, sleep, .. } = self.client.patience;
        let (position, bytes) = (self.position(), self.entry.bytes);
        if position < bytes {
            watch(Progress::Asking { url: &self.url(), position, bytes });
        }
        for attempt in 1.. {
            match self.attempt(watch) {
                Ok(()) => break,
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing { reason, .. }) if attempt > retries => {
                    return Err(ZooError::Unreachable { url: self.url(), reason, attempts: attempt, by_hand: self.part.to_owned() });
                }
                Err(Failure::Passing { reason, retry_after }) => {
                    let wait = wait(self.client.patience, attempt, retry_after);
                    watch(Progress::Retrying { reason: &reason, wait });
                    sleep(wait);
                }
            }
        }
        Ok(())
    }

    /// How many bytes are there.
    pub(super) fn position(&self) -> u64 {
        fs::metadata(self.part).map_or(0, |part| part.len())
    }

    pub(super) fn url(&self) -> String {
        self.entry.url(&self.client.endpoint)
    }

    fn attempt(&self, watch: &mut dyn FnMut(Progress<'_>)) -> Result<(), Failure> {
        let (url, bytes) = (self.url(), self.entry.bytes);
        let position = self.position();
        if position == bytes {
            return Ok(());
        }
        if position > bytes {
            self.discard()?;
            return Err(passing("what was there is longer than the file"));
        }
        let response = self.ask(&url, position).map_err(|error| self.judge(&error))?;
        let position = self.accept(&response, position)?;
        self.receive(response.into_body(), position, watch)
    }

    fn ask(&self, url: &str, position: u64) -> Result<Response<Body>, ureq::Error> {
        let mut request = self.client.agent.get(url).header(ACCEPT_ENCODING, "identity");
        if let Some(authorization) = &self.client.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if position > 0 {
            request = request.header(RANGE, format!("bytes={position}-"));
            if let Ok(tag) = fs::read_to_string(self.tag()) {
                request = request.header(IF_RANGE, tag);
            }
        }
        request.call()
    }

    /// At which byte the answer begins; drops what is there where it does not fit.
    fn accept(&self, response: &Response<Body>, position: u64) -> Result<u64, Failure> {
        let bytes = self.entry.bytes;
        let text = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        let range = text(CONTENT_RANGE).unwrap_or_default();
        let total = range.rsplit_once('/').and_then(|(_, total)| total.parse().ok());
        match response.status() {
            StatusCode::OK => {
                self.check_size(text(CONTENT_LENGTH).and_then(|length| length.parse().ok()))?;
                self.discard()?;
                if let Some(tag) = text(ETAG).filter(|tag| !tag.starts_with("W/")) {
                    fs::write(self.tag(), tag).map_err(|source| self.unwritable(source))?;
                }
                Ok(0)
            }
            StatusCode::PARTIAL_CONTENT if range == format!("bytes {position}-{}/{bytes}", bytes - 1) => Ok(position),
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if position > 0 => {
                self.check_size(total)?;
                self.discard()?;
                Err(passing(format!("the answer {:?} does not go on at byte {position}", range)))
            }
            status if status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) => {
                let retry_after = text(RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
                Err(Failure::Passing { reason: format!("the answer is {status}"), retry_after })
            }
            status => Err(self.refused(format!("the answer is {status}{}", advice(status)))),
        }
    }

    fn check_size(&self, actual: Option<u64>) -> Result<(), Failure> {
        match actual {
            Some(actual) if actual != self.entry.bytes => Err(self.wrong_size(actual.to_string())),
            _ => Ok(()),
        }
    }

    /// Appends the body to what is there, and reads no more than one byte too many.
    fn receive(&self, body: Body, mut position: u64, watch: &mut dyn FnMut(Progress<'_>)) -> Result<(), Failure> {
        let bytes = self.entry.bytes;
        let unwritable = |source| self.unwritable(source);
        let mut part = OpenOptions::new().create(true).append(true).open(self.part).map_err(unwritable)?;
        let mut body = body.into_reader().take(bytes - position + 1);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(passing(format!("it broke off after {position} of {bytes} bytes ({})", reason(&ureq::Error::from(error))))),
            };
            position += length as u64;
            if position > bytes {
                drop(part);
                self.discard()?;
                return Err(self.wrong_size(format!("more than {bytes}")));
            }
            part.write_all(buffer.get(..length).unwrap_or_default()).map_err(unwritable)?;
            watch(Progress::Received(position));
        }
        if position < bytes { Err(passing(format!("it broke off after {position} of {bytes} bytes"))) } else { Ok(()) }
    }

    /// Forgets what has come so far.
    pub(super) fn discard(&self) -> Result<(), ZooError> {
        remove(self.part)?;
        self.forget_tag()
    }

    /// Forgets which file has come so far.
    pub(super) fn forget_tag(&self) -> Result<(), ZooError> {
        remove(&self.tag())
    }

    /// Where the ETag of what has come so far is kept: it makes the server send the rest of that file alone.
    fn tag(&self) -> PathBuf {
        self.part.with_extension("etag")
    }

    fn judge(&self, error: &ureq::Error) -> Failure {
        let reason = reason(error);
        match error {
            ureq::Error::Io(source) if source.kind() != io::ErrorKind::InvalidData => passing(reason),
            // What rustls refuses comes as invalid data.
            ureq::Error::Io(_) | ureq::Error::Rustls(_) | ureq::Error::Tls(_) => Failure::Final(ZooError::Untrusted { url: self.url(), reason }),
            ureq::Error::Timeout(_) | ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => {
                passing(reason)
            }
            _ => self.refused(reason),
        }
    }

    fn refused(&self, reason: String) -> Failure {
        Failure::Final(ZooError::Refused { url: self.url(), reason, by_hand: self.part.to_owned() })
    }

    fn wrong_size(&self, actual: String) -> Failure {
        Failure::Final(ZooError::Size { url: self.url(), actual, expected: self.entry.bytes })
    }

    fn unwritable(&self, source: io::Error) -> Failure {
        Failure::Final(ZooError::Write { path: self.part.to_owned(), source })
    }
}

impl From<ZooError> for Failure {
    fn from(error: ZooError) -> Self {
        Self::Final(error)
    }
}

fn remove(file: &Path) -> Result<(), ZooError> {
    match fs::remove_file(file) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ZooError::Write { path: file.to_owned(), source }),
        _ => Ok(()),
    }
}

fn advice(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => " (set HF_TOKEN where the mirror wants one)",
        _ => "",
    }
}

/// Without the kind in front, which says nothing to people.
fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Timeout(_) => format!("nothing came in time ({error})"),
        error => error.to_string(),
    }
}

/// As long as the server asks for, else twice as long every time; give or take a quarter, so that many who were cut off together do not come
/// back together.
fn wait(patience: Patience, attempt: u32, retry_after: Option<Duration>) -> Duration {
    let doubled = patience.first_wait.saturating_mul(1 << (attempt - 1).min(16));
    let random = RandomState::new().hash_one(attempt) as f64 / u64::MAX as f64;
    retry_after.unwrap_or_else(|| doubled.mul_f64(0.75 + random / 2.0)).min(patience.longest_wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_and_the_server_may_ask_for_more() {
        let patience = Patience::default();
        for (attempt, seconds) in [(1, 1.0), (2, 2.0), (5, 16.0)] {
            let waited = wait(patience, attempt, None).as_secs_f64();
            assert!((seconds * 0.75..=seconds * 1.25).contains(&waited), "{waited} s before retry {attempt}");
        }
        assert_eq!(wait(patience, 1, Some(Duration::from_secs(7))), Duration::from_secs(7));
        assert_eq!(wait(patience, 1, Some(Duration::from_secs(7000))), patience.longest_wait);
    }
}
