//! One batch of the journal: a head of 32 bytes, then the entries, each with its length before it.
//!
//! | bytes | what |
//! |--:|---|
//! | 8 | the mark: `0xff`, which is in no UTF-8 text, and a name |
//! | 8 | the number of the first entry, little-endian, as all that follows |
//! | 4 | how many entries; none if the next segment goes on |
//! | 4 | how long they are, with their lengths |
//! | 4 | CRC-32 of them |
//! | 4 | CRC-32 of all before it |

/// What every head begins with.
pub(super) const MARK: [u8; 8] = *b"\xffPCLLOG1";

/// How long a head is.
pub(super) const HEAD: usize = 32;

/// How many bytes stand before each entry: its length, little-endian.
const PREFIX: usize = 4;

/// What a head says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Head {
    /// The number of the first entry.
    pub(super) first: u64,
    /// How many there are.
    pub(super) count: u32,
    /// How long they are, in bytes.
    pub(super) length: u32,
    /// Their CRC-32.
    pub(super) checksum: u32,
}

impl Head {
    /// That of `entries`.
    pub(super) fn of(first: u64, count: u32, entries: &[u8]) -> Option<Self> {
        Some(Self { first, count, length: entries.len().try_into().ok()?, checksum: crc32fast::hash(entries) })
    }

    /// As it is written.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD);
        bytes.extend_from_slice(&MARK);
        bytes.extend_from_slice(&self.first.to_le_bytes());
        for number in [self.count, self.length, self.checksum] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// The head that `bytes` begin with, if they do.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (head, _) = bytes.split_first_chunk::<HEAD>()?;
        let (covered, checksum) = head.split_last_chunk::<4>()?;
        if u32::from_le_bytes(*checksum) != crc32fast::hash(covered) {
            return None;
        }
        let rest = covered.strip_prefix(&MARK)?;
        let (first, rest) = rest.split_first_chunk::<8>()?;
        let (count, rest) = rest.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (checksum, _) = rest.split_first_chunk::<4>()?;
        Some(Self {
            first: u64::from_le_bytes(*first),
            count: u32::from_le_bytes(*count),
            length: u32::from_le_bytes(*length),
            checksum: u32::from_le_bytes(*checksum),
        })
    }

    /// The number of the entry after the last.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }

    /// Whether this only says that the next segment goes on.
    pub(super) const fn is_seal(&self) -> bool {
        self.count == 0
    }

    /// Whether `entries` are those that it speaks of.
    pub(super) fn fits(&self, entries: &[u8]) -> bool {
        usize::try_from(self.length) == Ok(entries.len())
            && crc32fast::hash(entries) == self.checksum
            && split(entries).try_fold(0_u32, |count, entry| entry.and_then(|_| count.checked_add(1)))
                == Some(self.count)
    }
}

/// Appends an entry, which is no longer than one of a log may be, with its length before it.
pub(in crate::evidence::log) fn push(entries: &mut Vec<u8>, entry: &[u8]) {
    let length = u32::try_from(entry.len()).unwrap_or(u32::MAX);
    entries.extend_from_slice(&length.to_le_bytes());
    entries.extend_from_slice(entry);
}

/// The entries one after another; `None` at the end if something is left that is not one.
pub(in crate::evidence::log) fn split(mut entries: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    std::iter::from_fn(move || {
        if entries.is_empty() {
            return None;
        }
        let entry = entries
            .split_first_chunk::<PREFIX>()
            .and_then(|(length, rest)| rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?));
        entries = entry.map_or(&[][..], |(_, rest)| rest);
        Some(entry.map(|(entry, _)| entry))
    })
}
