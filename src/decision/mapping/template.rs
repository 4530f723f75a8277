//! Path templates such as `/todos/{todoId}` and `/files/{name=**}`: segments that are literal, variables that stand for
//! one segment that is not empty, and at the end perhaps one that stands for all that is left.

use crate::decision::request::RequestPath;

/// The most segments, which is as many as a path may have.
const MAX_SEGMENTS: usize = 64;

/// A path template.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Template {
    text: Box<str>,
    segments: Vec<Segment>,
}

/// What stands between two slashes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Segment {
    /// Itself. Only the last one can be empty, behind a trailing slash.
    Literal(Box<str>),
    /// Any one segment that is not empty: `{name}`.
    Variable(Box<str>),
    /// All that is left of the path, slashes and nothing included: `{name=**}`.
    Rest(Box<str>),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let inner = text.strip_prefix('/').ok_or("a path begins with `/`")?;
        let segments: Vec<Segment> = inner.split('/').map(Segment::parse).collect::<Result<_, _>>()?;
        if segments.len() > MAX_SEGMENTS {
            return Err(format!("a path has {MAX_SEGMENTS} segments at most"));
        }
        let Some((last, before)) = segments.split_last() else { return Err("a path begins with `/`".to_owned()) };
        if before.iter().any(|segment| matches!(segment, Segment::Rest(_))) {
            return Err("`=**` stands for all that is left, so nothing can follow it".to_owned());
        }
        if before.iter().any(Segment::is_empty) {
            return Err("the path has an empty segment, which no request has".to_owned());
        }
        let names: Vec<&str> = before.iter().chain([last]).filter_map(Segment::name).collect();
        match names.iter().enumerate().find(|(at, name)| names.iter().take(*at).any(|other| other == *name)) {
            Some((_, twice)) => Err(format!("the variable `{twice}` is there twice")),
            None => Ok(Self { text: text.into(), segments }),
        }
    }

    /// A template of these segments, which can't be wrong.
    pub(super) fn of(segments: Vec<Segment>) -> Self {
        let mut text = String::new();
        for segment in &segments {
            text.push('/');
            match segment {
                Segment::Literal(literal) => text.push_str(literal),
                Segment::Variable(name) => text.extend(["{", name, "}"]),
                Segment::Rest(name) => text.extend(["{", name, "=**}"]),
            }
        }
        Self { text: text.into(), segments }
    }

    /// As it was written.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The names of the variables, in order.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(Segment::name)
    }

    /// Whether every path that this matches, `other` matches too.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        let mut theirs = other.segments.iter();
        for own in &self.segments {
            match (own, theirs.next()) {
                (_, Some(Segment::Rest(_))) => return true,
                (Segment::Literal(literal), Some(Segment::Literal(their))) if literal == their => {}
                (Segment::Literal(literal), Some(Segment::Variable(_))) if !literal.is_empty() => {}
                (Segment::Variable(_), Some(Segment::Variable(_))) => {}
                _ => return false,
            }
        }
        theirs.next().is_none()
    }

    /// Whether there is a path that both match.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let mut theirs = other.segments.iter();
        for own in &self.segments {
            match (own, theirs.next()) {
                (Segment::Rest(_), Some(_)) | (_, Some(Segment::Rest(_))) => return true,
                (Segment::Literal(literal), Some(Segment::Literal(their))) if literal == their => {}
                (Segment::Literal(literal), Some(Segment::Variable(_)))
                | (Segment::Variable(_), Some(Segment::Literal(literal)))
                    if !literal.is_empty() => {}
                (Segment::Variable(_), Some(Segment::Variable(_))) => {}
                _ => return false,
            }
        }
        theirs.next().is_none()
    }
}

/// Whether this can be the path of a route.
///
/// # Errors
/// What is wrong with it.
pub fn check_template(text: &str) -> Result<(), String> {
    Template::parse(text).map(|_| ())
}

impl Segment {
    fn parse(text: &str) -> Result<Self, String> {
        let Some(inner) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
            return literal(text).map(Self::Literal);
        };
        let (name, rest) = inner.strip_suffix("=**").map_or((inner, false), |name| (name, true));
        if !is_name(name) {
            return Err(format!(
                "`{text}` is not `{{name}}` or `{{name=**}}`, with a name of letters, digits, `-`, `_`"
            ));
        }
        Ok(if rest { Self::Rest(name.into()) } else { Self::Variable(name.into()) })
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Variable(name) | Self::Rest(name) => Some(name),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Literal(literal) if literal.is_empty())
    }
}

/// A literal is compared with canonical paths, so it must be a piece of one, or it would never match.
fn literal(text: &str) -> Result<Box<str>, String> {
    if text.contains(['{', '}']) {
        return Err(format!("in `{text}` a variable is only a part of a segment; it must be all of it"));
    }
    let escaped: String = text.bytes().map(escape).collect();
    match RequestPath::parse(&format!("/{escaped}")) {
        Ok((path, None)) if path.as_str().strip_prefix('/') == Some(text) => Ok(text.into()),
        Ok(_) => Err(format!("`{text}` is not as it stands in a canonical path")),
        Err(error) => Err(format!("no request has the segment `{text}`: {error}")),
    }
}

/// A byte as it may stand in a path: of visible ASCII itself, of others their escape. A literal `%` is one already.
fn escape(byte: u8) -> String {
    if byte.is_ascii_graphic() { char::from(byte).to_string() } else { format!("%{byte:02x}") }
}

/// Whether it can name a variable or a field.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
pub(super) mod tests;
