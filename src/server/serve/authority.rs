//! Clients that name the path of the socket where the name of the server belongs.
//!
//! gRPC's C library, and with it clients in Python, C++, Ruby and PHP, sends the percent-encoded path of a Unix socket as
//! `:authority`. That is none (RFC 3986 section 3.2.2), and the HTTP/2 library here ends the request for it. So what can't stand
//! in an authority is replaced in the bytes as they come in. Nothing of ours reads the authority of a request over a Unix
//! socket, and it is replaced one for one, so that both ends' header tables stay alike: they count decoded lengths (RFC
//! 7541 section 4.1). What can't be made sense of here is passed on as it is, for the library to refuse.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use http::uri::Authority;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How an HTTP/2 connection begins (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The length of a frame's head, and the most that we let a frame have (RFC 9113 section 4).
const FRAME_HEAD: usize = 9;
const MAX_FRAME: usize = 16_384;

/// The type of a HEADERS frame and its flags (RFC 9113 section 6.2).
const HEADERS: u8 = 1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// The place of `:authority` in the static table (RFC 7541 appendix A).
const AUTHORITY: usize = 1;

/// How much is read at once.
const CHUNK: usize = 8192;

/// A socket whose HTTP/2 requests have an authority, or none.
pub(super) struct WithAuthority<S> {
    socket: S,
    state: State,
    /// What has come in and is not looked at yet: less than a frame.
    incoming: BytesMut,
    /// What can be read.
    outgoing: BytesMut,
}

#[derive(Clone, Copy)]
enum State {
    /// Before the connection says what it is.
    Preface,
    /// At the beginning of a frame.
    Frame,
    /// So many bytes before the next frame.
    Inside(usize),
    /// Not HTTP/2.
    Other,
}

impl<S> WithAuthority<S> {
    pub(super) fn new(socket: S) -> Self {
        Self { socket, state: State::Preface, incoming: BytesMut::new(), outgoing: BytesMut::new() }
    }

    /// Takes whatever is whole out of what has come in.
    fn digest(&mut self) {
        while let Some(length) = self.next() {
            let part = self.incoming.split_to(length);
            self.outgoing.extend_from_slice(&part);
        }
    }

    /// How many of the bytes that have come in are done with; `None` if more must come.
    fn next(&mut self) -> Option<usize> {
        let come = self.incoming.len();
        match self.state {
            _ if come == 0 => None,
            State::Other => Some(come),
            State::Inside(left) => {
                let length = left.min(come);
                self.state = if length == left { State::Frame } else { State::Inside(left - length) };
                Some(length)
            }
            State::Preface if !PREFACE.iter().zip(&self.incoming).all(|(a, b)| a == b) => {
                self.state = State::Other;
                Some(come)
            }
            State::Preface if come < PREFACE.len() => None,
            State::Preface => {
                self.state = State::Frame;
                Some(PREFACE.len())
            }
            State::Frame => self.frame(),
        }
    }

