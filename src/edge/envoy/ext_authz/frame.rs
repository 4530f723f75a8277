//! The frame around a message (gRPC over HTTP/2, "Length-Prefixed-Message"): a flag, four bytes of length, the message.

/// How long a frame's head is.
pub(super) const HEAD_BYTES: usize = 5;

/// Why the body of a call is not one message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("the message has more bytes than are taken")]
    TooLarge,
    #[error("the call has no message")]
    Nothing,
    #[error("the message is compressed")]
    Compressed,
    #[error("the message has a flag that there is none of")]
    Flag,
    #[error("the message breaks off")]
    Truncated,
    #[error("the call has more than one message")]
    More,
}

/// The one message of a unary call, of `max` bytes at most.
///
/// # Errors
/// [`FrameError`].
pub(super) fn only_message(body: &[u8], max: usize) -> Result<&[u8], FrameError> {
    let Some((&[flag, ref length @ ..], message)) = body.split_first_chunk::<HEAD_BYTES>() else {
        return Err(if body.is_empty() { FrameError::Nothing } else { FrameError::Truncated });
    };
    match flag {
        0 => {}
        // That we take none is the default (gRPC over HTTP/2, "grpc-accept-encoding").
        1 => return Err(FrameError::Compressed),
        _ => return Err(FrameError::Flag),
    }
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    match message.len() {
        _ if length > max => Err(FrameError::TooLarge),
        there if there < length => Err(FrameError::Truncated),
        there if there > length => Err(FrameError::More),
        _ => Ok(message),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(message: &[u8]) -> Vec<u8> {
        [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
    }

    #[test]
    fn each_defect_has_its_name() {
        for (body, expected) in [
            (&b""[..], FrameError::Nothing),
            (b"\0\0\0\0", FrameError::Truncated),
            (b"\0\0\0\0\x02a", FrameError::Truncated),
            (b"\x01\0\0\0\x01a", FrameError::Compressed),
            (b"\x02\0\0\0\x01a", FrameError::Flag),
            (b"\0\0\0\0\x01ab", FrameError::More),
            (b"\0\0\0\0\x0babcdefghijk", FrameError::TooLarge),
            (b"\0\xff\xff\xff\xffa", FrameError::TooLarge),
        ] {
            assert_eq!(only_message(body, 10), Err(expected), "{body:?}");
        }
        assert_eq!(only_message(b"\0\0\0\0\x0aabcdefghij", 10), Ok(&b"abcdefghij"[..]));
        assert_eq!(only_message(b"\0\0\0\0\0", 10), Ok(&b""[..]));
    }

    proptest! {
        #[test]
        fn only_a_frame_around_all_of_the_rest_is_read(body in proptest::collection::vec(0..4_u8, 0..12)) {
            if let Ok(message) = only_message(&body, 20) {
                prop_assert_eq!(frame(message), body);
            }
        }

        #[test]
        fn what_is_framed_is_read_back(message in proptest::collection::vec(any::<u8>(), 0..50)) {
            let framed = frame(&message);
            prop_assert_eq!(only_message(&framed, 50), Ok(&message[..]));
        }
    }
}
