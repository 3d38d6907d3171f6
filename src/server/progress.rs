//! Where a connection stands: what the service that answers its requests tells the socket that carries them, and the loop that accepted it tells both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};

use axum::http::Version;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The next head is awaited, after this many requests.
    Idle(u64),
    /// A request is being read.
    Reading,
    /// A request was read whole, and no byte of its answer is there yet.
    Working,
    /// The answer is being sent.
    Answering,
}

/// Shared by what serves one connection; its own task alone writes to it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    begun: AtomicU64,
    ended: AtomicU64,
    read: AtomicBool,
    answering: AtomicBool,
    /// Whether the client knows interim answers, which came with HTTP/1.1.
    interim: AtomicBool,
    finishing: AtomicBool,
    /// The status that a head was answered which could not be read, or 0.
    unreadable: AtomicU16,
}

impl Progress {
    /// The head of a request of `version` has come; the request ends when what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> UnderWay {
        self.read.store(false, Ordering::Relaxed);
        self.answering.store(false, Ordering::Relaxed);
        self.interim.store(version > Version::HTTP_10, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// The request under way has been read to its end.
    pub(super) fn was_read(&self) {
        self.read.store(true, Ordering::Relaxed);
    }

    /// The answer to the request under way is ready.
    pub(super) fn answers(&self) {
        self.answering.store(true, Ordering::Relaxed);
    }

    pub(super) fn turn(&self) -> Turn {
        let ended = self.ended.load(Ordering::Relaxed);
        match (self.begun.load(Ordering::Relaxed) == ended, self.answering.load(Ordering::Relaxed), self.read.load(Ordering::Relaxed)) {
            (true, ..) => Turn::Idle(ended),
            (false, true, _) => Turn::Answering,
            (false, false, true) => Turn::Working,
            (false, false, false) => Turn::Reading,
        }
    }

    /// Whether the client of the request under way understands `100 Continue`.
    pub(super) fn takes_interim_answers(&self) -> bool {
        self.interim.load(Ordering::Relaxed)
    }

    /// A head could not be read and was answered `status`.
    pub(super) fn unreadable(&self, status: u16) {
        self.unreadable.store(status, Ordering::Relaxed);
    }

    /// What a head that could not be read was answered, if there was one.
    pub(super) fn unreadable_status(&self) -> Option<u16> {
        Some(self.unreadable.load(Ordering::Relaxed)).filter(|status| *status > 0)
    }

    /// From now on the connection ends as soon as it is idle.
    pub(super) fn finish(&self) {
        self.finishing.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_finishing(&self) -> bool {
        self.finishing.load(Ordering::Relaxed)
    }
}

/// A request between its head and the end of its answer, or of its connection.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Progress>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}