    /// The same at the beginning of a frame. One with headers is put out changed, if it has to be.
    fn frame(&mut self) -> Option<usize> {
        let head = self.incoming.first_chunk::<FRAME_HEAD>()?;
        let [high, middle, low, kind, ..] = *head;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let whole = FRAME_HEAD + length;
        if kind != HEADERS || length > MAX_FRAME {
            self.state = State::Inside(whole);
            return Some(0);
        }
        let frame = self.incoming.get(..whole)?;
        let Some(changed) = changed(frame) else { return Some(whole) };
        self.outgoing.extend_from_slice(&changed);
        self.incoming.advance(whole);
        Some(0)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WithAuthority<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.outgoing.is_empty() {
            let mut chunk = [0; CHUNK];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                // What is left is no whole frame; the library says so to the client.
                let rest = self.incoming.split();
                self.outgoing.extend_from_slice(&rest);
                break;
            }
            self.incoming.extend_from_slice(read.filled());
            self.digest();
        }
        let length = self.outgoing.len().min(buffer.remaining());
        let part = self.outgoing.split_to(length);
        buffer.put_slice(&part);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WithAuthority<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// A HEADERS frame with an authority in place of what is none; `None` if there is nothing to change in it.
fn changed(frame: &[u8]) -> Option<Vec<u8>> {
    let (head, payload) = frame.split_at_checked(FRAME_HEAD)?;
    let flags = *head.get(4)?;
    // A block in several frames is left alone: no client makes one of a first request.
    if flags & END_HEADERS == 0 {
        return None;
    }
    let padding = if flags & PADDED == 0 { 0 } else { usize::from(*payload.first()?) };
    let before = usize::from(flags & PADDED != 0) + if flags & PRIORITY == 0 { 0 } else { 5 };
    let end = payload.len().checked_sub(padding)?;
    let block = block(payload.get(before..end)?)?;
    let length = payload.len() + block.len() - (end - before);
    let [_, high, middle, low] = u32::try_from(length).ok().filter(|_| length <= MAX_FRAME)?.to_be_bytes();
    Some([&[high, middle, low], head.get(3..)?, payload.get(..before)?, &block, payload.get(end..)?].concat())
}

/// The same for a header block (RFC 7541 section 6).
fn block(mut rest: &[u8]) -> Option<Vec<u8>> {
    let (mut done, mut is_changed) = (Vec::with_capacity(rest.len()), false);
    while let Some(first) = rest.first() {
        let (prefix, has_value) = match first {
            0x80.. => (7, false),
            0x40.. => (6, true),
            0x20.. => (5, false),
            _ => (4, true),
        };
        let (index, mut length) = integer(rest, prefix)?;
        let mut is_authority = has_value && index == AUTHORITY;
        if has_value && index == 0 {
            let (name, taken) = string(rest.get(length..)?)?;
            is_authority = name == b":authority";
            length += taken;
        }
        done.extend_from_slice(rest.get(..length)?);
        rest = rest.get(length..)?;
        if has_value {
            let (value, taken) = string(rest)?;
            let replaced = is_authority.then(|| replaced(&value)).flatten();
            match &replaced {
                Some(value) => put_string(value, &mut done)?,
                None => done.extend_from_slice(rest.get(..taken)?),
            }
            is_changed |= replaced.is_some();
            rest = rest.get(taken..)?;
        }
    }
    is_changed.then_some(done)
}

/// As long, with nothing that can't stand in an authority; `None` if it is one.
fn replaced(value: &[u8]) -> Option<Vec<u8>> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let plain = || value.iter().map(|byte| if is_plain(*byte) { *byte } else { b'-' }).collect();
    Authority::try_from(value).is_err().then(plain)
}

/// A number and how many bytes it takes (RFC 7541 section 5.1).
fn integer(bytes: &[u8], prefix: u32) -> Option<(usize, usize)> {
    let most = (1_usize << prefix) - 1;
    let mut value = usize::from(*bytes.first()?) & most;
    if value < most {
        return Some((value, 1));
    }
    for (number, byte) in bytes.get(1..)?.iter().take(4).enumerate() {
        value = value.checked_add(usize::from(byte & 0x7f) << (7 * number))?;
        if byte & 0x80 == 0 {
            return Some((value, number + 2));
        }
    }
    None
}

/// A string, decoded, and how many bytes it takes (RFC 7541 section 5.2).
fn string(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (length, before) = integer(bytes, 7)?;
    let taken = before.checked_add(length)?;
    let encoded = bytes.get(before..taken)?;
    if bytes.first()? & 0x80 == 0 {
        return Some((encoded.to_vec(), taken));
    }
    let mut decoded = Vec::with_capacity(length * 2);
    httlib_huffman::decode(encoded, &mut decoded, httlib_huffman::DecoderSpeed::FourBits).ok()?;
    Some((decoded, taken))
}

/// Puts a string as it is.
fn put_string(value: &[u8], block: &mut Vec<u8>) -> Option<()> {
    if let Some(mut left) = value.len().checked_sub(0x7f) {
        block.push(0x7f);
        while left > 0x7f {
            block.push(u8::try_from(left & 0x7f).ok()? | 0x80);
            left >>= 7;
        }
        block.push(u8::try_from(left).ok()?);
    } else {
        block.push(u8::try_from(value.len()).ok()?);
    }
    block.extend_from_slice(value);
    Some(())
}

#[cfg(test)]
mod tests;
