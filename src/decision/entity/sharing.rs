//! Texts that many records of one reading repeat, kept once: of a million people few have a department of their own.

use std::collections::HashSet;
use std::sync::Arc;

use crate::decision::value::Text;

/// The longest text that is looked up, in bytes: long ones are seldom repeated.
const LONGEST: usize = 32;

/// How many texts are remembered.
const MOST: usize = 1 << 16;

/// The texts so far.
#[derive(Debug, Default)]
pub(in crate::decision) struct Sharing(HashSet<Arc<str>>);

impl Sharing {
    /// `text`, borrowing nothing.
    pub(super) fn text(&mut self, text: &str) -> Text<'static> {
        if text.len() > LONGEST {
            return Text::Shared(text.into());
        }
        if let Some(shared) = self.0.get(text) {
            return Text::Shared(Arc::clone(shared));
        }
        let kept: Arc<str> = text.into();
        if self.0.len() < MOST {
            self.0.insert(Arc::clone(&kept));
        }
        Text::Shared(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_and_repeated_is_kept_once() {
        let mut sharing = Sharing::default();
        let same = |sharing: &mut Sharing, text: &str| {
            let (Text::Shared(a), Text::Shared(b)) = (sharing.text(text), sharing.text(text)) else { panic!() };
            assert_eq!((&*a, &*b), (text, text));
            Arc::ptr_eq(&a, &b)
        };
        assert!(same(&mut sharing, "sales") && same(&mut sharing, ""));
        assert!(!same(&mut sharing, &"x".repeat(LONGEST + 1)));
        (0..MOST).for_each(|number| drop(sharing.text(&number.to_string())));
        assert!(same(&mut sharing, "sales") && !same(&mut sharing, "marketing"));
    }
}
