//! URIs of MCP's resources (RFC 3986). A policy compares them as texts, and a server may normalise them (section 6), so only
//! those are taken that are their own normal form.

/// The longest, in bytes.
const MAX_BYTES: usize = 2048;

/// Whether there is one way to read it; if not, why.
pub(super) fn check(uri: &str) -> Result<(), &'static str> {
    if uri.len() > MAX_BYTES {
        return Err("has more than 2048 bytes");
    }
    if !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("has something else than visible ASCII");
    }
    let (scheme, rest) = uri.split_once(':').ok_or("has no scheme")?;
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    if !scheme.starts_with(|first: char| first.is_ascii_lowercase()) || !scheme.bytes().all(lower) {
        return Err("has a scheme that is none, or not in lower case");
    }
    if rest.is_empty() || rest.contains(['\\', '#']) {
        return Err("names nothing, or has a fragment or a backslash");
    }
    escapes(rest)?;
    let (before, _query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = match before.strip_prefix("//") {
        Some(after) => {
            let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
            if authority.bytes().any(|byte| byte.is_ascii_uppercase()) || authority.contains('@') {
                return Err("has an authority with a user, or not in lower case");
            }
            path
        }
        None => before,
    };
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let name = segment.split(';').next().unwrap_or_default();
        if matches!(name, "." | "..") || segment.is_empty() && segments.peek().is_some() {
            return Err("has a path with `.`, `..` or nothing between slashes");
        }
    }
    Ok(())
}

/// Escapes only of what must be escaped, and of nothing that separates or ends something for anyone.
fn escapes(text: &str) -> Result<(), &'static str> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        let digits = after.as_bytes().first_chunk::<2>().and_then(|digits| str::from_utf8(digits).ok());
        let byte = digits
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit() || (b'A'..=b'F').contains(&digit)))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or("has something that is not an escape in upper case")?;
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if plain || byte.is_ascii_control() || b"/\\%?#".contains(&byte) {
            return Err("has an escape of what needs none, or of what separates");
        }
        rest = after;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_is_its_own_normal_form_is_taken() {
        for uri in [
            "file:///repo/README.md",
            "https://example.com/a/b/?q=a/../b",
            "orders://17",
            "urn:example:a",
            "file:///a%20b",
            "postgres://db.internal/customers/schema",
            "screen:main",
            "file:///repo/{path}",
            "file:///a/",
        ] {
            assert_eq!(check(uri), Ok(()), "{uri}");
        }
    }

    #[test]
    fn what_a_server_may_read_as_another_is_refused() {
        for uri in [
            "",
            "README.md",
            "FILE:///repo",
            "file:",
            "://x",
            "file:///repo/../etc/passwd",
            "file:///repo/./x",
            "file:///repo/..;a/x",
            "file:///repo/..",
            "file:///repo//x",
            "file:////etc/passwd",
            "file:///repo/%2e%2e/x",
            "file:///repo/%2E%2E/x",
            "file:///repo%2Fx",
            "file:///%72epo",
            "file:///a%5Cb",
            "file:///a\\b",
            "file:///a%00",
            "file:///a%2500",
            "file:///a%2",
            "file:///a%zz",
            "file:///a#b",
            "file:///a b",
            "file:///a\u{e9}",
            "file:///a\u{0}",
            "https://EXAMPLE.com/a",
            "https://user@example.com/a",
            "..",
            "file:..",
        ] {
            assert!(check(uri).is_err(), "{uri:?}");
        }
        assert!(check(&format!("file:///{}", "a".repeat(2048))).is_err());
    }
}
