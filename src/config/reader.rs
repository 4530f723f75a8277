//! Reads a tree of YAML into typed values, section by section: every key is read by name, with the text of its default,
//! so that what is left over is unknown, what was read is the effective configuration, and no error hides another.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::fault::Fault;
use super::node::{Member, Node, Value};
use super::origin::Origin;

/// A value that one key, or one item of a list, holds.
pub(super) trait Setting: Sized {
    /// Reads it; relative paths start at `base`.
    ///
    /// # Errors
    /// What is wrong, without saying where.
    fn read(node: &Node, base: &Path) -> Result<Self, String>;

    /// What `config show` prints for it: what was written, unless the type knows better or has something to hide.
    fn shown(&self, written: &Node) -> Value {
        written.value.clone()
    }
}

/// The value of a key that has no default and need not be there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Optional<T> {
    Given(T),
    Absent,
    /// It is there, and wrong, which is on record.
    Wrong,
}

impl<T> Optional<T> {
    pub(super) const fn given(&self) -> Option<&T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent | Self::Wrong => None,
        }
    }

    /// `None` if it is wrong.
    #[expect(clippy::option_option, reason = "the outer one is only there for `?`")]
    pub(super) fn valid(self) -> Option<Option<T>> {
        match self {
            Self::Given(value) => Some(Some(value)),
            Self::Absent => Some(None),
            Self::Wrong => None,
        }
    }
}

/// What is gathered while the sections are read.
#[derive(Debug)]
pub(super) struct Reader {
    base: PathBuf,
    /// Every key that exists, e.g. `identity.entries[].hint`.
    known: BTreeSet<String>,
    strangers: Vec<(Origin, String)>,
    faults: Vec<Fault>,
}

/// A mapping that is being read.
#[derive(Debug)]
pub(super) struct Section<'a> {
    reader: &'a mut Reader,
    path: String,
    origin: Origin,
    /// Not a mapping at all: one fault says so, and complaints about missing keys would only hide it.
    broken: bool,
    members: Vec<Member>,
    shown: Vec<Member>,
}

impl Reader {
    /// A reader for which relative paths start at `base`.
    pub(super) fn new(base: &Path) -> Self {
        Self { base: base.to_owned(), known: BTreeSet::new(), strangers: Vec::new(), faults: Vec::new() }
    }

    /// Reads the mapping `node`, whose path is `path`, and says what it effectively holds.
    pub(super) fn mapping<T>(&mut self, path: &str, node: Node, read: impl FnOnce(&mut Section<'_>) -> T) -> (T, Node) {
        let origin = node.origin;
        let (members, broken) = match node.value {
            Value::Mapping(members) => (members, false),
            Value::Nothing => (Vec::new(), false),
            other => {
                let message = format!("expected a mapping, found {}", other.kind());
                self.faults.push(Fault::new(origin.clone(), path, message));
                (Vec::new(), true)
            }
        };
        let mut section =
            Section { reader: self, path: path.to_owned(), origin: origin.clone(), broken, members, shown: Vec::new() };
        let result = read(&mut section);
        let Section { members, shown, .. } = section;
        self.strangers.extend(members.into_iter().map(|member| (member.origin, join(path, &member.key))));
        (result, Node { origin, value: Value::Mapping(shown) })
    }

    /// Everything that was wrong, and every key that exists.
    pub(super) fn finish(mut self) -> (Vec<Fault>, BTreeSet<String>) {
        for (origin, key) in self.strangers {
            let message = match suggestion(&key, &self.known) {
                Some(meant) => format!("unknown key; did you mean `{meant}`?"),
                None => "unknown key".to_owned(),
            };
            self.faults.push(Fault::new(origin, key, message));
        }
        (self.faults, self.known)
    }
}

impl Section<'_> {
    /// The value of `key`, or what `default` says, as YAML. `None` if it is wrong, which is then on record.
    pub(super) fn value<T: Setting>(&mut self, key: &str, default: &str) -> Option<T> {
        let node = self.take(key, default)?;
        self.read(key, &node)
    }

    /// The value of `key`, or `default`, for a default that follows from another key.
    pub(super) fn value_or<T: Setting>(&mut self, key: &str, default: Value) -> Option<T> {
        let node = match self.remove(key) {
            Some(member) => member.node,
            None => Node { origin: Origin::Default, value: default },
        };
        self.read(key, &node)
    }

    /// The value of `key`, which must lie within `bounds`.
    pub(super) fn bounded<T: Setting + PartialOrd + Bound>(
        &mut self,
        key: &str,
        default: &str,
        (least, most): (T, T),
    ) -> Option<T> {
        let node = self.take(key, default)?;
        let value: T = self.read(key, &node)?;
        let message = if value < least {
            format!("{} is less than {}", value.spoken(), least.spoken())
        } else if value > most {
            format!("{} is more than {}", value.spoken(), most.spoken())
        } else {
            return Some(value);
        };
        self.complain(node.origin, key, message);
        None
    }

