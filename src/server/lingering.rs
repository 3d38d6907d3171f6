//! Closing a connection so that its client can still read the answer.
//!
//! A refused body is not read, or not to its end. Closing a socket with unread bytes in it resets the connection, and the reset may overtake the answer, so that
//! the client sees a broken pipe in the place of a 413. So the sending side is closed first, and what still arrives is thrown away for a while
//! (RFC 9112, section 9.6).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// For how long what arrives after the answer is thrown away; clients that read their answer close before.
const PATIENCE: Duration = Duration::from_secs(2);
/// Thrown away in one turn, so that one client does not keep a thread for itself.
const TURNS: usize = 16;

/// A stream whose shutdown lingers.
pub(super) struct Lingering {
    stream: TcpStream,
    closing: Option<Pin<Box<Sleep>>>,
}

impl Lingering {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, closing: None }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn discard(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; 16 << 10];
        for _ in 0..TURNS {
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncRead for Lingering {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closing.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        let closing = self.closing.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        if closing.as_mut().poll(context).is_pending() {
            ready!(self.discard(context));
        }
        Poll::Ready(Ok(()))
    }
}
