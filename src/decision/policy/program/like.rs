//! `like` (language reference, "`like` operator"): `*` stands for any characters, also none.

/// A pattern, as the texts between its stars.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(in crate::decision::policy) struct Pattern {
    first: Box<str>,
    /// The text after each star; none if there is no star.
    rest: Box<[Box<str>]>,
}

/// A character of a pattern.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Element {
    /// Itself.
    Character(char),
    /// Any characters.
    Star,
}

impl Pattern {
    /// Whether all of `text` fits.
    pub(super) fn matches(&self, text: &str) -> bool {
        let Some((last, between)) = self.rest.split_last() else { return *self.first == *text };
        let Some(inner) = text.strip_prefix(&*self.first).and_then(|text| text.strip_suffix(&**last)) else {
            return false;
        };
        // The first place that fits leaves most room for the others.
        let found = between.iter().try_fold(inner, |text, part| text.split_once(&**part).map(|(_, rest)| rest));
        found.is_some()
    }
}

impl FromIterator<Element> for Pattern {
    fn from_iter<I: IntoIterator<Item = Element>>(elements: I) -> Self {
        let mut texts = vec![String::new()];
        for element in elements {
            match (element, texts.last_mut()) {
                (Element::Character(character), Some(text)) => text.push(character),
                _ => texts.push(String::new()),
            }
        }
        let mut texts = texts.into_iter().map(String::into_boxed_str);
        Self { first: texts.next().unwrap_or_default(), rest: texts.collect() }
    }
}
