//! Threads that help a run with its steps while cores are idle.
//!
//! A run belongs to the thread that called it. Where fewer runs are under way than there are cores, each gets its share of the others: an idle
//! service answers one image with all cores, a busy one gives every image a core and wastes none on handing work over. Helpers sleep when nothing
//! has come for some microseconds.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Runs under way in this process, of all networks.
static RUNS: AtomicUsize = AtomicUsize::new(0);

static CORES: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, NonZeroUsize::get));

/// One thread for every core but the caller's; none where there is one core, or the system gives no threads.
static HELPERS: LazyLock<Option<ThreadPool>> = LazyLock::new(|| {
    let helpers = ThreadPoolBuilder::new().num_threads(*CORES - 1).thread_name(|index| format!("helper-{index}"));
    (*CORES > 1).then(|| helpers.build().ok()).flatten()
});

/// The most threads that a run can be spread over on this machine.
pub(crate) fn most_threads() -> usize {
    HELPERS.as_ref().map_or(1, |helpers| helpers.current_num_threads() + 1)
}

/// A run under way.
pub(super) struct Run(());

impl Run {
    pub(super) fn start() -> Self {
        RUNS.fetch_add(1, Ordering::Relaxed);
        Self(())
    }

    /// How many threads, of `limit` at most, this run may use at present.
    pub(super) fn threads(&self, limit: usize) -> usize {
        (*CORES / RUNS.load(Ordering::Relaxed).max(1)).clamp(1, limit.max(1))
    }

    /// Does `work` on every part, on as many threads as there are parts.
    pub(super) fn share<T: Send>(&self, mut parts: Vec<T>, work: impl Fn(T) + Sync) {
        let Some(helpers) = HELPERS.as_ref().filter(|_| parts.len() > 1) else {
            parts.into_iter().for_each(work);
            return;
        };
        // Whoever is first takes the next part: a helper that comes late finds none and goes back to sleep.
        let first = parts.pop();
        let count = parts.len();
        let parts = Mutex::new(parts);
        let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).pop();
        helpers.in_place_scope(|scope| {
            for _ in 0..count {
                scope.spawn(|_| {
                    while let Some(part) = next() {
                        work(part);
                    }
                });
            }
            first.into_iter().for_each(&work);
            while let Some(part) = next() {
                work(part);
            }
        });
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        RUNS.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_done_once() {
        let run = Run::start();
        for count in 0..40 {
            let done: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            run.share(done.iter().collect(), |part| {
                part.fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().all(|part| part.load(Ordering::Relaxed) == 1), "of {count}");
        }
    }

    #[test]
    fn runs_share_the_cores() {
        let runs: Vec<Run> = (0..*CORES).map(|_| Run::start()).collect();
        assert_eq!(runs[0].threads(usize::MAX), 1);
        assert_eq!(runs[0].threads(0), 1);
    }
}
