//! Protocol Buffers as they are on the wire (protobuf.dev, "Encoding"), as far as a reader of texts needs them: fields
//! that hold texts, bytes or messages are given out as slices, all others are stepped over.

/// How deep messages and groups may lie within each other, which is prost's bound too.
const MAX_DEPTH: u32 = 100;

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(in super::super) enum DecodeError {
    /// It ends within a field, or a field reaches beyond the message that it is in.
    #[error("it breaks off within a field")]
    Truncated,
    /// A number of more than 64 bits.
    #[error("it has a number that is too long")]
    Varint,
    /// The number or the type of a field can't be.
    #[error("it has a field that can't be")]
    Key,
    /// A group that ends without a start, or another than began.
    #[error("it has the end of a group that did not begin")]
    Group,
    /// More than a hundred groups within each other.
    #[error("it is nested too deeply")]
    Depth,
    /// A field that we know has the type of another.
    #[error("field {0} is not of its type")]
    Type(u32),
    /// A text is not UTF-8.
    #[error("field {0} is not UTF-8")]
    Utf8(u32),
    /// More entries of one kind than are taken.
    #[error("field {0} is there too often")]
    Count(u32),
}

/// A message, field by field.
#[derive(Clone, Debug)]
pub(super) struct Message<'a> {
    rest: &'a [u8],
    depth_left: u32,
}

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    /// What it holds, if that is delimited by a length.
    bytes: Option<&'a [u8]>,
    depth_left: u32,
}

/// The types of fields.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum WireType {
    Varint,
    Fixed64,
    Delimited,
    GroupStart,
    GroupEnd,
    Fixed32,
}

impl<'a> Message<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, depth_left: MAX_DEPTH }
    }

    /// The next field, or `None` at the end.
    pub(super) fn next_field(&mut self) -> Result<Option<Field<'a>>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.key()?;
        let bytes = match wire_type {
            WireType::Delimited => Some(self.delimited()?),
            other => {
                self.skip(number, other, self.depth_left)?;
                None
            }
        };
        Ok(Some(Field { number, bytes, depth_left: self.depth_left }))
    }

    fn key(&mut self) -> Result<(u32, WireType), DecodeError> {
        let key = u32::try_from(self.varint()?).map_err(|_too_large| DecodeError::Key)?;
        let wire_type = match key & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Delimited,
            3 => WireType::GroupStart,
            4 => WireType::GroupEnd,
            5 => WireType::Fixed32,
            _ => return Err(DecodeError::Key),
        };
        match key >> 3 {
            0 => Err(DecodeError::Key),
            number => Ok((number, wire_type)),
        }
    }

    /// Up to ten bytes with seven bits each, the lowest first; of the tenth only the lowest bit has a place.
    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for (at, byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                if at == 9 && *byte > 1 {
                    return Err(DecodeError::Varint);
                }
                self.take(at + 1)?;
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { DecodeError::Truncated } else { DecodeError::Varint })
    }

    fn delimited(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(self.varint()?).map_err(|_too_large| DecodeError::Truncated)?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Steps over what field `number` holds. Groups, long deprecated, are the one thing that has to be entered for that.
    fn skip(&mut self, number: u32, wire_type: WireType, depth_left: u32) -> Result<(), DecodeError> {
        let deeper = depth_left.checked_sub(1).ok_or(DecodeError::Depth)?;
        match wire_type {
            WireType::Varint => self.varint().map(drop),
            WireType::Fixed64 => self.take(8).map(drop),
            WireType::Fixed32 => self.take(4).map(drop),
            WireType::Delimited => self.delimited().map(drop),
            WireType::GroupEnd => Err(DecodeError::Group),
            WireType::GroupStart => loop {
                match self.key()? {
                    (inner, WireType::GroupEnd) if inner == number => return Ok(()),
                    (inner, wire_type) => self.skip(inner, wire_type, deeper)?,
                }
            },
        }
    }
}

impl<'a> Field<'a> {
    pub(super) fn bytes(&self) -> Result<&'a [u8], DecodeError> {
        self.bytes.ok_or(DecodeError::Type(self.number))
    }

    pub(super) fn text(&self) -> Result<&'a str, DecodeError> {
        str::from_utf8(self.bytes()?).map_err(|_not_utf8| DecodeError::Utf8(self.number))
    }

    pub(super) fn message(&self) -> Result<Message<'a>, DecodeError> {
        let depth_left = self.depth_left.checked_sub(1).ok_or(DecodeError::Depth)?;
        Ok(Message { rest: self.bytes()?, depth_left })
    }
}
