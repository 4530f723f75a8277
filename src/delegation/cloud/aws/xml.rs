//! As much XML as the answers of AWS's query protocol have: elements without attributes around text. Whatever is written in
//! another way is not found, and an answer in which something is not found is refused.

/// The text of the one element of this name; `None` if there is none, more than one, or something else than text in it.
pub(super) fn text(document: &str, name: &str) -> Option<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let (_, rest) = document.split_once(&open)?;
    let (text, after) = rest.split_once(&close)?;
    if text.contains('<') || after.contains(&open) {
        return None;
    }
    unescaped(text.trim())
}

/// With the five entities that XML itself has, and characters by number, resolved.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('&');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (entity, rest) = part.split_once(';')?;
        plain.push(match entity {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            other => {
                let number = other.strip_prefix('#')?;
                let hexadecimal = number.strip_prefix('x').map(|digits| u32::from_str_radix(digits, 16).ok());
                char::from_u32(hexadecimal.unwrap_or_else(|| number.parse().ok())?)?
            }
        });
        plain.push_str(rest);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_text_of_the_one_element_is_found_or_none_is() {
        assert_eq!(text("<a><b> x&amp;y&#x2b;&#47; </b></a>", "b").as_deref(), Some("x&y+/"));
        for (document, name) in [
            ("", "b"),
            ("<b>x", "b"),
            ("x</b>", "b"),
            ("<b>x</b><b>y</b>", "b"),
            ("<b><c>x</c></b>", "b"),
            ("<b k='v'>x</b>", "b"),
            ("<b>&what;</b>", "b"),
            ("<b>&#xd800;</b>", "b"),
            ("<b>& </b>", "b"),
            ("<b><![CDATA[x]]></b>", "b"),
        ] {
            assert_eq!(text(document, name), None, "{document}");
        }
    }

    proptest! {
        #[test]
        fn no_document_is_too_odd(document in "(<b>|</b>|&|;|#|x|lt|[^<]){0,40}") {
            if let Some(found) = text(&document, "b") {
                prop_assert!(found.len() <= document.len());
            }
        }
    }
}
