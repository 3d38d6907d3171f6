//! Who may begin a load while others are at theirs: as many as fit into the memory that is left.

use std::fs;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Those who load, and the memory that they may take together.
#[derive(Default)]
pub(super) struct Line {
    inside: Mutex<(usize, u64)>,
    left: Condvar,
}

impl Line {
    /// Waits until `bytes` fit beside what the others inside may still take; who finds nobody inside need not fit.
    pub(super) fn enter(&self, bytes: u64) {
        let too_many = |(count, taken): &mut (usize, u64)| *count > 0 && available().is_some_and(|left| bytes.saturating_add(*taken) > left);
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
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_machine_that_runs_tests_has_some_memory_left() {
        let bytes = available().unwrap();
        assert!((1 << 20..1 << 50).contains(&bytes), "{bytes}");
    }
}
