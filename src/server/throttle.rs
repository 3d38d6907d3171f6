//! Log lines of what may happen thousands of times a second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(1);

/// Lets one line a second through, and counts the others.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    line: Option<Instant>,
    left_out: u64,
}

impl Throttle {
    /// Whether a line may be written at `now`: then how many were left out before it.
    pub(super) fn pass(&self, now: Instant) -> Option<u64> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.line.is_some_and(|line| now.saturating_duration_since(line) < PAUSE) {
            last.left_out += 1;
            return None;
        }
        last.line = Some(now);
        Some(std::mem::take(&mut last.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_says_how_many_were_left_out() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let at = |milliseconds| throttle.pass(start + Duration::from_millis(milliseconds));
        assert_eq!([0, 100, 999, 1000, 1500, 2100].map(at), [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
