//! Lists, a page at a time. A page's token names its last item, so that what comes and goes between two pages makes no
//! item be missed or told twice.

use std::fmt::Display;

/// One page.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// Asks for the next one; empty if this is the last.
    pub(super) next: String,
}

/// A text that is no token of ours.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("could not parse token '{0}'")]
pub(super) struct TokenFault(String);

/// The page of at most `size` items after `token`; all items, if `size` is not positive, and then the token means
/// nothing. `items` are in the order of their `place`: a rank, and a name among those of one rank.
///
/// # Errors
/// [`TokenFault`].
pub(super) fn take<T, N: AsRef<str> + Display>(
    items: impl Iterator<Item = T>,
    place: impl Fn(&T) -> (u64, N),
    size: i32,
    token: &str,
) -> Result<Page<T>, TokenFault> {
    let size = usize::try_from(size).unwrap_or(0);
    if size == 0 {
        return Ok(Page { items: items.collect(), next: String::new() });
    }
    let after = if token.is_empty() { None } else { Some(parse(token).ok_or_else(|| TokenFault(token.to_owned()))?) };
    let mut rest = items.skip_while(|item| {
        let (rank, name) = place(item);
        after.is_some_and(|after| (rank, name.as_ref()) <= after)
    });
    let items: Vec<T> = rest.by_ref().take(size).collect();
    let next = match (items.last(), rest.next()) {
        (Some(last), Some(_)) => {
            let (rank, name) = place(last);
            format!("{rank}:{name}")
        }
        _ => String::new(),
    };
    Ok(Page { items, next })
}

fn parse(token: &str) -> Option<(u64, &str)> {
    let (rank, name) = token.split_once(':')?;
    // Parsing alone would take a sign.
    if rank.is_empty() || !rank.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((rank.parse().ok()?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(items: &[(u64, &'static str)], size: i32, token: &str) -> Result<(String, String), TokenFault> {
        let page = take(items.iter(), |item| (item.0, item.1.to_owned()), size, token)?;
        Ok((page.items.iter().map(|item| item.1).collect(), page.next))
    }

    #[test]
    fn pages_follow_each_other_though_items_come_and_go() {
        let items = [(1, "a"), (1, "b"), (2, "c"), (9, "d")];
        let told = |items: &str, next: &str| Ok((items.to_owned(), next.to_owned()));
        assert_eq!(page(&items, 2, ""), told("ab", "1:b"));
        assert_eq!(page(&items, 2, "1:b"), told("cd", ""));
        assert_eq!(page(&[(1, "a"), (2, "c"), (3, "e"), (9, "d")], 2, "1:b"), told("ce", "3:e"));
        assert_eq!(page(&items, 2, "9:d"), told("", ""));
        assert_eq!(page(&items, i32::MAX, "1:a"), told("bcd", ""));
        assert_eq!(page(&[], 1, ""), told("", ""));
    }

    #[test]
    fn without_a_size_there_is_one_page_whatever_the_token() {
        for size in [0, -1, i32::MIN] {
            assert_eq!(page(&[(1, "a"), (2, "b")], size, "bogus"), Ok(("ab".into(), String::new())));
        }
    }

    #[test]
    fn a_forged_token_is_refused_or_names_a_place() {
        for token in ["bogus", "1", ":a", "-1:a", "+1:a", "99999999999999999999999:a", "\0:"] {
            assert_eq!(page(&[(1, "a")], 1, token), Err(TokenFault(token.into())));
        }
        assert_eq!(page(&[(1, "a")], 1, "18446744073709551615:"), Ok((String::new(), String::new())));
    }
}
