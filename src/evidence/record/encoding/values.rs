//! How the values are written and read that several kinds of records have.

use std::sync::Arc;

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};
use uuid::Uuid;

use crate::evidence::record::{DecisionId, Sealed, TraceId};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::watched::Epoch;

/// A list of texts that are shared.
pub(in crate::evidence::record) mod texts {
    use super::{Arc, Decoder, decode};
    #[cfg(test)]
    use super::{Encoder, Write, encode};

    #[cfg(test)]
    pub(in crate::evidence::record) fn encode<C, W: Write>(
        texts: &Arc<[Arc<str>]>,
        encoder: &mut Encoder<W>,
        _context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        encoder.array(u64::try_from(texts.len()).unwrap_or(u64::MAX))?;
        texts.iter().try_for_each(|text| encoder.str(text).map(drop))
    }

    pub(in crate::evidence::record) fn decode<'b, C>(
        decoder: &mut Decoder<'b>,
        _context: &mut C,
    ) -> Result<Arc<[Arc<str>]>, decode::Error> {
        decoder.array_iter::<&'b str>()?.map(|text| text.map(Arc::from)).collect()
    }
}

/// A text that is shared, if it is there.
pub(in crate::evidence::record) mod shared_text {
    use super::{Arc, Decoder, decode};
    #[cfg(test)]
    use super::{Encoder, Write, encode};

    type Text = Option<Arc<str>>;

    #[cfg(test)]
    pub(in crate::evidence::record) fn encode<C, W: Write>(
        text: &Text,
        encoder: &mut Encoder<W>,
        _context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        encoder.str(text.as_deref().unwrap_or_default()).map(drop)
    }

    pub(in crate::evidence::record) fn decode<C>(
        decoder: &mut Decoder<'_>,
        _context: &mut C,
    ) -> Result<Text, decode::Error> {
        decoder.str().map(|text| Some(Arc::from(text)))
    }

    #[expect(clippy::unnecessary_wraps, reason = "what the derived code demands")]
    pub(in crate::evidence::record) const fn nil() -> Option<Text> {
        Some(None)
    }

    #[cfg(test)]
    pub(in crate::evidence::record) const fn is_nil(text: &Text) -> bool {
        text.is_none()
    }
}

impl<C> Encode<C> for Digest {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, _context: &mut C) -> Result<(), encode::Error<W::Error>> {
        encoder.bytes(self.as_bytes()).map(drop)
    }
}

impl<'b, C> Decode<'b, C> for Digest {
    fn decode(decoder: &mut Decoder<'b>, _context: &mut C) -> Result<Self, decode::Error> {
        let bytes = decoder.bytes()?.try_into();
        bytes.map(Self::from_bytes).map_err(|_length| decode::Error::message("a digest has 32 bytes"))
    }
}

impl<C> Encode<C> for Timestamp {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, _context: &mut C) -> Result<(), encode::Error<W::Error>> {
        encoder.u64(self.unix_nanos()).map(drop)
    }
}

impl<'b, C> Decode<'b, C> for Timestamp {
    fn decode(decoder: &mut Decoder<'b>, _context: &mut C) -> Result<Self, decode::Error> {
        decoder.u64().map(Self::from_unix_nanos)
    }
}

impl<C> Encode<C> for Epoch {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, _context: &mut C) -> Result<(), encode::Error<W::Error>> {
        encoder.u64(self.number()).map(drop)
    }
}

impl<'b, C> Decode<'b, C> for Epoch {
    fn decode(decoder: &mut Decoder<'b>, _context: &mut C) -> Result<Self, decode::Error> {
        decoder.u64().map(Self::of_record)
    }
}

impl<C> Encode<C> for DecisionId {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, _context: &mut C) -> Result<(), encode::Error<W::Error>> {
        encoder.bytes(self.0.as_bytes()).map(drop)
    }
}

impl<'b, C> Decode<'b, C> for DecisionId {
    fn decode(decoder: &mut Decoder<'b>, _context: &mut C) -> Result<Self, decode::Error> {
        let bytes = decoder.bytes()?.try_into();
        bytes.map(|bytes| Self(Uuid::from_bytes(bytes))).map_err(|_length| decode::Error::message("an id has 16 bytes"))
    }
}

impl<C> Encode<C> for TraceId {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, _context: &mut C) -> Result<(), encode::Error<W::Error>> {
        encoder.bytes(&self.0).map(drop)
    }
}

impl<'b, C> Decode<'b, C> for TraceId {
    fn decode(decoder: &mut Decoder<'b>, _context: &mut C) -> Result<Self, decode::Error> {
        let bytes = decoder.bytes()?.try_into();
        bytes.map(Self).map_err(|_length| decode::Error::message("a trace id has 16 bytes"))
    }
}

impl<C> Encode<C> for Sealed {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, _context: &mut C) -> Result<(), encode::Error<W::Error>> {
        encoder.bytes(&self.0).map(drop)
    }
}

impl<'b, C> Decode<'b, C> for Sealed {
    fn decode(decoder: &mut Decoder<'b>, _context: &mut C) -> Result<Self, decode::Error> {
        decoder.bytes().map(|bytes| Self(bytes.to_vec()))
    }
}
