//! Which entities stand between an entity and itself.

use std::collections::HashSet;

use super::store::{Entities, Node};

/// A way from the parents of `node` up to `node` itself, over entities that `through` allows; an empty one if it is its
/// own parent.
pub(super) fn circle<'a>(
    entities: &'a Entities,
    node: &'a Node,
    through: impl Fn(&Node) -> bool,
) -> Option<Vec<&'a Node>> {
    let (mut way, mut seen) = (Vec::new(), HashSet::new());
    let mut rest = vec![node.parents().iter()];
    while let Some(parents) = rest.last_mut() {
        let Some(parent) = parents.next() else {
            rest.pop();
            way.pop();
            continue;
        };
        if parent == node.uid() {
            return Some(way);
        }
        if seen.insert(parent)
            && let Some(above) = entities.get(parent.as_ref()).filter(|above| through(above))
        {
            way.push(above);
            rest.push(above.parents().iter());
        }
    }
    None
}
