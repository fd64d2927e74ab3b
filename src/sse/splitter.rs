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
    /// Whether they are one line and the blank line after it. It may be false of such a frame.
    pub(crate) one_line: bool,
}

impl Splitter {
    pub(crate) const fn new(max: usize) -> Self {
        Self { max, size: 0, line_is_empty: true, after_cr: false }
    }

    /// Returns the part of `chunk` up to the end of the frame, or all of it.
    pub(crate) fn next(&mut self, chunk: &[u8]) -> Part {
        let mut rest = chunk;
        // The place of the first line end.
        let mut first_end = None;
        if std::mem::take(&mut self.after_cr)
            && let [b'\n', tail @ ..] = rest
        {
            // At the start of a frame the LF belongs to the frame before.
            self.size = self.size.saturating_add(usize::from(self.size > 0));
            rest = tail;
        }
        // A byte-order mark counts as content of its line. It can only join an empty frame to the
        // next one, which changes no event.
        while let Some(at) = line_end(rest) {
            let place = chunk.len().saturating_sub(rest.len()).saturating_add(at);
            let first_end = *first_end.get_or_insert(place);
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
                let len = chunk.len().saturating_sub(rest.len());
                let one_line = first_end.saturating_add(2) == len;
                return Part { len, closes: true, oversize, one_line };
            }
        }
        if !rest.is_empty() {
            self.size = self.size.saturating_add(rest.len());
            self.line_is_empty = false;
        }
        let oversize = self.size > self.max;
        Part { len: chunk.len(), closes: false, oversize, one_line: false }
    }
}

/// Returns the place of the first line end.
#[inline]
fn line_end(text: &[u8]) -> Option<usize> {
    // A line that ends a frame is mostly empty.
    if matches!(text, [b'\n' | b'\r', ..]) { Some(0) } else { memchr2(b'\n', b'\r', text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_of_one_line_has_no_other_line_end() {
        let mut found = 0;
        for line in ["data: a", "a\nb", "a\r\nb", "a\rb", "", "\n", "\r"] {
            for end in ["\n\n", "\r\r", "\r\n\r\n", "\n\r", "\r\n\n", "\n\r\n"] {
                let frame = format!("{line}{end}");
                for before in ["", "\r", "x\r", "x\n\r"] {
                    let mut splitter = Splitter::new(100);
                    splitter.next(before.as_bytes());
                    let part = splitter.next(frame.as_bytes());
                    let read = frame.get(..part.len).unwrap_or_default();
                    if let Some(line) = read.strip_suffix("\n\n")
                        && part.one_line
                    {
                        assert!(part.closes && !line.contains(['\n', '\r']), "{frame:?}");
                        found += 1;
                    }
                }
            }
        }
        assert!(found > 0);
    }
}
