//! A bound on how deeply a policy or schema nests. Cedar's parser recurses without one: a thousand opening brackets in
//! a file that is reloaded would end the process with all its decisions.

use std::path::Path;
use std::thread;

use super::problem::{LoadError, Problem};

/// The deepest nesting that is let through to Cedar. Real policies have less than twenty.
pub(super) const DEEPEST: usize = 100;

/// The most characters of operators in one statement. `a + b + c` nests as deeply as it is long, and whoever drops it
/// needs stack for all of it: a hundred thousand would end the process. Real policies have a few dozen.
pub(super) const LONGEST: usize = 10_000;

/// The stack of the thread that compiles, in bytes: several times what [`DEEPEST`] takes.
pub(super) const STACK: usize = 32 << 20;

/// Where `text` first nests deeper than [`DEEPEST`], or is chained longer than [`LONGEST`], in bytes. `if` counts as a bracket that closes with its statement,
/// for `else if` nests too. Strings and comments do not count.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    let (mut brackets, mut angles, mut conditions, mut operators) = (0_usize, 0_usize, 0_usize, 0_usize);
    let mut word = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((offset, character)) = characters.next() {
        if character.is_alphanumeric() || character == '_' {
            word.push(character);
            continue;
        }
        conditions += usize::from(word == "if");
        // So do the operators that are words.
        operators += usize::from(matches!(word.as_str(), "has" | "in" | "is" | "like"));
        operators += usize::from("+-*.!=<>&|".contains(character));
        word.clear();
        match character {
            '(' | '[' | '{' => brackets += 1,
            ')' | ']' | '}' => brackets = brackets.saturating_sub(1),
            // Counted apart: as operators they would close brackets that are open.
            '<' => angles += 1,
            '>' => angles = angles.saturating_sub(1),
            // A policy ends here, and with it what `if` and the operator `<` have opened.
            ';' => (brackets, angles, conditions, operators) = (0, 0, 0, 0),
            '"' => {
                while let Some((_, inside)) = characters.next_if(|(_, inside)| *inside != '"') {
                    if inside == '\\' {
                        characters.next();
                    }
                }
                characters.next();
            }
            '/' if characters.next_if(|(_, next)| *next == '/').is_some() => {
                while characters.next_if(|(_, inside)| *inside != '\n').is_some() {}
            }
            _ => {}
        }
        if brackets + angles + conditions > DEEPEST || operators > LONGEST {
            return Some(offset);
        }
    }
    None
}

/// How much a thread that compiles gives way to others, of 19 at most.
const GIVES_WAY: i32 = 10;

/// Runs `work` where there is stack enough for all that [`too_deep`] lets through.
pub(super) fn on_deep_stack<R: Send>(
    directory: &Path,
    work: impl FnOnce() -> Result<R, LoadError> + Send,
) -> Result<R, LoadError> {
    let failed = |message| LoadError::single(Problem::new(directory, message));
    thread::scope(|scope| {
        let thread =
            builder().spawn_scoped(scope, || after_decisions(work)).map_err(|error| failed(error.to_string()))?;
        thread.join().unwrap_or_else(|_panic| Err(failed("the policy compiler failed".to_owned())))
    })
}

/// Runs `work` on each part, all at once, with as much stack.
///
/// # Errors
/// A part that nobody worked on: then there is nothing at all.
pub(super) fn in_parallel<T: Send, R: Send>(
    parts: Vec<T>,
    work: &(impl Fn(T) -> R + Sync),
) -> Result<Vec<R>, &'static str> {
    thread::scope(|scope| {
        let threads: Vec<_> =
            parts.into_iter().map(|part| builder().spawn_scoped(scope, || after_decisions(|| work(part)))).collect();
        let done = threads.into_iter().map(|thread| {
            let thread = thread.map_err(|_| "there is no thread to compile the policies on")?;
            thread.join().map_err(|_panic| "the policy compiler failed")
        });
        done.collect()
    })
}

/// Runs `work` on a thread that gives way to those that decide: a hundred thousand policies take seconds.
fn after_decisions<R>(work: impl FnOnce() -> R) -> R {
    if let Err(error) = rustix::process::nice(GIVES_WAY) {
        tracing::debug!("policies compete with decisions for the processor: {error}");
    }
    work()
}

fn builder() -> thread::Builder {
    thread::Builder::new().name("policy-compile".to_owned()).stack_size(STACK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_conditions_count_and_text_does_not() {
        let nested = |open: &str, times: usize| too_deep(&open.repeat(times));
        assert_eq!(nested("(", DEEPEST), None);
        assert_eq!(nested("([{", DEEPEST), Some(DEEPEST));
        assert!(nested("Set<", DEEPEST + 1).is_some());
        assert!(nested("(a > ", DEEPEST + 1).is_some());
        assert!(nested("if a then b else ", DEEPEST + 1).is_some());
        assert!(too_deep(&format!("\"\\\"{}\"", "(".repeat(1000))).is_none());
        assert!(too_deep(&format!("// {}\n", "(".repeat(1000))).is_none());
        assert!(too_deep(&format!("// it's \"\n{}", "(".repeat(1000))).is_some());
        assert!(
            too_deep(&"permit(principal, action, resource) when { if a then b else c < d };\n".repeat(1000)).is_none()
        );
    }

    #[test]
    fn a_chain_is_as_deep_as_it_is_long() {
        for link in ["1 + ", "a.b", "a && ", "a has b "] {
            assert!(too_deep(&link.repeat(100)).is_none(), "{link}");
            assert!(too_deep(&link.repeat(LONGEST + 1)).is_some(), "{link}");
            assert!(too_deep(&format!("{};", link.repeat(100)).repeat(1000)).is_none(), "{link}");
        }
    }
}