    /// The value of a `key` that has no default.
    pub(super) fn required<T: Setting>(&mut self, key: &str) -> Option<T> {
        match self.optional(key) {
            Optional::Given(value) => Some(value),
            Optional::Wrong => None,
            Optional::Absent => self.missing(key),
        }
    }

    /// The value of a `key` that may be absent.
    pub(super) fn optional<T: Setting>(&mut self, key: &str) -> Optional<T> {
        match self.remove(key) {
            Some(member) => self.read(key, &member.node).map_or(Optional::Wrong, Optional::Given),
            None => Optional::Absent,
        }
    }

    /// The list in `key`.
    pub(super) fn list<T: Setting>(&mut self, key: &str, default: &str) -> Option<Vec<T>> {
        let node = self.take(key, default)?;
        self.items(key, node)
    }

    /// The list in a `key` that has no default.
    pub(super) fn required_list<T: Setting>(&mut self, key: &str) -> Option<Vec<T>> {
        match self.remove(key) {
            Some(member) => self.items(key, member.node),
            None => self.missing(key),
        }
    }

    /// The list in `key`, or the one item that stands there without brackets.
    pub(super) fn one_or_more<T: Setting>(&mut self, key: &str, default: &str) -> Option<Vec<T>> {
        let node = self.take(key, default)?;
        if matches!(node.value, Value::List(_)) {
            return self.items(key, node);
        }
        let origin = node.origin.clone();
        self.items(key, Node { origin, value: Value::List(vec![node]) })
    }

