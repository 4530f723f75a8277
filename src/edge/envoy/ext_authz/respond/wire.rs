//! Writes a message as Protocol Buffers have it on the wire (protobuf.dev, "Encoding"), within a gRPC frame.

use bytes::Bytes;

/// The flag of a message that is not compressed, and its length (gRPC over HTTP/2, "Length-Prefixed-Message").
const FRAME_HEAD: usize = 5;

/// More than most answers have, so that one allocation is enough for them.
const USUAL_LENGTH: usize = 1024;

/// A message that is being written.
#[derive(Debug)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// Writes a whole message and frames it.
    pub(super) fn framed(write: impl FnOnce(&mut Self)) -> Bytes {
        let mut bytes = Vec::with_capacity(USUAL_LENGTH);
        bytes.extend_from_slice(&[0; FRAME_HEAD]);
        let mut message = Self(bytes);
        write(&mut message);
        let Self(mut bytes) = message;
        let length = u32::try_from(bytes.len().saturating_sub(FRAME_HEAD)).unwrap_or(u32::MAX);
        if let Some(place) = bytes.get_mut(1..FRAME_HEAD) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        bytes.into()
    }

    pub(super) fn varint(&mut self, number: u32, value: u64) {
        self.key(number, 0);
        self.raw_varint(value);
    }

    pub(super) fn text(&mut self, number: u32, text: &str) {
        self.key(number, 2);
        self.raw_varint(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A message within this one. Its length is only known once it is written; most lengths fit into the one byte that
    /// is left for it, and for the others there is a shift.
    pub(super) fn message(&mut self, number: u32, write: impl FnOnce(&mut Self)) {
        self.key(number, 2);
        let start = self.0.len();
        self.0.push(0);
        write(self);
        let mut length = self.0.len().saturating_sub(start + 1);
        let mut at = start;
        while length >= 0x80 {
            self.0.insert(at, low_seven(length as u64) | 0x80);
            at += 1;
            length >>= 7;
        }
        if let Some(place) = self.0.get_mut(at) {
            *place = low_seven(length as u64);
        }
    }

    fn key(&mut self, number: u32, wire_type: u8) {
        self.raw_varint(u64::from(number << 3) | u64::from(wire_type));
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(low_seven(value) | 0x80);
            value >>= 7;
        }
        self.0.push(low_seven(value));
    }
}

fn low_seven(value: u64) -> u8 {
    value.to_le_bytes().first().copied().unwrap_or_default() & 0x7f
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct Nested {
        #[prost(uint64, tag = "1")]
        number: u64,
        #[prost(string, tag = "300")]
        text: String,
        #[prost(message, optional, boxed, tag = "16")]
        inner: Option<Box<Self>>,
    }

    fn write(message: &mut Message, nested: &Nested) {
        message.varint(1, nested.number);
        if let Some(inner) = &nested.inner {
            message.message(16, |message| write(message, inner));
        }
        message.text(300, &nested.text);
    }

    proptest! {
        #[test]
        fn prost_reads_what_is_written(layers in proptest::collection::vec((any::<u64>(), 0..20_000_usize), 1..6)) {
            let nested = layers.into_iter().fold(None, |inner, (number, length)| {
                Some(Box::new(Nested { number, text: "é".repeat(length), inner }))
            });
            let nested = *nested.expect("has a layer");
            let bytes = Message::framed(|message| write(message, &nested));
            let (head, body) = bytes.split_at(FRAME_HEAD);
            prop_assert_eq!((head[0], u32::from_be_bytes(head[1..].try_into().unwrap()) as usize), (0, body.len()));
            prop_assert_eq!(Nested::decode(body).unwrap(), nested);
        }
    }
}
