//! Bounded work: a fixed pool of CPU workers behind a bounded queue.