    /// The list in `key`, or the one value that stands there without brackets. An item is a value, or a mapping that says more.
    pub(super) fn values_or_mappings<S: Setting, T: From<S>>(
        &mut self,
        key: &str,
        default: &str,
        mut read: impl FnMut(&mut Section<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let node = self.take(key, default)?;
        let origin = node.origin.clone();
        let (items, is_list) = match node.value {
            Value::List(items) => (items, true),
            _ => (vec![node], false),
        };
        let (mut values, mut shown, count) = (Vec::new(), Vec::new(), items.len());
        for (index, item) in items.into_iter().enumerate() {
            if is_list && matches!(item.value, Value::Mapping(_)) {
                let path = format!("{}[{index}]", join(&self.path, key));
                let (value, effective) = self.reader.mapping(&path, item, &mut read);
                values.extend(value);
                shown.push(effective);
                continue;
            }
            match S::read(&item, &self.reader.base) {
                Ok(value) => {
                    shown.push(Node { origin: item.origin.clone(), value: value.shown(&item) });
                    values.push(value.into());
                }
                Err(message) => self.complain(item.origin, key, message),
            }
        }
        self.show(key, Node { origin, value: Value::List(shown) });
        (values.len() == count).then_some(values)
    }

    /// The list of mappings in `key`, empty by default.
    pub(super) fn mappings<T>(
        &mut self,
        key: &str,
        mut read: impl FnMut(&mut Section<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let node = self.take(key, "[]")?;
        let Value::List(items) = node.value else {
            let message = format!("expected a list, found {}", node.value.kind());
            self.complain(node.origin, key, message);
            return None;
        };
        let (mut values, mut shown, count) = (Vec::new(), Vec::new(), items.len());
        for (index, item) in items.into_iter().enumerate() {
            let path = format!("{}[{index}]", join(&self.path, key));
            let (value, effective) = self.reader.mapping(&path, item, &mut read);
            values.extend(value);
            shown.push(effective);
        }
        self.show(key, Node { origin: node.origin, value: Value::List(shown) });
        (values.len() == count).then_some(values)
    }

    /// The section `key`; all its keys have their defaults if it is absent.
    pub(super) fn section<T>(&mut self, key: &str, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let node = match self.remove(key) {
            Some(member) => member.node,
            None => Node { origin: self.origin.clone(), value: Value::Nothing },
        };
        let (result, effective) = self.reader.mapping(&join(&self.path, key), node, read);
        self.show(key, effective);
        result
    }

    /// The section `key`, if it is there: one that switches something on by being there. Its keys are known either way.
    pub(super) fn optional_section<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&mut Section<'_>) -> Option<T>,
    ) -> Optional<T> {
        if self.members.iter().any(|member| member.key == key) {
            return self.section(key, read).map_or(Optional::Wrong, Optional::Given);
        }
        // Read for its keys alone: nothing that is wrong with nothing is anybody's fault.
        let faults = self.reader.faults.len();
        let nothing = Node { origin: Origin::Default, value: Value::Nothing };
        self.reader.known.insert(without_indexes(&join(&self.path, key)));
        self.reader.mapping(&join(&self.path, key), nothing, read);
        self.reader.faults.truncate(faults);
        Optional::Absent
    }

    /// Has `config show` print `key` with a value that was derived, before all others.
    pub(super) fn show_derived(&mut self, key: &str, text: &str) {
        let node = Node { origin: Origin::Default, value: Value::Text(text.to_owned()) };
        self.shown.insert(0, Member { key: key.to_owned(), origin: Origin::Default, node });
    }

    /// Where the value of `key`, already read, came from; the section's own place if it was wrong.
    pub(super) fn origin(&self, key: &str) -> Origin {
        self.shown.iter().find(|member| member.key == key).map_or(&self.origin, |member| &member.origin).clone()
    }

    /// Which of `keys`, whose values don't go together, to blame: the last that somebody set.
    pub(super) fn culprit<'k>(&self, keys: &[&'k str]) -> &'k str {
        let set = keys.iter().rev().find(|key| self.origin(key) != Origin::Default);
        set.or(keys.last()).copied().unwrap_or_default()
    }

    /// Puts a fault on record that concerns the value of `key`.
    pub(super) fn fault(&mut self, key: &str, message: impl Into<String>) {
        self.complain(self.origin(key), key, message);
    }

    /// Puts a fault on record that concerns something at `origin` within `key`.
    pub(super) fn complain(&mut self, origin: Origin, key: &str, message: impl Into<String>) {
        self.reader.faults.push(Fault::new(origin, join(&self.path, key), message));
    }

    /// This section's path, e.g. `identity.entries[0]`.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    fn missing<T>(&mut self, key: &str) -> Option<T> {
        if !self.broken {
            self.complain(self.origin.clone(), key, "is missing, and has no default");
        }
        None
    }

    fn read<T: Setting>(&mut self, key: &str, node: &Node) -> Option<T> {
        match T::read(node, &self.reader.base) {
            Ok(value) => {
                self.show(key, Node { origin: node.origin.clone(), value: value.shown(node) });
                Some(value)
            }
            Err(message) => {
                self.complain(node.origin.clone(), key, message);
                None
            }
        }
    }

    fn items<T: Setting>(&mut self, key: &str, node: Node) -> Option<Vec<T>> {
        let Value::List(items) = node.value else {
            let message = format!("expected a list, found {}", node.value.kind());
            self.complain(node.origin, key, message);
            return None;
        };
        let (mut values, mut shown) = (Vec::new(), Vec::new());
        for item in &items {
            match T::read(item, &self.reader.base) {
                Ok(value) => {
                    shown.push(Node { origin: item.origin.clone(), value: value.shown(item) });
                    values.push(value);
                }
                Err(message) => self.complain(item.origin.clone(), key, message),
            }
        }
        self.show(key, Node { origin: node.origin, value: Value::List(shown) });
        (values.len() == items.len()).then_some(values)
    }

    fn take(&mut self, key: &str, default: &str) -> Option<Node> {
        if let Some(member) = self.remove(key) {
            return Some(member.node);
        }
        Node::parse(default, &|_, _| Origin::Default).map_err(|fault| self.reader.faults.push(fault)).ok()
    }

    fn remove(&mut self, key: &str) -> Option<Member> {
        self.reader.known.insert(without_indexes(&join(&self.path, key)));
        let position = self.members.iter().position(|member| member.key == key)?;
        Some(self.members.remove(position))
    }

    fn show(&mut self, key: &str, node: Node) {
        self.shown.push(Member { key: key.to_owned(), origin: node.origin.clone(), node });
    }
}

/// A value that an error message about bounds can name.
pub(super) trait Bound {
    fn spoken(&self) -> String;
}

fn join(path: &str, key: &str) -> String {
    match (path, key) {
        ("", only) | (only, "") => only.to_owned(),
        _ => format!("{path}.{key}"),
    }
}

/// `identity.entries[3].hint` → `identity.entries[].hint`.
fn without_indexes(path: &str) -> String {
    let mut in_brackets = false;
    path.chars()
        .filter(|&character| {
            in_brackets = if in_brackets { character != ']' } else { character == '[' };
            character == '[' || !in_brackets
        })
        .collect()
}

/// The key that was probably meant: one of the same section that is spelt alike, or one of this name elsewhere.
fn suggestion<'a>(stranger: &str, known: &'a BTreeSet<String>) -> Option<&'a str> {
    let stranger = without_indexes(stranger);
    let (section, name) = stranger.rsplit_once('.').unwrap_or(("", &stranger));
    let split = |key: &'a String| key.rsplit_once('.').unwrap_or(("", key));
    let alike = known
        .iter()
        .filter(|key| split(key).0 == section)
        .map(|key| (strsim::osa_distance(split(key).1, name), key))
        .filter(|(distance, key)| *distance <= 2.max(split(key).1.len() / 3))
        .min();
    let elsewhere = || known.iter().find(|key| split(key).1 == name);
    alike.map(|(_, key)| key).or_else(elsewhere).map(String::as_str)
}

#[cfg(test)]
mod tests;
