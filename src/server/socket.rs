//! The socket of one connection, within its time limits.
//!
//! hyper has one limit, from the end of a request to the end of the next head. Here the time without a request is told from the time that a head takes,
//! and sending has a limit of its own: a client that never reads its answer would keep its place for good.
//!
//! A client that has sent all may close its sending side and wait for the answer (RFC 9112, section 9.6). To the socket this looks the same as a client that
//! has gone: both are the end of what can be read. They differ once something is sent, which a system answers with a reset where nobody holds the socket
//! any more. So a client of HTTP/1.1 that closes while its request is worked on is sent `100 Continue`, which every such client must expect and
//! ignore (RFC 9110, section 15.2), and the work goes on unless the reset comes.

use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::lingering::Lingering;
use super::progress::{Progress, Turn};
use crate::http::UnreadableHead;

/// For the first byte of a connection that was accepted just before the service stops: a request is on its way.
const FIRST_BYTE: Duration = Duration::from_secs(1);

/// What shows whether a client that has closed its sending side is still there.
const PROBE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// After the end of what can be read, for the service to see the end of the body that came before it.
const BODY_SEEN: Duration = Duration::from_millis(20);
/// From one look for a reset to the next, at first; every pause is twice as long as the one before, up to [`MOST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const MOST_PAUSE: Duration = Duration::from_millis(500);

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeLimits {
    /// From the first byte of a head to its end; for the first head of a connection from its beginning.
    pub(super) head: Duration,
    /// Without a request.
    pub(super) idle: Duration,
    /// Without taking any byte of an answer.
    pub(super) send: Duration,
}

/// The next head, which is waited for.
#[derive(Debug, Clone, Copy)]
struct Head {
    /// How many requests came before.
    after: u64,
    /// Whether its first byte has come.
    begun: bool,
    until: Instant,
}

/// A client that has closed its sending side.
struct HalfClosed {
    probed: bool,
    pause: Duration,
    alarm: Pin<Box<Sleep>>,
}

