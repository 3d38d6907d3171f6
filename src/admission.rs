//! Bounded work: a fixed pool of CPU threads behind a bounded queue; knows neither pictures nor HTTP.
//!
//! A [`Permit`] is a place in the pool, taken before a job exists and given back when the job has ended; it travels with the job. There are as
//! many permits as workers and queue places together, so a job that holds one always finds room in the queue, and who finds no permit is
//! turned away at once instead of waiting.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::Span;

use crate::config::AdmissionConfig;
use crate::excerpt::{MOST_WORDS, cut};
use crate::ops::Busy;

type Job = Box<dyn FnOnce() + Send>;

/// Every worker is busy and the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} more would exceed the {capacity} images that are worked on or wait at a time")]
pub struct Overloaded {
    /// Places asked for.
    pub wanted: usize,
    /// Places that there are, workers and queue together.
    pub capacity: usize,
}

/// Why a job has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The job panicked; its worker lives on.
    #[error("the job panicked: {0}")]
    Panicked(String),
    /// The pool was closed before the job began.
    #[error("the pool was closed before the job began")]
    Closed,
}

/// A place in the pool.
#[derive(Debug)]
pub struct Permit {
    place: OwnedSemaphorePermit,
}

/// A fixed number of threads behind a queue of fixed length. Dropping it ends and joins the threads; jobs that have begun finish first.
pub struct Pool {
    jobs: Option<Sender<Job>>,
    workers: Vec<JoinHandle<()>>,
    places: Arc<Semaphore>,
    capacity: usize,
}

impl Pool {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn new(config: AdmissionConfig) -> io::Result<Self> {
        let capacity = config.workers.get() + config.queue;
        let (sender, receiver) = bounded::<Job>(capacity);
        let start = |number: usize, jobs: Receiver<Job>| thread::Builder::new().name(format!("senet-worker-{number}")).spawn(move || work(&jobs));
        let workers = (0..config.workers.get()).map(|number| start(number, receiver.clone())).collect::<io::Result<_>>()?;
        Ok(Self { jobs: Some(sender), workers, places: Arc::new(Semaphore::new(capacity)), capacity })
    }

    /// How many threads there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// How many jobs may be under way or wait.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many jobs wait for a thread.
    pub fn queue_depth(&self) -> usize {
        self.jobs.as_ref().map_or(0, Sender::len)
    }

    /// Whether [`Pool::admit`] would turn a single job away just now.
    pub fn is_full(&self) -> bool {
        self.places.available_permits() == 0
    }

    /// Takes `count` places, or none.
    ///
    /// # Errors
    /// [`Overloaded`] when fewer are free.
    pub fn admit(&self, count: usize) -> Result<Vec<Permit>, Overloaded> {
        let overloaded = Overloaded { wanted: count, capacity: self.capacity };
        let many = u32::try_from(count).map_err(|_| overloaded)?;
        let mut all = Arc::clone(&self.places).try_acquire_many_owned(many).map_err(|_| overloaded)?;
        Ok((0..count).filter_map(|_| all.split(1)).map(|place| Permit { place }).collect())
    }

    /// Runs `work` on a worker, in the caller's tracing span, and hands it the time that it waited.
    ///
    /// The place is free again before the result can be seen, so that a client which has its answer can always ask again.
    ///
    /// # Errors
    /// The future yields [`JobError`] when `work` panics or the pool is closed.
    pub fn run<T, F>(&self, permit: Permit, work: F) -> impl Future<Output = Result<T, JobError>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(Duration) -> T + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let (span, submitted) = (Span::current(), Instant::now());
        let job = move || {
            let result = span.in_scope(|| catch_unwind(AssertUnwindSafe(|| work(submitted.elapsed()))));
            drop(permit.place);
            // The receiver may be gone: then nobody waits for the result.
            let _unwanted = sender.send(result.map_err(|payload| JobError::Panicked(panic_message(payload.as_ref()))));
        };
        if let Some(jobs) = &self.jobs {
            // A permit is a place in the queue, so this fails only when no worker is left; the closed reply channel tells the caller.
            let _no_worker = jobs.try_send(Box::new(job));
        }
        async move { receiver.await.unwrap_or(Err(JobError::Closed)) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for worker in self.workers.drain(..) {
            // Jobs cannot panic out of their worker, see `run`.
            let _never_panics = worker.join();
        }
    }
}

