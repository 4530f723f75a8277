//! Splits a file into its statements, each one policy or template, without understanding them. So one changed policy is
//! one changed text, and the others need not be compiled again.

use std::ops::Range;

/// One statement of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Statement {
    /// Where it stands, its annotations and its semicolon included; spaces and comments around it are not.
    pub(super) range: Range<usize>,
    /// Where it leaves something open for links to fill in: the places of `?principal` and `?resource`, counted from
    /// the start of the file.
    pub(super) slots: Vec<Range<usize>>,
}

/// The statements of a text in their order. What stands after the last semicolon is one too, though it can't be right.
pub(super) fn statements(text: &str) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut scanner = Scanner { bytes: text.as_bytes(), offset: 0 };
    let mut open: Option<Statement> = None;
    while let Some((token, range)) = scanner.next() {
        if token == Token::Nothing {
            continue;
        }
        let statement = open.get_or_insert_with(|| Statement { range: range.clone(), slots: Vec::new() });
        statement.range.end = range.end;
        match token {
            Token::Slot => statement.slots.push(range),
            Token::End => statements.extend(open.take()),
            Token::Nothing | Token::Text => {}
        }
    }
    statements.extend(open);
    statements
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Token {
    /// Spaces or a comment.
    Nothing,
    Text,
    Slot,
    End,
}

/// Looks at bytes: all that matters is ASCII, which no part of another character in UTF-8 is.
struct Scanner<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl Scanner<'_> {
    fn next(&mut self) -> Option<(Token, Range<usize>)> {
        let start = self.offset;
        let first = self.take()?;
        let token = match first {
            b';' => Token::End,
            b'"' => {
                self.string();
                Token::Text
            }
            b'/' if self.peek() == Some(b'/') => {
                self.skip(|byte| byte != b'\n');
                Token::Nothing
            }
            b'?' => {
                self.skip(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                Token::Slot
            }
            byte if byte.is_ascii_whitespace() => {
                self.skip(|byte| byte.is_ascii_whitespace());
                Token::Nothing
            }
            _ => {
                self.skip(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b';' | b'"' | b'/' | b'?'));
                Token::Text
            }
        };
        Some((token, start..self.offset))
    }

    fn string(&mut self) {
        while let Some(byte) = self.take() {
            match byte {
                b'"' => return,
                b'\\' => drop(self.take()),
                _ => {}
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.offset).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.offset += 1;
        Some(byte)
    }

    fn skip(&mut self, goes_on: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&goes_on) {
            self.offset += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        statements(text).into_iter().map(|statement| text.get(statement.range).unwrap()).collect()
    }

    #[test]
    fn a_statement_ends_with_a_semicolon_that_is_not_in_a_string_or_a_comment() {
        let text = " // a; b\n@id(\"x;\\\";\") permit(p, a, r); // c;\n\nforbid(p, // d;\n a, r)\n;\n";
        assert_eq!(texts(text), ["@id(\"x;\\\";\") permit(p, a, r);", "forbid(p, // d;\n a, r)\n;"]);
        assert!(texts(" // nothing;\n").is_empty());
        assert_eq!(texts("permit(p, a / r); é"), ["permit(p, a / r);", "é"]);
        assert_eq!(texts("\"open; \\"), ["\"open; \\"]);
    }

    #[test]
    fn slots_are_found_where_they_are_not_text() {
        let text =
            "permit(principal in ?principal, action, resource == ?resource) when { \"?principal\" == \"\" }; // ?x";
        let found = statements(text).remove(0).slots;
        assert_eq!(
            found.into_iter().map(|slot| text.get(slot).unwrap()).collect::<Vec<_>>(),
            ["?principal", "?resource"]
        );
    }
}
