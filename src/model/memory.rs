//! The memory of loads: who may begin one while others are at theirs, and what goes back to the system after it.

use std::fs;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Those who load, and the memory that they may take together.
pub(super) struct Line {
    available: fn() -> Option<u64>,
    inside: Mutex<(usize, u64)>,
    left: Condvar,
}

impl Default for Line {
    fn default() -> Self {
        Self { available, inside: Mutex::default(), left: Condvar::new() }
    }
}

impl Line {
    /// Waits until `bytes` fit beside what the others inside may still take; who finds nobody inside need not fit.
    pub(super) fn enter(&self, bytes: u64) {
        let too_many = |(count, taken): &mut (usize, u64)| *count > 0 && (self.available)().is_some_and(|left| bytes.saturating_add(*taken) > left);
        let mut inside = self.left.wait_while(self.lock(), too_many).unwrap_or_else(PoisonError::into_inner);
        inside.0 += 1;
        inside.1 = inside.1.saturating_add(bytes);
    }

    pub(super) fn leave(&self, bytes: u64) {
        let mut inside = self.lock();
        inside.0 -= 1;
        inside.1 = inside.1.saturating_sub(bytes);
        self.left.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, (usize, u64)> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the system back what a load took and has freed, which the allocator would keep: often more than the model itself.
pub(super) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "the C library's allocator has no safe interface")]
    // SAFETY: it takes the allocator's own locks, and frees only pages that hold nothing.
    let _whether_any = unsafe { libc::malloc_trim(0) };
}

/// Bytes that this process may still take: what the machine has available, and what a memory limit of cgroup v2 leaves. `None` where neither
/// is known.
fn available() -> Option<u64> {
    [machine(), container()].into_iter().flatten().min()
}

fn machine() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// Inside a container its own group is the root of what it sees.
fn container() -> Option<u64> {
    let root = Path::new("/sys/fs/cgroup");
    let read = |name: &str| fs::read_to_string(root.join(name)).ok();
    let limit: u64 = read("memory.max")?.trim().parse().ok()?;
    let used: u64 = read("memory.current")?.trim().parse().ok()?;
    let stat = read("memory.stat")?;
    // Pages of files that were read once and can go at any time.
    let cache: u64 = stat.lines().find_map(|line| line.strip_prefix("inactive_file "))?.parse().ok()?;
    Some(limit.saturating_sub(used.saturating_sub(cache)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_machine_that_runs_tests_has_some_memory_left() {
        let bytes = available().unwrap();
        assert!((1 << 20..1 << 50).contains(&bytes), "{bytes}");
    }

    /// The most who are inside together, of four who each take `bytes` of 100 and stay until `expected` are, and a little longer.
    fn together(bytes: u64, expected: usize) -> usize {
        let line = Line { available: || Some(100), ..Line::default() };
        let most = AtomicUsize::new(0);
        let deadline = Instant::now() + Duration::from_secs(20);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    line.enter(bytes);
                    most.fetch_max(line.lock().0, Ordering::SeqCst);
                    while most.load(Ordering::SeqCst) < expected && Instant::now() < deadline {
                        thread::yield_now();
                    }
                    thread::sleep(Duration::from_millis(20));
                    line.leave(bytes);
                });
            }
        });
        most.into_inner()
    }

    #[test]
    fn as_many_load_together_as_fit_and_always_one() {
        assert_eq!(together(25, 4), 4);
        assert_eq!(together(50, 2), 2);
        assert_eq!(together(51, 1), 1);
        assert_eq!(together(1000, 1), 1);
    }
}
