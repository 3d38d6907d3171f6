//! A bounded queue of log lines, and the thread that writes them.
//!
//! Logging never waits and never fails: a line that finds no room, or that cannot be written, is dropped and counted. The thread alone may be held up by
//! a reader that stopped reading; the process works, and ends, without it.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use tracing_subscriber::fmt::MakeWriter;

use super::shorten;

/// Lines that may wait, about a second of a busy service.
const MOST_LINES: usize = 1024;
/// Bytes that the waiting lines may have together.
const MOST_BYTES: usize = 1 << 20;
/// After so many lines a reader that is always too slow is told of what it missed.
const MOST_UNTOLD: usize = 8 * MOST_LINES;
/// Before a non-blocking target that was full is tried again; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// The way into the queue.
#[derive(Clone)]
pub(super) struct Lines {
    queue: Sender<Message>,
    counts: Arc<Counts>,
}

enum Message {
    Line(Vec<u8>),
    /// Its sender is dropped when everything before it was tried.
    Flush(Sender<()>),
}

#[derive(Default)]
struct Counts {
    waiting_bytes: AtomicUsize,
    dropped: AtomicU64,
}

impl Lines {
    /// Starts the thread, which lives as long as the process and writes to `target`. When writing works again, it writes once what `notice` makes of the number
    /// of lines that were dropped.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub(super) fn start<W: Write + Send + 'static>(target: W, notice: fn(u64) -> String) -> io::Result<Self> {
        let (queue, lines) = bounded(MOST_LINES);
        let counts = Arc::new(Counts::default());
        let mut writer = Writer { target, rest: Vec::new(), notice, counts: Arc::clone(&counts), told: 0, untold: 0 };
        thread::Builder::new().name("senet-log".to_owned()).spawn(move || writer.write_all(&lines))?;
        Ok(Self { queue, counts })
    }

    /// Hands over `line`, which ends with a line feed; one that is too long is shortened.
    pub(super) fn push(&self, line: &[u8]) {
        let line = shorten::line(line).into_owned();
        let bytes = line.len();
        let fits = self.counts.waiting_bytes.fetch_add(bytes, Relaxed).saturating_add(bytes) <= MOST_BYTES;
        if !fits || self.queue.try_send(Message::Line(line)).is_err() {
            self.counts.waiting_bytes.fetch_sub(bytes, Relaxed);
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Waits until every line so far was written or dropped, for `limit` at most.
    pub(super) fn flush(&self, limit: Duration) {
        let end = Instant::now() + limit;
        let (done, tried) = bounded::<()>(0);
        if self.queue.send_deadline(Message::Flush(done), end).is_ok() {
            let _tried_or_late = tried.recv_deadline(end);
        }
    }

    /// How many lines were dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.counts.dropped.load(Relaxed)
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Lines {
    /// `tracing_subscriber` writes an event as one whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the thread has.
struct Writer<W> {
    target: W,
    /// What is still to be written of a line that has begun: it comes before everything else, so that no line is torn.
    rest: Vec<u8>,
    notice: fn(u64) -> String,
    counts: Arc<Counts>,
    /// Of the dropped lines, those that a notice has told of.
    told: u64,
    /// Lines written since it was last looked whether there is something to tell.
    untold: usize,
}

impl<W: Write> Writer<W> {
    fn write_all(&mut self, lines: &Receiver<Message>) {
        for message in lines {
            match message {
                Message::Flush(_done) => self.tell(),
                Message::Line(line) => {
                    self.counts.waiting_bytes.fetch_sub(line.len(), Relaxed);
                    if self.write(line).is_err() {
                        self.counts.dropped.fetch_add(1, Relaxed);
                        continue;
                    }
                    self.untold += 1;
                    if lines.is_empty() || self.untold >= MOST_UNTOLD {
                        self.tell();
                    }
                }
            }
        }
    }

    /// Says how many lines were dropped, if any; where that fails, the next attempt says it.
    fn tell(&mut self) {
        let dropped = self.counts.dropped.load(Relaxed);
        if dropped > self.told && self.write((self.notice)(dropped - self.told).into_bytes()).is_ok() {
            self.told = dropped;
        }
        self.untold = 0;
    }

    /// Writes `line`; it is lost only if nothing of it was written.
    fn write(&mut self, line: Vec<u8>) -> io::Result<()> {
        self.finish()?;
        let whole = line.len();
        self.rest = line;
        match self.finish() {
            Err(error) if self.rest.len() == whole => {
                self.rest.clear();
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Writes what is left of a line that has begun. A full non-blocking target is waited for, as a blocking one would make us wait.
    fn finish(&mut self) -> io::Result<()> {
        let mut pause = FIRST_PAUSE;
        while !self.rest.is_empty() {
            match self.target.write(&self.rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.rest.drain(..written.min(self.rest.len()));
                    pause = FIRST_PAUSE;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::sync::{Mutex, PoisonError};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn notice(count: u64) -> String {
        format!("{count} lost\n")
    }

    /// A target that answers each write with what `behaviour` says of it: how much it takes, or why nothing.
    struct Target<F> {
        taken: Arc<Mutex<Vec<u8>>>,
        behaviour: F,
    }

    impl<F: FnMut(usize) -> io::Result<usize>> Write for Target<F> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let many = (self.behaviour)(bytes.len())?;
            self.taken.lock().unwrap().extend_from_slice(&bytes[..many]);
            Ok(many)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a target that behaves so has in the end of `lines`, and how many were dropped.
    fn written(lines: &[&str], behaviour: impl FnMut(usize) -> io::Result<usize> + Send + 'static) -> (String, u64) {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let queue = Lines::start(Target { taken: Arc::clone(&taken), behaviour }, notice).unwrap();
        for line in lines {
            queue.push(line.as_bytes());
            queue.flush(LIMIT);
        }
        let text = String::from_utf8(taken.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap();
        (text, queue.dropped())
    }

    /// Fails with `kind` in the writes `from..to`, counted from 0.
    fn failing(kind: ErrorKind, from: usize, to: usize) -> impl FnMut(usize) -> io::Result<usize> {
        let mut at = 0..;
        move |bytes| if (from..to).contains(&at.next().unwrap()) { Err(kind.into()) } else { Ok(bytes) }
    }

    #[test]
    fn what_fails_is_dropped_and_said_once_when_writing_works_again() {
        // A line, and the notice that is tried after it, fail together; then only the notice of the flush.
        let (text, dropped) = written(&["a\n", "b\n", "c\n", "d\n"], failing(ErrorKind::StorageFull, 1, 5));
        assert_eq!((text.as_str(), dropped), ("a\nd\n2 lost\n", 2));
    }

    #[test]
    fn an_interrupted_or_full_target_is_tried_again() {
        for kind in [ErrorKind::Interrupted, ErrorKind::WouldBlock] {
            assert_eq!(written(&["a\n", "b\n"], failing(kind, 0, 4)), ("a\nb\n".to_owned(), 0));
        }
    }

    #[test]
    fn a_line_that_is_taken_in_parts_is_whole() {
        assert_eq!(written(&["first\n", "second\n"], |bytes: usize| Ok(bytes.min(2))), ("first\nsecond\n".to_owned(), 0));
    }

    #[test]
    fn the_rest_of_a_line_comes_before_the_next_one() {
        let mut at = 0;
        // "first\n" breaks off after two bytes, "second\n" and the notice find the target failing, "third\n" finds it working.
        let (text, dropped) = written(&["first\n", "second\n", "third\n"], move |bytes| {
            at += 1;
            match at {
                1 => Ok(2),
                2..=4 => Err(ErrorKind::StorageFull.into()),
                _ => Ok(bytes),
            }
        });
        assert_eq!((text.as_str(), dropped), ("first\nthird\n1 lost\n", 1));
    }

    #[test]
    fn a_target_that_takes_nothing_holds_up_nobody_and_what_does_not_fit_is_counted() {
        let (release, held) = mpsc::channel::<()>();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let behaviour = move |bytes| {
            // The sender is gone when the reader reads again.
            let _reads_again = held.recv();
            Ok(bytes)
        };
        let queue = Lines::start(Target { taken: Arc::clone(&taken), behaviour }, notice).unwrap();
        let many = 3 * MOST_LINES;
        (0..many).for_each(|line| queue.push(format!("{line}\n").as_bytes()));
        queue.flush(Duration::from_millis(1));
        let dropped = usize::try_from(queue.dropped()).unwrap();
        assert!((many - MOST_LINES - 1..=many - MOST_LINES).contains(&dropped), "{dropped}");
        drop(release);
        queue.flush(LIMIT);
        let text = String::from_utf8(taken.lock().unwrap().clone()).unwrap();
        let kept: String = (0..many - dropped).map(|line| format!("{line}\n")).collect();
        assert_eq!(text, format!("{kept}{dropped} lost\n"));
    }

    #[test]
    fn the_waiting_lines_are_bounded_in_bytes() {
        let (_release, held) = mpsc::channel::<()>();
        let behaviour = move |bytes| {
            let _never = held.recv();
            Ok(bytes)
        };
        let queue = Lines::start(Target { taken: Arc::default(), behaviour }, notice).unwrap();
        let line = [vec![b'x'; 8000], vec![b'\n']].concat();
        (0..MOST_LINES / 2).for_each(|_| queue.push(&line));
        let waiting = queue.counts.waiting_bytes.load(Relaxed);
        assert!((MOST_BYTES - line.len()..=MOST_BYTES).contains(&waiting), "{waiting}");
        assert!(queue.dropped() > 0);
    }
}
