//! A JSON array of entities, taken apart one by one, so that a bad one is known by its place and the others stand.

use serde::de::IgnoredAny;

use crate::decision::policy::problem::Position;

/// A text that is no JSON array of anything.
#[derive(Clone, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[error("{position}: {what}")]
pub struct DocumentError {
    position: Position,
    what: String,
}

/// The elements of an array, each with its text and where it begins. Ends with the first error.
#[derive(Debug)]
pub(super) struct Elements<'a> {
    text: &'a str,
    offset: usize,
    position: Position,
    state: State,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Before,
    Within,
    Done,
}

impl<'a> Elements<'a> {
    pub(super) const fn of(text: &'a str) -> Self {
        Self { text, offset: 0, position: Position { line: 1, column: 1 }, state: State::Before }
    }

    /// How much of the text was read, in bytes.
    pub(super) const fn offset(&self) -> usize {
        self.offset
    }

    fn step(&mut self) -> Result<Option<(Position, &'a str)>, DocumentError> {
        self.skip_space();
        match (self.state, self.peek()) {
            (State::Before, Some(b'[')) => {
                self.advance(1);
                self.skip_space();
                if self.peek() == Some(b']') {
                    return self.end();
                }
            }
            (State::Before, _) => return Err(self.expected("`[`")),
            (State::Within, Some(b',')) => {
                self.advance(1);
                self.skip_space();
            }
            (State::Within, Some(b']')) => return self.end(),
            (State::Within, _) => return Err(self.expected("`,` and an entity, or `]`")),
            (State::Done, _) => return Ok(None),
        }
        self.state = State::Within;
        self.element().map(Some)
    }

    fn element(&mut self) -> Result<(Position, &'a str), DocumentError> {
        let rest = self.rest();
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        match stream.next() {
            Some(Ok(IgnoredAny)) => {}
            Some(Err(error)) => {
                let (line, column) = (error.line(), error.column());
                let position = match line {
                    0 | 1 => Position { column: self.position.column + column.saturating_sub(1), ..self.position },
                    line => Position { line: self.position.line + line - 1, column },
                };
                let told = error.to_string();
                let what = told.split_once(" at line ").map_or(told.as_str(), |(what, _place)| what).to_owned();
                return Err(DocumentError { position, what });
            }
            None => return Err(self.expected("an entity")),
        }
        let element = (self.position, rest.get(..stream.byte_offset()).unwrap_or_default());
        self.advance(element.1.len());
        Ok(element)
    }

    fn end(&mut self) -> Result<Option<(Position, &'a str)>, DocumentError> {
        self.advance(1);
        self.skip_space();
        self.state = State::Done;
        if self.rest().is_empty() { Ok(None) } else { Err(self.expected("nothing more")) }
    }

    fn expected(&self, what: &str) -> DocumentError {
        DocumentError { position: self.position, what: format!("expected {what}: entities are a JSON array") }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.offset..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.advance(rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len());
    }

    fn advance(&mut self, bytes: usize) {
        let passed = self.rest().get(..bytes).unwrap_or_default();
        match passed.rsplit_once('\n') {
            Some((above, last)) => {
                self.position.line += 1 + above.bytes().filter(|byte| *byte == b'\n').count();
                self.position.column = 1 + last.chars().count();
            }
            None => self.position.column += passed.chars().count(),
        }
        self.offset += bytes;
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<(Position, &'a str), DocumentError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step().transpose();
        if step.as_ref().is_none_or(Result::is_err) {
            self.state = State::Done;
            self.offset = self.text.len();
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, &str)>, String> {
        let elements: Result<Vec<_>, _> = Elements::of(text).collect();
        let elements = elements.map_err(|error| error.to_string())?;
        Ok(elements.into_iter().map(|(position, text)| (position.to_string(), text)).collect())
    }

    #[test]
    fn each_element_has_its_place() {
        assert_eq!(read(" [ ] "), Ok(vec![]));
        let text = "[{\"é\": 1}, 2,\n\n  {\"a\":\n1}, []]\n";
        let expected = [("1:2", "{\"é\": 1}"), ("1:12", "2"), ("3:3", "{\"a\":\n1}"), ("4:5", "[]")];
        assert_eq!(read(text), Ok(expected.map(|(place, text)| (place.to_owned(), text)).to_vec()));
    }

    #[test]
    fn what_is_no_array_is_refused_where_it_goes_wrong() {
        for (text, place) in [
            ("", "1:1: "),
            ("{}", "1:1: "),
            ("[1 2]", "1:4: "),
            ("[1,]", "1:4: "),
            ("[,]", "1:2: "),
            ("[1", "1:3: "),
            ("[1]]", "1:4: "),
            ("[\n1,\n{\"a\" 1}]", "3:6: "),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(place), "{text}: {error}");
        }
    }
}