/// Does jobs until the pool is closed. From one job to the next that waits already, the thread stays busy: else the runs of other threads would take
/// its core for free in between, and hand out work to it.
fn work(jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        let _busy = Busy::start();
        job();
        jobs.try_iter().for_each(|job| job());
    }
}

/// The words of a panic, as far as it has any, and not more than [`MOST_WORDS`]: they may hold what a picture or a model says.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    cut(text.unwrap_or("a panic without a message"), MOST_WORDS)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::mpsc;

    use super::*;

    fn pool(workers: usize, queue: usize) -> Pool {
        Pool::new(AdmissionConfig { workers: NonZeroUsize::new(workers).unwrap(), queue }).unwrap()
    }

    fn one(pool: &Pool) -> Permit {
        pool.admit(1).unwrap().remove(0)
    }

    #[tokio::test]
    async fn runs_a_job_and_hands_back_its_result() {
        let pool = pool(2, 0);
        assert_eq!(pool.run(one(&pool), |_| 42).await, Ok(42));
    }

    #[tokio::test]
    async fn turns_away_beyond_workers_and_queue_and_admits_again_after_an_answer() {
        let pool = pool(1, 1);
        let (release, held) = mpsc::channel::<()>();
        let first = pool.run(one(&pool), move |_| held.recv().is_ok());
        let second = pool.run(one(&pool), |_| ());
        assert!(pool.is_full());
        assert_eq!(pool.admit(1).unwrap_err(), Overloaded { wanted: 1, capacity: 2 });
        release.send(()).unwrap();
        assert_eq!(first.await, Ok(true));
        assert!(pool.admit(1).is_ok(), "the place is free once the answer is there");
        second.await.unwrap();
    }

    #[test]
    fn takes_all_places_of_a_request_or_none() {
        let pool = pool(1, 3);
        let held = pool.admit(2).unwrap();
        assert!(pool.admit(3).is_err());
        assert_eq!(pool.admit(2).unwrap().len(), 2, "the failed attempt kept nothing");
        drop(held);
        assert_eq!(pool.admit(4).unwrap().len(), 4);
    }

    #[tokio::test]
    async fn a_panic_is_a_result_and_its_worker_lives_on() {
        let pool = pool(1, 0);
        let outcome = pool.run(one(&pool), |_| -> () { panic!("boom") }).await;
        assert_eq!(outcome, Err(JobError::Panicked("boom".to_owned())));
        assert_eq!(pool.run(one(&pool), |_| "alive").await, Ok("alive"));
    }

    #[tokio::test]
    async fn a_long_panic_message_is_cut() {
        let pool = pool(1, 0);
        let outcome = pool.run(one(&pool), |_| -> () { panic!("{}", "é".repeat(1 << 20)) }).await;
        assert_eq!(outcome, Err(JobError::Panicked("é".repeat(MOST_WORDS) + "…")));
    }

    #[tokio::test]
    async fn a_worker_is_busy_with_every_job() {
        let pool = pool(1, 2);
        let (release, held) = mpsc::channel::<()>();
        let first = pool.run(one(&pool), move |_| (held.recv().is_ok(), Busy::start().is_first()));
        let waiting: Vec<_> = (0..2).map(|_| pool.run(one(&pool), |_| Busy::start().is_first())).collect();
        release.send(()).unwrap();
        assert_eq!(first.await, Ok((true, false)));
        for next in waiting {
            assert_eq!(next.await, Ok(false));
        }
    }

    #[tokio::test]
    async fn dropping_the_pool_finishes_what_was_submitted_and_joins_its_threads() {
        let pool = pool(1, 4);
        let threads = Arc::new(());
        let results: Vec<_> = (0..5).map(|n| (n, Arc::clone(&threads))).map(|(n, seen)| pool.run(one(&pool), move |_| (n, drop(seen)).0)).collect();
        drop(pool);
        assert_eq!(Arc::strong_count(&threads), 1, "no thread holds a job any more");
        for (n, result) in results.into_iter().enumerate() {
            assert_eq!(result.await, Ok(n));
        }
    }
}
