//! Threads that help a run with its steps while cores are idle.
//!
//! A run belongs to the thread that called it. Where fewer threads are at work than there are cores, each run gets its share of the others: an
//! idle service answers one image with all cores, a busy one gives every image a core and wastes none on handing work over. Steps follow each other
//! within microseconds, which is less than waking a thread takes; so helpers look out for work for some more before they sleep.
#![expect(unsafe_code, reason = "a helper works on what its caller borrows")]

use std::cell::{Cell, UnsafeCell};
use std::hint::spin_loop;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread::{self, Thread};

/// Threads of this process that are at work on an image of their own, helpers apart.
static BUSY: AtomicUsize = AtomicUsize::new(0);

static CORES: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, NonZeroUsize::get));

/// Helpers that nobody has work for: one for every core but the caller's, or as many as the system gives.
static IDLE: LazyLock<Mutex<Vec<Helper>>> = LazyLock::new(|| Mutex::new((1..*CORES).map_while(Helper::start).collect()));

/// Rounds of looking out for work, or for its end, before the thread gives up its core: 20 to 100 µs, by what the processor takes for a pause.
const ROUNDS: u32 = 2_000;

/// The most threads that a run can be spread over on this machine.
pub(crate) fn most_threads() -> usize {
    *CORES
}

thread_local! {
    /// Whether this thread is counted in `BUSY`.
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

/// A thread that is at work, so that the runs of others leave it a core; it counts once, however often it says so. Who does more than run a
/// network holds one all the while: in the moments between two parts of the work, others would hand out work that no core is free for.
pub(crate) struct Busy {
    counts: bool,
    of_this_thread: PhantomData<*const ()>,
}

impl Busy {
    pub(crate) fn start() -> Self {
        let counts = !COUNTED.replace(true);
        BUSY.fetch_add(usize::from(counts), Ordering::Relaxed);
        Self { counts, of_this_thread: PhantomData }
    }

    /// Whether the thread was not busy before.
    #[cfg(test)]
    pub(crate) fn is_first(&self) -> bool {
        self.counts
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.counts {
            COUNTED.set(false);
            BUSY.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A run under way, and the most threads that it may use.
pub(crate) struct Run {
    limit: usize,
    _busy: Busy,
}

impl Run {
    pub(crate) fn start(limit: usize) -> Self {
        Self { limit: limit.max(1), _busy: Busy::start() }
    }

    /// How many threads this run may use at present.
    pub(crate) fn threads(&self) -> usize {
        (*CORES / BUSY.load(Ordering::Relaxed).max(1)).clamp(1, self.limit)
    }

    /// Does `work` on every part, on as many threads as there are parts and helpers.
    ///
    /// # Panics
    /// When `work` does.
    pub(crate) fn share<T: Send>(&self, mut parts: Vec<T>, work: impl Fn(T) + Sync) {
        let Some(first) = parts.pop() else { return };
        if parts.is_empty() {
            return work(first);
        }
        let wanted = parts.len();
        let parts = Mutex::new(parts);
        let rest = || {
            let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).pop();
            while let Some(part) = next() {
                work(part);
            }
        };
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        let from = idle.len().saturating_sub(wanted);
        let helpers: Vec<Helper> = idle.drain(from..).collect();
        drop(idle);
        let under_way = UnderWay::start(helpers, &rest);
        work(first);
        rest();
        drop(under_way);
    }
}

/// Helpers at work; dropped when all have finished, also when the caller panics.
struct UnderWay(Vec<Helper>);

impl UnderWay {
    fn start(helpers: Vec<Helper>, work: &(dyn Fn() + Sync)) -> Self {
        helpers.iter().for_each(|helper| helper.give(work));
        Self(helpers)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let panicked = self.0.iter().filter(|helper| helper.wait() == PANICKED).count() > 0;
        IDLE.lock().unwrap_or_else(PoisonError::into_inner).append(&mut self.0);
        assert!(!panicked || thread::panicking(), "a helper panicked");
    }
}

const RESTING: u8 = 0;
const WORKING: u8 = 1;
const PANICKED: u8 = 2;

/// A thread, and the place where its work is left.
struct Helper {
    thread: Thread,
    desk: Arc<Desk>,
}

struct Desk {
    state: AtomicU8,
    /// Written by whoever has taken the helper out of `IDLE`, before the state becomes `WORKING`; read by the helper while it is.
    work: UnsafeCell<Option<&'static (dyn Fn() + Sync)>>,
}

// SAFETY: the state says which of the two threads may use `work`, and what it holds may be shared.
unsafe impl Sync for Desk {}
// SAFETY: as above.
unsafe impl Send for Desk {}

impl Helper {
    fn start(number: usize) -> Option<Self> {
        let desk = Arc::new(Desk { state: AtomicU8::new(RESTING), work: UnsafeCell::new(None) });
        let its = Arc::clone(&desk);
        let thread = thread::Builder::new().name(format!("helper-{number}")).spawn(move || its.serve()).ok()?;
        Some(Self { thread: thread.thread().clone(), desk })
    }

    fn give(&self, work: &(dyn Fn() + Sync)) {
        // SAFETY: `UnderWay` is dropped before what `work` borrows, and waits until the helper no longer uses it.
        let work = unsafe { std::mem::transmute::<&(dyn Fn() + Sync), &'static (dyn Fn() + Sync)>(work) };
        // SAFETY: the helper rests, and only the caller has it.
        unsafe { *self.desk.work.get() = Some(work) };
        self.desk.state.store(WORKING, Ordering::Release);
        self.thread.unpark();
    }

    /// The state after the work.
    fn wait(&self) -> u8 {
        let mut round = 0;
        loop {
            match self.desk.state.load(Ordering::Acquire) {
                WORKING if round < ROUNDS => spin_loop(),
                WORKING => thread::yield_now(),
                state => return state,
            }
            round += 1;
        }
    }
}

impl Desk {
    fn serve(&self) {
        let mut round = 0;
        loop {
            if self.state.load(Ordering::Acquire) == WORKING {
                // SAFETY: the state says that it is this thread's turn.
                let work = unsafe { (*self.work.get()).take() };
                let result = catch_unwind(AssertUnwindSafe(|| work.into_iter().for_each(|work| work())));
                self.state.store(if result.is_ok() { RESTING } else { PANICKED }, Ordering::Release);
                round = 0;
            } else if round < ROUNDS {
                spin_loop();
                round += 1;
            } else {
                thread::park();
                round = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn every_part_is_done_once() {
        let run = Run::start(usize::MAX);
        for count in 0..400 {
            let done: Vec<AtomicUsize> = (0..count % 40).map(|_| AtomicUsize::new(0)).collect();
            run.share(done.iter().collect(), |part| {
                part.fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().all(|part| part.load(Ordering::Relaxed) == 1), "of {}", done.len());
        }
    }

    #[test]
    fn a_panic_comes_back_and_the_helpers_go_on() {
        for _ in 0..50 {
            let panics = catch_unwind(|| Run::start(usize::MAX).share(vec![0, 1, 2, 3], |part| assert!(part != 2, "part 2")));
            assert!(panics.is_err());
        }
        every_part_is_done_once();
    }

    #[test]
    fn many_runs_at_a_time_share_the_helpers() {
        thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(every_part_is_done_once))));
    }

    /// How many threads a run may use while `others` threads are busy.
    fn threads_beside(others: usize) -> usize {
        let all_busy = Barrier::new(others + 1);
        let counted = Barrier::new(others + 1);
        let work = || {
            let busy = Busy::start();
            all_busy.wait();
            counted.wait();
            drop(busy);
        };
        thread::scope(|scope| {
            (0..others).for_each(|_| drop(scope.spawn(work)));
            all_busy.wait();
            let threads = Run::start(usize::MAX).threads();
            counted.wait();
            threads
        })
    }

    #[test]
    fn a_thread_that_says_twice_that_it_is_busy_counts_once() {
        let counts = || Busy::start().is_first();
        let outer = Busy::start();
        assert_eq!((outer.is_first(), counts(), counts()), (true, false, false));
        drop(outer);
        assert!(counts());
    }

    #[test]
    fn every_busy_thread_is_left_its_core() {
        assert_eq!(threads_beside(*CORES - 1), 1);
        assert_eq!(Run::start(0).threads(), 1, "at least the caller's own");
    }
}
