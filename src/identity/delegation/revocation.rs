//! What can be revoked of delegations: one token by its name, or somebody, with every token whose chain rests on them.

use std::fmt;

use crate::foundation::clock::Timestamp;

/// The longest name, of a token, of somebody or of an issuer, in bytes: all are kept in memory, and in an index.
const MAX_NAME: usize = 1024;

/// What SPIFFE IDs begin with.
const SPIFFE: &str = "spiffe://";

/// What a revocation is about.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum RevokedKind {
    /// One token, by its `jti`.
    Token,
    /// Somebody: an actor, earlier or now, a requester or a subject.
    Member,
}

/// What is revoked.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Revoked {
    kind: RevokedKind,
    name: String,
    issuer: Option<String>,
}

/// Why a text names nothing that can be revoked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RevokedError {
    /// There is none.
    #[error("no name is given")]
    Empty,
    /// It is too long.
    #[error("a name has at most {MAX_NAME} bytes")]
    TooLong,
    /// It can't be shown, and not be kept everywhere.
    #[error("a name has no control characters")]
    Control,
}

/// Something that is revoked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Revocation {
    /// What.
    pub revoked: Revoked,
    /// Since when.
    pub revoked_at: Timestamp,
    /// Until when; without an end, until it is taken back.
    pub until: Option<Timestamp>,
}

impl RevokedKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Token, Self::Member];

    /// The name in records and the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Member => "member",
        }
    }
}

impl Revoked {
    /// What `kind` of thing is called `name` by `issuer`, or by whomever. Of a SPIFFE ID the issuer says nothing: it is of its
    /// own trust domain, whoever repeats it.
    ///
    /// # Errors
    /// [`RevokedError`], also of the issuer's name.
    pub fn new(kind: RevokedKind, name: &str, issuer: Option<&str>) -> Result<Self, RevokedError> {
        let issuer = issuer.filter(|_| kind == RevokedKind::Token || !name.starts_with(SPIFFE));
        Ok(Self { kind, name: checked(name)?, issuer: issuer.map(checked).transpose()? })
    }

    /// What kind of thing.
    pub const fn kind(&self) -> RevokedKind {
        self.kind
    }

    /// Its name: `jti` or `sub`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who gave it that name: `iss`. Without one it is about all of that name.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Whether it is about what `issuer` gave this name. One that nobody is known to have named may be meant.
    fn is_of(&self, issuer: Option<&str>) -> bool {
        match (self.issuer(), issuer) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => true,
        }
    }
}

/// Whether something can be revoked by this name.
pub(super) fn is_name(name: &str) -> bool {
    checked(name).is_ok()
}

fn checked(name: &str) -> Result<String, RevokedError> {
    if name.is_empty() {
        return Err(RevokedError::Empty);
    }
    if name.len() > MAX_NAME {
        return Err(RevokedError::TooLong);
    }
    if name.chars().any(char::is_control) {
        return Err(RevokedError::Control);
    }
    Ok(name.to_owned())
}

/// As records have it.
impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind.name(), self.name)?;
        self.issuer.iter().try_for_each(|issuer| write!(f, " of {issuer:?}"))
    }
}

impl Revocation {
    /// Whether it counts at `now`.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Whether it is about what `issuer` gave the name that both have, and counts at `now`.
    pub(super) fn reaches(&self, issuer: Option<&str>, now: Timestamp) -> bool {
        self.revoked.is_of(issuer) && self.holds(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_neither_kept_nor_shown_names_nothing() {
        let long = "x".repeat(MAX_NAME + 1);
        for (name, error) in [
            ("", RevokedError::Empty),
            (&*long, RevokedError::TooLong),
            ("a\0b", RevokedError::Control),
            ("a\nb", RevokedError::Control),
        ] {
            assert_eq!(Revoked::new(RevokedKind::Token, name, None), Err(error), "{name:?}");
            assert_eq!(Revoked::new(RevokedKind::Member, "alice", Some(name)), Err(error), "{name:?}");
        }
        Revoked::new(RevokedKind::Token, &"x".repeat(MAX_NAME), None).unwrap();
    }

    #[test]
    fn a_spiffe_id_is_who_it_is_whoever_says_it() {
        let id = "spiffe://example.org/robot";
        let with = Revoked::new(RevokedKind::Member, id, Some("https://gate.example")).unwrap();
        assert_eq!(with, Revoked::new(RevokedKind::Member, id, None).unwrap());
        assert_eq!(with.to_string(), r#"member "spiffe://example.org/robot""#);
        let alice = Revoked::new(RevokedKind::Member, "alice", Some("https://idp.example")).unwrap();
        assert_eq!(alice.to_string(), r#"member "alice" of "https://idp.example""#);
    }
}
