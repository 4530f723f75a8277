//! Entry bundles: the entries themselves, 256 to a file (tlog-tiles, "Log entries").

use std::ops::Range;

use crate::tile::{self, FULL_WIDTH, Tile};
use crate::tree::MAX_SIZE;

/// The longest entry, in bytes: its length is written in 16 bits.
pub const MAX_ENTRY: usize = u16::MAX as usize;

/// The bytes of an entry's length.
pub const PREFIX: usize = 2;

/// The name of a bundle, and of how much of it a log has. Text form: its path, as `tile/entries/x001/067.p/9`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Bundle {
    index: u64,
    width: u16,
}

/// Why bytes are not a bundle, or bytes can't be an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// An entry to be written has more than 65535 bytes.
    #[error("the entry has {0} bytes, more than {MAX_ENTRY}")]
    TooLong(usize),
    /// The bytes end within an entry.
    #[error("the bundle ends within its entry {entry}, which begins at byte {offset}")]
    Torn {
        /// Which, counted from 0.
        entry: usize,
        /// Where its length stands.
        offset: usize,
    },
    /// There are too few or too many entries.
    #[error("the bundle has {found} entries instead of {expected}")]
    Count {
        /// How many there are; one too many stands for any greater number.
        found: usize,
        /// How many there must be.
        expected: u16,
    },
}

impl Bundle {
    /// The bundle with this name; none if no log of fewer than 2^63 entries has it. `width` is from 1 to 256.
    pub fn new(index: u64, width: u16) -> Option<Self> {
        let end = u128::from(index) * u128::from(FULL_WIDTH) + u128::from(width);
        let possible = (1..=FULL_WIDTH).contains(&width) && end <= u128::from(MAX_SIZE);
        possible.then_some(Self { index, width })
    }

    /// Its place among the bundles.
    pub const fn index(self) -> u64 {
        self.index
    }

    /// The entries in it, from 1 to 256.
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Whether it will never grow again.
    pub const fn is_full(self) -> bool {
        self.width == FULL_WIDTH
    }

    /// The tile with the hashes of its entries.
    pub const fn tile(self) -> Tile {
        Tile::of_leaves(self.index, self.width)
    }

    /// The indices of its entries.
    pub fn entries(self) -> Range<u64> {
        let start = self.index * u64::from(FULL_WIDTH);
        start..start + u64::from(self.width)
    }
}

/// The bundles that a log of `new` entries has and the same log at `old` entries did not have, or not as wide. There
/// are none beyond [`MAX_SIZE`].
pub fn bundles_between(old: u64, new: u64) -> impl Iterator<Item = Bundle> {
    tile::places_between(old, new.min(MAX_SIZE)).map(|(index, width)| Bundle { index, width })
}

/// What stands before an entry in a bundle.
pub fn prefix(entry: &[u8]) -> Result<[u8; PREFIX], BundleError> {
    u16::try_from(entry.len()).map(u16::to_be_bytes).map_err(|_long| BundleError::TooLong(entry.len()))
}

/// Writes an entry at the end of a bundle.
pub fn push(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), BundleError> {
    bundle.extend_from_slice(&prefix(entry)?);
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The entries of a bundle of exactly that width.
pub fn parse(bundle: &[u8], width: u16) -> Result<Vec<&[u8]>, BundleError> {
    let entries = Entries::new(bundle).take(usize::from(width) + 1);
    let entries: Vec<&[u8]> = entries.collect::<Result<_, _>>()?;
    let error = BundleError::Count { found: entries.len(), expected: width };
    if entries.len() == usize::from(width) { Ok(entries) } else { Err(error) }
}

/// The bundle of that width at the beginning of a wider one of the same index, as logs may give it.
pub fn narrow(bundle: &[u8], width: u16) -> Result<&[u8], BundleError> {
    let mut entries = Entries::new(bundle);
    let mut found = 0;
    for entry in entries.by_ref().take(usize::from(width)) {
        entry?;
        found += 1;
    }
    let error = BundleError::Count { found, expected: width };
    let narrow = bundle.get(..entries.offset()).filter(|_| found == usize::from(width));
    narrow.ok_or(error)
}

/// The entries of a bundle, one by one, however many there are. Ends after the first error, so that a torn bundle shows
/// how much of it is whole.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    rest: &'a [u8],
    offset: usize,
    entry: usize,
    torn: bool,
}

impl<'a> Entries<'a> {
    /// Of these bytes.
    pub const fn new(bundle: &'a [u8]) -> Self {
        Self { rest: bundle, offset: 0, entry: 0, torn: false }
    }

    /// Where what has not been read begins: after the last whole entry, if one was torn.
    pub const fn offset(&self) -> usize {
        self.offset
    }

    fn take_entry(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk::<PREFIX>()?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        self.rest = rest;
        self.offset += PREFIX + entry.len();
        self.entry += 1;
        Some(entry)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<&'a [u8], BundleError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() || self.torn {
            return None;
        }
        let entry = self.take_entry();
        self.torn = entry.is_none();
        Some(entry.ok_or(BundleError::Torn { entry: self.entry, offset: self.offset }))
    }
}

#[cfg(test)]
mod tests;
