//! Where the resources of a log are, below its prefix (tlog-tiles, "APIs").

use std::fmt;
use std::str::FromStr;

use crate::bundle::Bundle;
use crate::decimal;
use crate::tile::{self, Tile};

const TILES: &str = "tile/";
const ENTRIES: &str = "entries/";

/// Everything that a log serves. Text form: the path without a leading slash.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Resource {
    /// `checkpoint`.
    Checkpoint,
    /// `tile/<L>/<N>[.p/<W>]`.
    Tile(Tile),
    /// `tile/entries/<N>[.p/<W>]`.
    Entries(Bundle),
}

/// Why a path is not that of a resource of a log.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// Neither the checkpoint nor below `tile/`.
    #[error("a log has `checkpoint` and what is below `tile/`")]
    Unknown,
    /// `<L>` is not a level.
    #[error("the level is not a number from 0 to {} or `entries`", tile::MAX_LEVEL)]
    Level,
    /// `<N>` is not in groups of three digits, all but the last with an `x` before it, or begins with a needless one.
    #[error("the index is not in groups of three digits, all but the last with `x` before it")]
    Index,
    /// `<W>` is not a number from 1 to 255.
    #[error("the width of what is partial is not a number from 1 to 255")]
    Width,
    /// No tree of fewer than 2^63 entries has it.
    #[error("no tree is as large as that")]
    OutOfRange,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint => f.write_str("checkpoint"),
            Self::Tile(tile) => tile.fmt(f),
            Self::Entries(bundle) => bundle.fmt(f),
        }
    }
}

impl FromStr for Resource {
    type Err = PathError;

    fn from_str(path: &str) -> Result<Self, Self::Err> {
        if path == "checkpoint" {
            return Ok(Self::Checkpoint);
        }
        let rest = path.strip_prefix(TILES).ok_or(PathError::Unknown)?;
        if let Some(place) = rest.strip_prefix(ENTRIES) {
            let (index, width) = parse_place(place)?;
            return Bundle::new(index, width).map(Self::Entries).ok_or(PathError::OutOfRange);
        }
        let (level, place) = rest.split_once('/').ok_or(PathError::Level)?;
        let level = decimal::parse(level).and_then(|level| u8::try_from(level).ok());
        let level = level.filter(|level| *level <= tile::MAX_LEVEL).ok_or(PathError::Level)?;
        let (index, width) = parse_place(place)?;
        Tile::new(level, index, width).map(Self::Tile).ok_or(PathError::OutOfRange)
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{TILES}{}/", self.level())?;
        write_place(f, self.index(), self.width())
    }
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{TILES}{ENTRIES}")?;
        write_place(f, self.index(), self.width())
    }
}

impl FromStr for Tile {
    type Err = PathError;

    fn from_str(path: &str) -> Result<Self, Self::Err> {
        match path.parse()? {
            Resource::Tile(tile) => Ok(tile),
            Resource::Checkpoint | Resource::Entries(_) => Err(PathError::Level),
        }
    }
}

impl FromStr for Bundle {
    type Err = PathError;

    fn from_str(path: &str) -> Result<Self, Self::Err> {
        match path.parse()? {
            Resource::Entries(bundle) => Ok(bundle),
            Resource::Checkpoint | Resource::Tile(_) => Err(PathError::Level),
        }
    }
}

/// `<N>[.p/<W>]`.
fn write_place(f: &mut fmt::Formatter<'_>, index: u64, width: u16) -> fmt::Result {
    write_index(f, index)?;
    if width < tile::FULL_WIDTH { write!(f, ".p/{width}") } else { Ok(()) }
}

/// `<N>`: the index in groups of three digits, all but the last with an `x` before it.
fn write_index(out: &mut impl fmt::Write, index: u64) -> fmt::Result {
    // 1000^6 is the largest power that an index below 2^63 can reach.
    for power in (1..=6).rev().map(|exponent| 1000_u64.pow(exponent)) {
        if index >= power {
            write!(out, "x{:03}/", index / power % 1000)?;
        }
    }
    write!(out, "{:03}", index % 1000)
}

fn parse_place(place: &str) -> Result<(u64, u16), PathError> {
    let Some((index, width)) = place.split_once(".p/") else {
        return Ok((parse_index(place)?, tile::FULL_WIDTH));
    };
    let width = decimal::parse(width).and_then(|width| u16::try_from(width).ok());
    let width = width.filter(|width| (1..tile::FULL_WIDTH).contains(width)).ok_or(PathError::Width)?;
    Ok((parse_index(index)?, width))
}

fn parse_index(text: &str) -> Result<u64, PathError> {
    let mut digits = String::with_capacity(text.len());
    for group in text.split('/') {
        digits.push_str(group.strip_prefix('x').unwrap_or(group));
    }
    let index = digits.trim_start_matches('0');
    let index = decimal::parse(if index.is_empty() { "0" } else { index }).ok_or(PathError::Index)?;
    // One index has one spelling, so what is written again must be what was read.
    let mut canonical = String::with_capacity(text.len());
    let written = write_index(&mut canonical, index);
    if written.is_ok() && canonical == text { Ok(index) } else { Err(PathError::Index) }
}

#[cfg(test)]
mod tests;
