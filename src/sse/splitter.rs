use memchr::memchr2;

/// Finds the blank lines that close frames, independent of the cuts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Splitter {
    /// The bound beyond which a frame is oversize.
    pub(super) max: usize,
    // Bytes of the open frame. The LF of the CRLF that closes a frame never counts, so that the
    // size does not depend on the cuts.
    size: usize,
    line_is_empty: bool,
    // The last byte was a CR, so a following LF belongs to it.
    after_cr: bool,
}

/// A part of a chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// The number of bytes that belong to the frame.
    pub(crate) len: usize,
    /// Whether they close the frame. Otherwise the chunk is used up.
    pub(crate) closes: bool,
    /// Whether the frame is beyond the bound.
    pub(crate) oversize: bool,
}

impl Splitter {
    pub(crate) const fn new(max: usize) -> Self {
        Self { max, size: 0, line_is_empty: true, after_cr: false }
    }

    /// Returns the part of `chunk` up to the end of the frame, or all of it.
    pub(crate) fn next(&mut self, chunk: &[u8]) -> Part {
        let mut rest = chunk;
        if std::mem::take(&mut self.after_cr)
            && let [b'\n', tail @ ..] = rest
        {
            // At the start of a frame the LF belongs to the frame before.
            self.size = self.size.saturating_add(usize::from(self.size > 0));
            rest = tail;
        }
        // A byte-order mark counts as content of its line. It can only join an empty frame to the
        // next one, which changes no event.
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
