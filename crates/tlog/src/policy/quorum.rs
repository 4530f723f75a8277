//! Which witnesses are enough.

/// A rule over witnesses. Groups only have members that were made before them, so that nothing turns in a circle.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Quorum {
    groups: Vec<Group>,
    needed: usize,
    members: Vec<Member>,
}

/// So many of its members must have cosigned.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Group {
    pub(super) needed: usize,
    pub(super) members: Vec<Member>,
}

/// By its place among its like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Member {
    Witness(usize),
    Group(usize),
}

impl Quorum {
    /// Nobody needs to have cosigned.
    pub(super) const fn none() -> Self {
        Self { groups: Vec::new(), needed: 0, members: Vec::new() }
    }

    /// One member must have; a group stands for its members.
    pub(super) fn of(groups: Vec<Group>, member: Member) -> Self {
        let group = match member {
            Member::Witness(_) => None,
            Member::Group(index) => groups.get(index).cloned(),
        };
        let Group { needed, members } = group.unwrap_or(Group { needed: 1, members: vec![member] });
        Self { groups, needed, members }
    }

    /// `needed` of these groups must have, each by any of its members.
    pub(super) fn of_groups(needed: usize, groups: impl Iterator<Item = Vec<Member>>) -> Self {
        let groups: Vec<Group> = groups.map(|members| Group { needed: 1, members }).collect();
        let members = (0..groups.len()).map(Member::Group).collect();
        Self { groups, needed, members }
    }

    /// How many members have cosigned, and how many must have.
    pub(super) fn count(&self, has_cosigned: impl Fn(usize) -> bool) -> (usize, usize) {
        let mut settled: Vec<bool> = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let found = found(&group.members, &settled, &has_cosigned);
            settled.push(found >= group.needed);
        }
        (found(&self.members, &settled, &has_cosigned), self.needed)
    }
}

fn found(members: &[Member], settled: &[bool], has_cosigned: &impl Fn(usize) -> bool) -> usize {
    let counts = |member: &&Member| match member {
        Member::Witness(index) => has_cosigned(*index),
        Member::Group(index) => settled.get(*index) == Some(&true),
    };
    members.iter().filter(counts).count()
}
