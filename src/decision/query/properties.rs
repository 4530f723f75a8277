//! What is said of something: JSON, of which a request over HTTP has nothing but texts and records of texts, and these
//! are borrowed.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value as Json};

/// Values by name, each name once, sorted by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties<'a>(Vec<(Cow<'a, str>, Property<'a>)>);

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Property<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A record that we made ourselves; one that a caller sent is JSON.
    Record(Properties<'a>),
    /// Anything but a string.
    Json(Json),
}

impl<'a> Properties<'a> {
    /// Nothing yet, with room for so many.
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// Sets the value of `name`.
    pub fn insert(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Property<'a>>) {
        let (name, value) = (name.into(), value.into());
        // Whoever makes them mostly makes them in order.
        if self.0.last().is_none_or(|(last, _)| *last < name) {
            return self.0.push((name, value));
        }
        match self.place(&name) {
            Ok(place) => {
                if let Some((_, known)) = self.0.get_mut(place) {
                    *known = value;
                }
            }
            Err(place) => self.0.insert(place, (name, value)),
        }
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&Property<'a>> {
        self.get_key_value(name).map(|(_, value)| value)
    }

    /// The value of `name`, with the name as it is here.
    pub fn get_key_value(&self, name: &str) -> Option<(&str, &Property<'a>)> {
        let (name, value) = self.0.get(self.place(name).ok()?)?;
        Some((name, value))
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Property<'a>)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// Leaves out those whose name `keeps` does not hold of.
    pub fn retain(&mut self, mut keeps: impl FnMut(&str) -> bool) {
        self.0.retain(|(name, _)| keeps(name));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same, borrowing nothing.
    pub fn into_owned<'o>(self) -> Properties<'o> {
        let owned = |(name, value): (Cow<'_, str>, Property<'_>)| (super::owned(name), value.into_owned());
        Properties(self.0.into_iter().map(owned).collect())
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(name))
    }
}

impl Property<'_> {
    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Record(_) | Self::Json(_) => None,
        }
    }

    /// The same, borrowing nothing. Only as deep as what we made ourselves.
    fn into_owned<'o>(self) -> Property<'o> {
        match self {
            Self::Text(text) => Property::Text(super::owned(text)),
            Self::Record(record) => Property::Record(record.into_owned()),
            Self::Json(json) => Property::Json(json),
        }
    }
}

impl<'a> Extend<(Cow<'a, str>, Property<'a>)> for Properties<'a> {
    fn extend<I: IntoIterator<Item = (Cow<'a, str>, Property<'a>)>>(&mut self, values: I) {
        values.into_iter().for_each(|(name, value)| self.insert(name, value));
    }
}

impl<'a> IntoIterator for Properties<'a> {
    type Item = (Cow<'a, str>, Property<'a>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'de> Deserialize<'de> for Properties<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(Self::from)
    }
}

impl From<Map<String, Json>> for Properties<'_> {
    fn from(object: Map<String, Json>) -> Self {
        let mut values: Vec<(Cow<'_, str>, _)> =
            object.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        values.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Self(values)
    }
}

impl<'a> From<&'a str> for Property<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Property<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl<'a> From<Cow<'a, str>> for Property<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<Properties<'a>> for Property<'a> {
    fn from(record: Properties<'a>) -> Self {
        Self::Record(record)
    }
}

impl From<Json> for Property<'_> {
    fn from(json: Json) -> Self {
        match json {
            Json::String(text) => Self::Text(Cow::Owned(text)),
            json => Self::Json(json),
        }
    }
}

impl From<Property<'_>> for Json {
    fn from(property: Property<'_>) -> Self {
        match property {
            Property::Text(text) => Self::String(text.into_owned()),
            Property::Record(record) => record.into(),
            Property::Json(json) => json,
        }
    }
}

impl From<Properties<'_>> for Json {
    fn from(properties: Properties<'_>) -> Self {
        Self::Object(properties.0.into_iter().map(|(name, value)| (name.into_owned(), value.into())).collect())
    }
}
