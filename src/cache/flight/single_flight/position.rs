use std::{collections::BTreeMap, task::Waker};

/// The id of the first reader.
pub(super) const LEADER: u64 = 0;

/// The position of a reader.
#[derive(Default)]
pub(super) struct Position {
    pub(super) has_head: bool,
    /// Pieces and bytes that the reader has received.
    pub(super) read: (usize, usize),
    pub(super) waker: Option<Waker>,
    /// The reader was cut. The next poll tells it so.
    pub(super) cut: bool,
}

/// The positions of all readers by their ids.
pub(super) struct Positions {
    /// Apart from the others because most flights have no other reader.
    leader: Option<Position>,
    followers: BTreeMap<u64, Position>,
}

impl Positions {
    pub(super) fn of_leader() -> Self {
        Self { leader: Some(Position::default()), followers: BTreeMap::new() }
    }

    /// Returns the number of readers, including those that were cut.
    pub(super) fn len(&self) -> usize {
        self.followers.len() + usize::from(self.leader.is_some())
    }

    pub(super) fn get(&self, id: u64) -> Option<&Position> {
        if id == LEADER { self.leader.as_ref() } else { self.followers.get(&id) }
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Position> {
        if id == LEADER { self.leader.as_mut() } else { self.followers.get_mut(&id) }
    }

    /// Adds a follower.
    pub(super) fn insert(&mut self, id: u64) {
        self.followers.insert(id, Position::default());
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Position> {
        if id == LEADER { self.leader.take() } else { self.followers.remove(&id) }
    }

    /// Returns the positions of the readers that were not cut.
    pub(super) fn reading(&self) -> impl Iterator<Item = &Position> {
        self.leader.iter().chain(self.followers.values()).filter(|position| !position.cut)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Position> {
        self.leader.iter_mut().chain(self.followers.values_mut())
    }
}
