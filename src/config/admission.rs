//! How much work is done at once, and how much may wait.

use std::num::NonZeroUsize;
use std::thread;

/// How much work is done at once, and how much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionConfig {
    /// Threads that decode and run networks, one image each; by default one per core that this process may use.
    pub workers: NonZeroUsize,
    /// Images that may wait for a worker; further ones are answered 429.
    pub queue: usize,
}

impl Default for AdmissionConfig {
    /// Cores are counted by [`thread::available_parallelism`], which on Linux is the smaller of the affinity mask (and so of a cpuset) and the
    /// CPU quota of cgroup v1 or v2, rounded down, at least one.
    fn default() -> Self {
        Self { workers: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN), queue: 64 }
    }
}
