//! The memory for what is sent: bytes of bodies and of large answers take their part of a budget, and give it back when they are gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// A number of bytes that all requests share.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    free: Arc<AtomicUsize>,
}

/// Other requests hold what is left of the budget, or the system has no more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl Budget {
    /// A budget of `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { free: Arc::new(AtomicUsize::new(bytes)) }
    }

    /// `bytes`, which hold their length of the budget until the last clone and the last slice of them is gone.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub(crate) fn keep(&self, bytes: impl AsRef<[u8]> + Send + 'static) -> Result<Bytes, Exhausted> {
        let mut held = self.nothing();
        held.grow_to(bytes.as_ref().len())?;
        Ok(Bytes::from_owner(Kept { bytes, _held: held }))
    }

    /// For bytes that have yet to come.
    pub(crate) fn buffer(&self) -> Buffer {
        Buffer { bytes: Vec::new(), held: self.nothing() }
    }

    fn nothing(&self) -> Held {
        Held { free: Arc::clone(&self.free), count: 0 }
    }
}

/// A part of a budget, free again when this is dropped.
#[derive(Debug)]
struct Held {
    free: Arc<AtomicUsize>,
    count: usize,
}

impl Held {
    fn grow_to(&mut self, count: usize) -> Result<(), Exhausted> {
        let more = count.saturating_sub(self.count);
        self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(more)).map_err(|_| Exhausted)?;
        self.count += more;
        Ok(())
    }

    fn shrink_to(&mut self, count: usize) {
        let less = self.count.saturating_sub(count);
        self.free.fetch_add(less, Ordering::AcqRel);
        self.count -= less;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// Bytes and what they hold, dropped in this order.
struct Kept<T> {
    bytes: T,
    _held: Held,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Kept<T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

/// Bytes that arrive one after the other; what is allocated for them is held.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    held: Held,
}

impl Buffer {
    /// Adds `data`. Where more room is needed, it doubles, up to `expected` bytes in all.
    ///
    /// # Errors
    /// [`Exhausted`]; nothing is added then.
    pub(crate) fn extend(&mut self, data: &[u8], expected: usize) -> Result<(), Exhausted> {
        let needed = self.bytes.len().saturating_add(data.len());
        if needed > self.held.count {
            let room = self.held.count.saturating_mul(2).min(expected).max(needed);
            self.held.grow_to(room)?;
            self.bytes.try_reserve_exact(room - self.bytes.len()).map_err(|_| Exhausted)?;
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// What arrived, in no more memory than that.
    pub(crate) fn freeze(mut self) -> Bytes {
        self.bytes.shrink_to_fit();
        self.held.shrink_to(self.bytes.len());
        Bytes::from_owner(Kept { bytes: self.bytes, _held: self.held })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(budget: &Budget) -> usize {
        budget.free.load(Ordering::Acquire)
    }

    #[test]
    fn bytes_hold_their_part_until_the_last_slice_of_them_is_gone() {
        let budget = Budget::new(10);
        let kept = budget.keep(vec![1; 6]).unwrap();
        let slice = kept.slice(2..3);
        assert_eq!(budget.keep(vec![1; 5]), Err(Exhausted));
        drop(kept);
        assert_eq!((free(&budget), &slice[..]), (4, &[1][..]));
        drop(slice);
        assert_eq!(free(&budget), 10);
    }

    #[test]
    fn a_buffer_holds_all_that_it_allocates_and_in_the_end_what_came() {
        let budget = Budget::new(1000);
        let mut buffer = budget.buffer();
        for (data, held) in [(100, 100), (1, 200), (99, 200), (1, 400), (199, 400), (1, 450)] {
            buffer.extend(&vec![7; data], 450).unwrap();
            assert_eq!((1000 - free(&budget), buffer.bytes.capacity()), (held, held));
        }
        let bytes = buffer.freeze();
        assert_eq!((bytes.len(), 1000 - free(&budget)), (401, 401));
        drop(bytes);
        assert_eq!(free(&budget), 1000);
    }

    #[test]
    fn a_buffer_that_finds_no_room_keeps_what_it_has_and_gives_it_back() {
        let budget = Budget::new(10);
        let mut buffer = budget.buffer();
        buffer.extend(&[1; 6], 100).unwrap();
        assert_eq!(buffer.extend(&[1; 5], 100), Err(Exhausted));
        assert_eq!(free(&budget), 4);
        drop(buffer);
        assert_eq!(free(&budget), 10);
    }
}