/// A stream that gives up on clients that take too long or have gone.
pub(super) struct Socket {
    stream: Lingering,
    progress: Arc<Progress>,
    limits: TimeLimits,
    accepted: Instant,
    head: Head,
    /// Wakes the task where the head does not come.
    alarm: Option<Pin<Box<Sleep>>>,
    /// While the client takes nothing of an answer.
    stuck: Option<Pin<Box<Sleep>>>,
    half_closed: Option<HalfClosed>,
    /// After how many requests all that was to be sent had been sent.
    flushed: u64,
    /// An answer of ours in the place of hyper's, as far as it is not sent.
    answer: Bytes,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, progress: Arc<Progress>, limits: TimeLimits) -> Self {
        let accepted = Instant::now();
        let head = Head { after: 0, begun: false, until: accepted + limits.head };
        Self {
            stream: Lingering::new(stream),
            progress,
            limits,
            accepted,
            head,
            alarm: None,
            stuck: None,
            half_closed: None,
            flushed: 0,
            answer: Bytes::new(),
        }
    }

    /// The head that follows `after` requests.
    fn head(&mut self, after: u64) -> &mut Head {
        if self.head.after != after {
            self.head = Head { after, begun: false, until: Instant::now() + self.limits.idle };
        }
        &mut self.head
    }

    /// A part of a head has come.
    fn goes_on(&mut self, after: u64) {
        let limit = self.limits.head;
        let head = self.head(after);
        if !head.begun && after > 0 {
            head.until = Instant::now() + limit;
        }
        head.begun = true;
    }

    /// Nothing of a head has come for now. Ready without bytes is the end of the connection, as if its client had closed it.
    fn wait(&mut self, after: u64, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut head = *self.head(after);
        if self.progress.is_finishing() && !head.begun {
            // Bytes that the reactor has not told of yet are a request too.
            if after > 0 && !self.has_bytes() {
                return Poll::Ready(Ok(()));
            }
            head.until = head.until.min(self.accepted + FIRST_BYTE);
        }
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(head.until)));
        if alarm.deadline() != head.until {
            alarm.as_mut().reset(head.until);
        }
        ready!(alarm.as_mut().poll(context));
        Poll::Ready(if head.begun { Err(io::Error::new(ErrorKind::TimedOut, "the request's head came too slowly")) } else { Ok(()) })
    }

    fn has_bytes(&self) -> bool {
        SockRef::from(self.stream.stream()).peek(&mut [MaybeUninit::uninit()]).is_ok_and(|bytes| bytes > 0)
    }

    /// The client has closed its sending side, and its request is not answered yet: pending while that may be a client that waits for its answer. Ready
    /// without bytes is the end of a request that broke off.
    fn outlast(&mut self, turn: Turn, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let half_closed = self.half_closed.get_or_insert_with(|| HalfClosed { probed: false, pause: FIRST_PAUSE, alarm: Box::pin(sleep(BODY_SEEN)) });
        if turn == Turn::Working && !half_closed.probed {
            half_closed.probed = true;
            half_closed.alarm.as_mut().reset(Instant::now() + FIRST_PAUSE);
            if self.progress.takes_interim_answers() && self.stuck.is_none() {
                probe(self.stream.stream())?;
            }
        }
        while half_closed.alarm.as_mut().poll(context).is_ready() {
            if turn == Turn::Reading {
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = self.stream.stream().take_error()? {
                return Poll::Ready(Err(error));
            }
            half_closed.pause = (half_closed.pause * 2).min(MOST_PAUSE);
            half_closed.alarm.as_mut().reset(Instant::now() + half_closed.pause);
        }
        Poll::Pending
    }

    /// The answer to a head that hyper cannot read is hyper's own, which has no body: ours takes its place.
    fn replace(&mut self, bytes: &[u8]) -> bool {
        let automatic = matches!(self.progress.turn(), Turn::Idle(after) if after == self.flushed);
        if let Some(answer) = automatic.then(|| UnreadableHead::of(bytes)).flatten() {
            self.progress.unreadable(answer.status);
            self.answer = answer.bytes.into();
            return true;
        }
        false
    }

    /// Sends what is left of an answer of ours.
    fn send_answer(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.answer.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(context, &self.answer);
            match ready!(self.sent(written, context))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                count => self.answer.advance(count),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// What became of sending: an error where the client has taken nothing for too long. Then what was to be sent is forgotten at once; the system
    /// would go on offering it, and keep it in memory, for minutes.
    fn sent(&mut self, written: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let limit = self.limits.send;
        ready!(self.stuck.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(context));
        self.stream.stream().set_zero_linger()?;
        Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, "the client does not read its answer")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let some = buffer.filled().len() > filled;
        match (self.progress.turn(), &read) {
            (Turn::Idle(after), Poll::Pending) => return self.wait(after, context),
            (Turn::Idle(after), Poll::Ready(Ok(()))) if some => self.goes_on(after),
            (turn @ (Turn::Reading | Turn::Working | Turn::Answering), Poll::Ready(Ok(()))) if !some => return self.outlast(turn, context),
            _ => {}
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.replace(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.sent(written, context)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let [bytes] = slices
            && self.replace(bytes)
        {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.sent(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.send_answer(context))?;
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if let Turn::Idle(after) = self.progress.turn()
            && self.flushed != after
        {
            self.flushed = after;
            // hyper reads the next head when there is something to read; the time for that runs from now.
            context.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.send_answer(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Sends [`PROBE`]; the few bytes fit where all that was sent before has been taken.
fn probe(stream: &TcpStream) -> io::Result<()> {
    match stream.try_write(PROBE) {
        Ok(count) if count == PROBE.len() => Ok(()),
        Ok(_) => Err(ErrorKind::WriteZero.into()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}
