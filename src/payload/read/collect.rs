use bytes::Bytes;

use crate::{
    memory_limit::{MemoryExhausted, MemoryPermit},
    payload::coding::decoder::{Coding, Decoder},
    rejection::Rejection,
};

/// The data of a body that is read as a whole.
#[derive(Default)]
pub(crate) enum CollectedBody {
    #[default]
    Nothing,
    /// One frame without a copy.
    One(Bytes),
    /// Several frames, copied together as they arrive. Keeping a short frame would keep the whole
    /// buffer that it was read into.
    Many(Vec<u8>),
    /// Frames that are decoded as they arrive.
    Coded(Box<Decoder>),
}

impl CollectedBody {
    /// The largest buffer that is allocated because of a declared length. Larger buffers are
    /// allocated only for received bytes, because a declared length costs the client nothing.
    const TRUSTED: u64 = 64 * 1024;
    /// The size that counts for a frame that is not copied, because it keeps the server's read
    /// buffer. This is the frame size of HTTP/2 (RFC 9113 section 4.2).
    const READ_BUFFER: usize = 16 * 1024;

    /// Creates an empty coded body that may have `limit` decoded bytes.
    pub(crate) fn coded(coding: Coding, limit: u64) -> Self {
        Self::Coded(Decoder::boxed(coding, limit))
    }

    /// Adds a frame if `memory` has room for it. `announced` is the declared length of the body.
    pub(crate) fn push(
        &mut self,
        data: Bytes,
        announced: u64,
        memory: &mut MemoryPermit,
    ) -> Result<(), MemoryExhausted> {
        if data.is_empty() {
            return Ok(());
        }
        match self {
            Self::Nothing => {
                memory.grow(data.len().max(Self::READ_BUFFER))?;
                *self = Self::One(data);
            }
            Self::One(first) => {
                let room = announced.min(Self::TRUSTED) as usize;
                let room = room.max((first.len() + data.len()) * 2);
                let before = memory.bytes();
                memory.grow(room)?;
                let mut all = Vec::with_capacity(room);
                all.extend_from_slice(first);
                all.extend_from_slice(&data);
                *self = Self::Many(all);
                memory.shrink(before);
            }
            Self::Many(all) => {
                let (length, room) = (all.len() + data.len(), all.capacity());
                if length > room {
                    // Doubles the buffer up to the declared length.
                    let doubled = room.saturating_mul(2).max(length);
                    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
                    let more = if announced < length { doubled } else { doubled.min(announced) };
                    // Both buffers exist until the bytes are moved.
                    memory.grow(more)?;
                    all.reserve_exact(more - all.len());
                    memory.shrink(room);
                }
                all.extend_from_slice(&data);
            }
            Self::Coded(decoder) => {
                memory.grow(data.len())?;
                decoder.push(data);
            }
        }
        Ok(())
    }

    /// Marks the last frame as received.
    pub(crate) fn end(&mut self) {
        if let Self::Coded(decoder) = self {
            decoder.end();
        }
    }

    /// Whether decoding must proceed before the next frame or the end.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Coded(decoder) if decoder.is_busy())
    }

    /// Decodes one step and counts its memory. A step adds at most one window or one chunk.
    pub(crate) fn step(&mut self, memory: &mut MemoryPermit) -> Result<(), Rejection> {
        match self {
            Self::Coded(decoder) => {
                decoder.step()?;
                Ok(memory.resize(decoder.weight())?)
            }
            Self::Nothing | Self::One(_) | Self::Many(_) => Ok(()),
        }
    }

    /// Returns all bytes. `memory` keeps their size.
    pub(crate) fn into_bytes(self, memory: &mut MemoryPermit) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::One(data) => data,
            Self::Many(all) => all.into(),
            Self::Coded(decoder) => {
                let data = decoder.into_bytes();
                // The window and the separate chunks are gone.
                memory.shrink(memory.bytes().saturating_sub(data.len()));
                data
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_limit::MemoryLimit;

    fn unlimited() -> MemoryPermit {
        MemoryLimit::new(usize::MAX).permit()
    }

    #[test]
    fn one_frame_is_not_copied() {
        let data = Bytes::from(vec![1; 100]);
        let (mut collected, mut memory) = (CollectedBody::default(), unlimited());
        collected.push(data.clone(), 100, &mut memory).unwrap();
        collected.push(Bytes::new(), 100, &mut memory).unwrap();
        assert_eq!(collected.into_bytes(&mut memory).as_ptr(), data.as_ptr());
        assert_eq!(memory.bytes(), CollectedBody::READ_BUFFER);
    }

    #[test]
    fn several_frames_are_joined() {
        let (mut collected, mut memory) = (CollectedBody::default(), unlimited());
        for piece in ["a", "", "bc", "def"] {
            collected.push(piece.into(), 0, &mut memory).unwrap();
        }
        assert_eq!(collected.into_bytes(&mut memory), "abcdef");
    }

    #[test]
    fn false_declared_length_allocates_little() {
        let (mut collected, mut memory) = (CollectedBody::default(), unlimited());
        collected.push("a".into(), u64::MAX, &mut memory).unwrap();
        collected.push("b".into(), u64::MAX, &mut memory).unwrap();
        let CollectedBody::Many(all) = collected else { panic!("two frames") };
        assert!(all.capacity() <= 64 * 1024);
        assert_eq!(memory.bytes(), all.capacity());
    }

    #[test]
    fn collected_bytes_count_by_capacity() {
        for announced in [0, 1 << 20, 3 << 20] {
            let (mut collected, mut memory) = (CollectedBody::default(), unlimited());
            for _ in 0..96 {
                let data = Bytes::from(vec![0; 16 * 1024]);
                collected.push(data, announced, &mut memory).unwrap();
                let room = match &collected {
                    CollectedBody::Many(all) => all.capacity(),
                    _ => CollectedBody::READ_BUFFER,
                };
                assert_eq!(memory.bytes(), room);
            }
            let CollectedBody::Many(all) = &collected else { panic!("many frames") };
            assert_eq!(all.len(), 96 * 16 * 1024);
            assert!(all.capacity() <= 2 * all.len(), "{}", all.capacity());
        }
    }

    #[test]
    fn frame_beyond_the_memory_limit_is_rejected() {
        let limit = MemoryLimit::new(200 * 1024);
        let (mut collected, mut memory) = (CollectedBody::default(), limit.permit());
        let frame = || Bytes::from(vec![0; 16 * 1024]);
        let taken = (0..).find(|_| collected.push(frame(), 0, &mut memory).is_err()).unwrap();
        let CollectedBody::Many(all) = &collected else { panic!("many frames") };
        assert_eq!((all.len(), memory.bytes()), (taken * 16 * 1024, all.capacity()));
        assert!(limit.taken_bytes() <= 150 * 1024);
    }
}
