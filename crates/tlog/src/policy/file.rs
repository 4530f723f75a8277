//! Reads a policy from a file (tlog-policy).

use std::collections::{BTreeMap, BTreeSet};

use super::Policy;
use super::quorum::{Group, Member, Quorum};
use crate::note::{Algorithm, KeyError, VerifierKey};

/// The longest policy that is read, in bytes.
pub const MAX_FILE_LENGTH: usize = 1 << 20;

/// Stands for no witness at all.
const NONE: &[u8] = b"none";

/// Why bytes are not a policy.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct PolicyFileError {
    /// Which line, from 1; the one after the last if something is missing.
    pub line: usize,
    /// What is wrong there.
    pub fault: PolicyFileFault,
}

/// What is wrong with a line of a policy.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFileFault {
    /// The file is too long, its last line has no end, or it has a control character.
    #[error("it is longer than {MAX_FILE_LENGTH} bytes, does not end in a newline, or has a control character")]
    Text,
    /// The line is none of those that there are.
    #[error("not `log KEY [URL]`, `witness NAME KEY [URL]`, `group NAME all|any|COUNT NAME...` or `quorum NAME`")]
    Form,
    /// What stands for a key is none.
    #[error("not the key of a log or a witness: {0}")]
    Key(KeyError),
    /// A key of a log that only witnesses have, or the other way.
    #[error("a key of this algorithm can't be the key of that")]
    Algorithm,
    /// One key twice.
    #[error("the same key stands in another line")]
    SameKey,
    /// One name twice.
    #[error("the name is taken")]
    NameTaken,
    /// A name that no line before this defines.
    #[error("no line before this one defines such a witness or group")]
    UnknownName,
    /// A witness that would count twice.
    #[error("it is a member already, and would count twice")]
    MemberTwice,
    /// More members must have cosigned than there are, or none.
    #[error("the count must be from 1 to the number of members")]
    Count,
    /// Which witnesses are enough must be said, and only once.
    #[error("there must be one line with the quorum")]
    Quorum,
}

/// What was read so far.
#[derive(Default)]
struct Reading<'a> {
    logs: BTreeMap<String, Vec<VerifierKey>>,
    witnesses: Vec<VerifierKey>,
    groups: Vec<Group>,
    names: BTreeMap<&'a [u8], Member>,
    members: BTreeSet<&'a [u8]>,
    keys: BTreeSet<Vec<u8>>,
    quorum: Option<Rule>,
}

/// What a line says about the quorum.
enum Rule {
    Nobody,
    Somebody(Member),
}

impl Policy {
    /// Reads a policy. A checkpoint must be signed by one of its logs, whose key is named as the log is, and cosigned by
    /// its quorum.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyFileError> {
        let allowed = |byte: &u8| matches!(byte, b'\t' | b'\n' | b' '..=b'~' | 0x80..);
        if bytes.len() > MAX_FILE_LENGTH || !bytes.ends_with(b"\n") || !bytes.iter().all(allowed) {
            return Err(PolicyFileError { line: 1, fault: PolicyFileFault::Text });
        }
        let mut reading = Reading::default();
        let mut lines = 0;
        for (line, text) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            let words: Vec<&[u8]> = words.collect();
            reading.line(&words).map_err(|fault| PolicyFileError { line, fault })?;
            lines = line;
        }
        let missing = PolicyFileError { line: lines + 1, fault: PolicyFileFault::Quorum };
        let quorum = match reading.quorum.ok_or(missing)? {
            Rule::Nobody => Quorum::none(),
            Rule::Somebody(member) => Quorum::of(reading.groups, member),
        };
        Ok(Self { logs: reading.logs, witnesses: reading.witnesses, quorum })
    }
}

impl<'a> Reading<'a> {
    fn line(&mut self, words: &[&'a [u8]]) -> Result<(), PolicyFileFault> {
        match words {
            [] => Ok(()),
            [first, ..] if first.starts_with(b"#") => Ok(()),
            [b"log", key] | [b"log", key, _] => {
                let key = self.key(key, |algorithm| algorithm != Algorithm::Ed25519Cosignature)?;
                self.logs.entry(key.name().to_string()).or_default().push(key);
                Ok(())
            }
            [b"witness", name, key] | [b"witness", name, key, _] => {
                let key = self.key(key, |algorithm| algorithm != Algorithm::Ed25519)?;
                self.witnesses.push(key);
                self.define(name, Member::Witness(self.witnesses.len() - 1))
            }
            [b"group", name, count, members @ ..] => {
                let group = self.group(count, members)?;
                self.groups.push(group);
                self.define(name, Member::Group(self.groups.len() - 1))
            }
            [b"quorum", name] if self.quorum.is_none() => {
                let rule = if *name == NONE { Rule::Nobody } else { Rule::Somebody(self.find(name)?) };
                self.quorum = Some(rule);
                Ok(())
            }
            [b"quorum", _] => Err(PolicyFileFault::Quorum),
            _ => Err(PolicyFileFault::Form),
        }
    }

    fn key(&mut self, text: &[u8], fits: impl Fn(Algorithm) -> bool) -> Result<VerifierKey, PolicyFileFault> {
        let text = str::from_utf8(text).map_err(|_encoding| PolicyFileFault::Form)?;
        let key: VerifierKey = text.parse().map_err(PolicyFileFault::Key)?;
        if !fits(key.algorithm()) {
            return Err(PolicyFileFault::Algorithm);
        }
        if !self.keys.insert(key.bytes().to_vec()) {
            return Err(PolicyFileFault::SameKey);
        }
        Ok(key)
    }

    fn group(&mut self, count: &[u8], members: &[&'a [u8]]) -> Result<Group, PolicyFileFault> {
        let mut found = Vec::new();
        for name in members {
            found.push(self.find(name)?);
            if !self.members.insert(name) {
                return Err(PolicyFileFault::MemberTwice);
            }
        }
        let needed = match count {
            b"all" => Some(found.len()),
            b"any" => Some(1),
            count => str::from_utf8(count).ok().and_then(|count| count.parse().ok()),
        };
        let possible = needed.filter(|needed| (1..=found.len()).contains(needed));
        Ok(Group { needed: possible.ok_or(PolicyFileFault::Count)?, members: found })
    }

    fn define(&mut self, name: &'a [u8], member: Member) -> Result<(), PolicyFileFault> {
        if name == NONE || self.names.insert(name, member).is_some() {
            return Err(PolicyFileFault::NameTaken);
        }
        Ok(())
    }

    fn find(&self, name: &[u8]) -> Result<Member, PolicyFileFault> {
        self.names.get(name).copied().ok_or(PolicyFileFault::UnknownName)
    }
}

#[cfg(test)]
mod tests;
