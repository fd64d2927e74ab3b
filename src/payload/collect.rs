use bytes::{Bytes, BytesMut};

use super::decode::{Coding, Decoder};
use crate::rejection::Rejection;

/// The data of a body that is read as a whole.
#[derive(Default)]
pub(crate) enum Collected {
    #[default]
    Nothing,
    /// One frame, which is not copied.
    One(Bytes),
    /// Several, copied together as they come: a frame that was kept would hold on to the buffer
    /// that it was read into, however short it is.
    Many(BytesMut),
    /// Frames that are decoded as they come.
    Coded(Box<Decoder>),
}

impl Collected {
    /// Room that is made on the announcement of a length alone. Beyond it, room is made for what
    /// has come: an announcement costs the caller nothing.
    const TRUSTED: u64 = 64 * 1024;

    /// Nothing yet of a body that will be coded, and may have `limit` bytes without that.
    pub(super) fn coded(coding: Coding, limit: u64) -> Self {
        Self::Coded(Decoder::boxed(coding, limit))
    }

    /// Adds a frame. `announced` is how many bytes there will be in all, if that is true.
    pub(crate) fn push(&mut self, data: Bytes, announced: u64) {
        if data.is_empty() {
            return;
        }
        match self {
            Self::Nothing => *self = Self::One(data),
            Self::One(first) => {
                let room = announced.min(Self::TRUSTED) as usize;
                let mut all = BytesMut::with_capacity(room.max((first.len() + data.len()) * 2));
                all.extend_from_slice(first);
                all.extend_from_slice(&data);
                *self = Self::Many(all);
            }
            Self::Many(all) => all.extend_from_slice(&data),
            Self::Coded(decoder) => decoder.push(data),
        }
    }

    /// Says that no frame will follow.
    pub(super) fn end(&mut self) {
        if let Self::Coded(decoder) = self {
            decoder.end();
        }
    }

    /// Whether there is a step to do before a frame is added, or the whole is taken.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Self::Coded(decoder) if decoder.is_busy())
    }

    pub(super) fn step(&mut self) -> Result<(), Rejection> {
        match self {
            Self::Coded(decoder) => decoder.step(),
            Self::Nothing | Self::One(_) | Self::Many(_) => Ok(()),
        }
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::One(data) => data,
            Self::Many(all) => all.freeze(),
            Self::Coded(decoder) => decoder.into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_frame_is_not_copied() {
        let data = Bytes::from(vec![1; 100]);
        let mut collected = Collected::default();
        collected.push(data.clone(), 100);
        collected.push(Bytes::new(), 100);
        assert_eq!(collected.into_bytes().as_ptr(), data.as_ptr());
    }

    #[test]
    fn several_frames_become_one() {
        let mut collected = Collected::default();
        for piece in ["a", "", "bc", "def"] {
            collected.push(piece.into(), 0);
        }
        assert_eq!(collected.into_bytes(), "abcdef");
    }

    #[test]
    fn a_lying_announcement_makes_little_room() {
        let mut collected = Collected::default();
        collected.push("a".into(), u64::MAX);
        collected.push("b".into(), u64::MAX);
        let Collected::Many(all) = collected else { panic!("two frames") };
        assert!(all.capacity() <= 64 * 1024);
    }
}
