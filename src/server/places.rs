//! Places for connections: so many are served at a time, and a few more are let in to be told what to do.
//!
//! Probes are answered though all places are taken: an orchestrator would restart a service that is busy. So a connection beyond the places is accepted and
//! its request read; a probe is answered, any other waits for a place. Only so many wait: a further connection turns the longest waiting one away.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Connections beyond the places that are let in.
pub(super) const BEYOND: usize = 64;

/// The places at one address.
pub(super) struct Places {
    free: Arc<Semaphore>,
    waiting: Mutex<VecDeque<Weak<Place>>>,
}

/// The place of one connection, or its wait for one; free again when this is dropped.
pub(super) struct Place {
    free: Arc<Semaphore>,
    held: OnceLock<OwnedSemaphorePermit>,
    turned_away: watch::Sender<bool>,
}

impl Places {
    pub(super) fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), waiting: Mutex::default() }
    }

    /// For a connection that has come.
    pub(super) fn enter(&self) -> Arc<Place> {
        let held = Arc::clone(&self.free).try_acquire_owned().map(OnceLock::from).unwrap_or_default();
        let place = Arc::new(Place { free: Arc::clone(&self.free), held, turned_away: watch::Sender::new(false) });
        if !place.is_held() {
            self.wait(&place);
        }
        place
    }

    fn wait(&self, place: &Arc<Place>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|place| place.upgrade().is_some_and(|place| !place.is_held()));
        if waiting.len() >= BEYOND
            && let Some(longest) = waiting.pop_front().and_then(|place| place.upgrade())
        {
            longest.turned_away.send_replace(true);
        }
        waiting.push_back(Arc::downgrade(place));
    }
}

impl Place {
    pub(super) fn is_held(&self) -> bool {
        self.held.get().is_some()
    }

    /// Waits for a place, and says whether there was one before the connection was turned away.
    pub(super) async fn hold(&self) -> bool {
        if self.is_held() {
            return true;
        }
        tokio::select! {
            biased;
            Ok(permit) = Arc::clone(&self.free).acquire_owned() => self.held.set(permit).is_ok(),
            () = self.turned_away() => false,
        }
    }

    /// Resolves when another connection needs the way in.
    pub(super) async fn turned_away(&self) {
        // The sender is `self`.
        let _changed = self.turned_away.subscribe().wait_for(|turned_away| *turned_away).await.is_ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_had_at_once_or_after_another_one() {
        let places = Places::new(1);
        let (first, second) = (places.enter(), places.enter());
        assert!(first.is_held() && !second.is_held());
        drop(first);
        assert!(second.hold().await && second.is_held());
        assert!(!places.enter().is_held());
        drop(second);
        assert!(places.enter().is_held());
    }

    #[tokio::test]
    async fn the_longest_waiting_one_is_turned_away_for_a_newcomer() {
        let places = Places::new(1);
        let _first = places.enter();
        let waiting: Vec<_> = (0..BEYOND).map(|_| places.enter()).collect();
        let _newcomer = places.enter();
        assert!(!waiting[0].hold().await);
        drop(_first);
        assert!(waiting[1].hold().await);
    }
}
