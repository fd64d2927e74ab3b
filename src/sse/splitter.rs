use memchr::memchr2;

/// Finds the blank lines that close frames, whatever the cuts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Splitter {
    /// The longest frame that is not oversize.
    pub(super) max: usize,
    // Bytes of the open frame. It must not depend on the cuts, or an oversize frame would: the LF
    // of the CRLF that closes a frame never counts.
    size: usize,
    line_is_empty: bool,
    // The last byte was a CR, so that a LF would belong to it.
    after_cr: bool,
}

/// What was found in a chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// So many bytes belong to the frame.
    pub(crate) len: usize,
    /// They close it. If not, the chunk is used up.
    pub(crate) closes: bool,
    /// The frame is beyond the limit.
    pub(crate) oversize: bool,
}

impl Splitter {
    pub(crate) const fn new(max: usize) -> Self {
        Self { max, size: 0, line_is_empty: true, after_cr: false }
    }

    /// The part of `chunk` up to the end of the frame, or all of it.
    pub(crate) fn next(&mut self, chunk: &[u8]) -> Part {
        let mut rest = chunk;
        if std::mem::take(&mut self.after_cr)
            && let [b'\n', tail @ ..] = rest
        {
            // At the very start of a frame it belongs to the one before.
            self.size = self.size.saturating_add(usize::from(self.size > 0));
            rest = tail;
        }
        // A byte-order mark counts as content of its line. That can only join an empty frame to
        // the next, which changes no event.
        while let Some(at) = memchr2(b'\n', b'\r', rest) {
            let blank = self.line_is_empty && at == 0;
            let (line, after) = rest.split_at_checked(at.saturating_add(1)).unwrap_or((rest, &[]));
            self.size = self.size.saturating_add(line.len());
            self.line_is_empty = true;
            rest = after;
            if line.ends_with(b"\r") {
                if let [b'\n', tail @ ..] = rest {
                    self.size = self.size.saturating_add(usize::from(!blank));
                    rest = tail;
                }
                self.after_cr = rest.is_empty() && chunk.ends_with(b"\r");
            }
            if blank {
                let oversize = self.size > self.max;
                self.size = 0;
                return Part {
                    len: chunk.len().saturating_sub(rest.len()),
                    closes: true,
                    oversize,
                };
            }
        }
        if !rest.is_empty() {
            self.size = self.size.saturating_add(rest.len());
            self.line_is_empty = false;
        }
        Part { len: chunk.len(), closes: false, oversize: self.size > self.max }
    }
}
