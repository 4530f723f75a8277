//! A socket that is read and written in large pieces: one system call for many requests, and one for their answers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};

/// How much is read at once, in bytes: some twenty questions. h2 alone reads what its buffer has left, which after a few
/// frames may be a hundred bytes.
const READ: usize = 32 * 1024;

/// A socket of that kind.
pub(super) type InLargePieces<S> = BufReader<Joined<S>>;

/// The socket of a connection, for h2.
pub(super) fn in_large_pieces<S: AsyncRead + AsyncWrite + Unpin>(socket: S) -> InLargePieces<S> {
    BufReader::with_capacity(READ, Joined(socket))
}

/// A socket that says that it takes one piece at a time. Where a socket takes several, h2 hands over every answer from 256
/// bytes on in place, in a system call of its own; else it copies those below 1 KiB into one buffer, and hands that over.
#[derive(Debug)]
pub(super) struct Joined<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for Joined<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

/// What it says of vectored writes is left as it is by default: there are none.
impl<S: AsyncWrite + Unpin> AsyncWrite for Joined<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn a_large_piece_is_read_at_once_and_written_as_one() {
        let (socket, mut other) = UnixStream::pair().unwrap();
        assert!(socket.is_write_vectored(), "or there is nothing to be told");
        let mut socket = in_large_pieces(socket);
        assert!(!socket.is_write_vectored());
        other.write_all(&[7; 12_000]).await.unwrap();
        socket.read_exact(&mut [0; 9]).await.unwrap();
        assert_eq!(socket.buffer().len(), 12_000 - 9);
    }
}
