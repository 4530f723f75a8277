//! CBOR (RFC 8949), appended to a buffer: what the record of a decision is made of. A head is as short as it can be, and every
//! length is written before what it is the length of (section 4.2.1).

use std::sync::Arc;

use crate::foundation::digest::Digest;

/// The major types (RFC 8949 section 3.1), where they stand in a head.
const NUMBER: u8 = 0 << 5;
const BYTES: u8 = 2 << 5;
const TEXT: u8 = 3 << 5;
const ARRAY: u8 = 4 << 5;
const MAP: u8 = 5 << 5;

/// The buffer.
pub(super) struct Cbor<'b>(pub(super) &'b mut Vec<u8>);

impl Cbor<'_> {
    /// An array of so many items, which are to follow.
    pub(super) fn array(&mut self, items: usize) {
        self.length(ARRAY, items);
    }

    /// A map of so many keys, which are to follow, each with its value.
    pub(super) fn map(&mut self, keys: usize) {
        self.length(MAP, keys);
    }

    #[inline]
    pub(super) fn number(&mut self, number: u64) {
        self.head(NUMBER, number);
    }

    #[inline]
    pub(super) fn text(&mut self, text: &str) {
        self.length(TEXT, text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn texts(&mut self, texts: &[Arc<str>]) {
        self.array(texts.len());
        for text in texts {
            self.text(text);
        }
    }

    #[inline]
    pub(super) fn bytes<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.length(BYTES, N);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn digest(&mut self, digest: &Digest) {
        self.bytes(digest.as_bytes());
    }

    #[inline]
    fn length(&mut self, major: u8, length: usize) {
        self.head(major, u64::try_from(length).unwrap_or(u64::MAX));
    }

    /// Most are one byte or two, and who calls this knows which when it is compiled.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "else it is a call, and a record of a decision takes half as long again")]
    fn head(&mut self, major: u8, number: u64) {
        match u8::try_from(number) {
            Ok(small @ ..=23) => self.0.push(major + small),
            Ok(byte) => self.0.extend_from_slice(&[major + 24, byte]),
            Err(_) => self.long_head(major, number),
        }
    }

    #[inline(never)]
    fn long_head(&mut self, major: u8, number: u64) {
        if let Ok(number) = u16::try_from(number) {
            self.0.push(major + 25);
            self.0.extend_from_slice(&number.to_be_bytes());
        } else if let Ok(number) = u32::try_from(number) {
            self.0.push(major + 26);
            self.0.extend_from_slice(&number.to_be_bytes());
        } else {
            self.0.push(major + 27);
            self.0.extend_from_slice(&number.to_be_bytes());
        }
    }
}
