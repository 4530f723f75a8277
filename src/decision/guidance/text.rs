//! What a denial says to a person: one text for everybody, and more in other languages.

/// The longest text, in bytes.
const MAX_TEXT: usize = 1024;

/// A text, and what it is in other languages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Text {
    /// For whoever wants none of the languages below.
    pub plain: Box<str>,
    /// By language tag in lower case, e.g. `de` or `pt-br`.
    pub translations: Vec<(Box<str>, Box<str>)>,
}

/// Whether a person can be shown `text`: nothing in it controls a terminal, ends a line or is endless.
///
/// # Errors
/// What is wrong with it.
pub fn check_text(text: &str) -> Result<&str, String> {
    let is_shown = !text.trim().is_empty() && !text.chars().any(crate::foundation::telemetry::is_unprintable);
    if is_shown && text.len() <= MAX_TEXT {
        return Ok(text);
    }
    Err(format!("the text must be one line of 1 to {MAX_TEXT} bytes without control characters"))
}

/// A language tag as far as a text needs one (RFC 5646): a language, perhaps with a script or a region. In lower case.
///
/// # Errors
/// It is something else.
pub fn check_language(tag: &str) -> Result<String, String> {
    let mut parts = tag.split('-');
    let language = parts.next().unwrap_or_default();
    let is_language = matches!(language.len(), 2..=3) && language.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_part = |part: &str| matches!(part.len(), 2..=8) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_language && parts.all(is_part) && tag.len() <= 35 {
        return Ok(tag.to_ascii_lowercase());
    }
    Err(format!("`{tag}` is not a language such as `de` or `pt-BR`"))
}
