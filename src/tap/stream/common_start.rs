use super::quick_scan::ScanPosition;

/// The start that the events of a stream have in common, up to their text.
///
/// The id, the model and the other members before the text are the same in each event of most
/// servers.
#[derive(Clone, Copy)]
pub(super) struct CommonStart {
    bytes: [u8; Self::MAX],
    // 0 for none.
    length: u8,
    // The state of the scan after these bytes.
    position: ScanPosition,
}

impl CommonStart {
    const MAX: usize = 224;

    pub(super) fn new() -> Self {
        Self { bytes: [0; Self::MAX], length: 0, position: ScanPosition::default() }
    }

    /// Returns the rest of a document with this start, and the state of the scan there.
    #[inline]
    pub(super) fn resume<'a>(&self, document: &'a [u8]) -> Option<(&'a [u8], ScanPosition)> {
        let start = self.bytes.get(..usize::from(self.length)).filter(|start| !start.is_empty())?;
        Some((document.strip_prefix(start)?, self.position))
    }

    /// Remembers the first `length` bytes of a document, which end before a name.
    pub(super) fn remember(&mut self, document: &[u8], length: usize, position: ScanPosition) {
        let start = document.get(..length).unwrap_or_default();
        // After one of these, the scan of the start depends on nothing that follows.
        if !matches!(start, [.., b'{' | b',']) {
            return;
        }
        if let Some(bytes) = self.bytes.get_mut(..length) {
            bytes.copy_from_slice(start);
            self.length = u8::try_from(length).unwrap_or_default();
            self.position = position;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{tap::stream::quick_scan::QuickScan, text_tokens::TextTokens};

    const DOCUMENTS: [&str; 7] = [
        r#"{"id":"a","created":17,"choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}"#,
        r#"{"choices":[{"delta":{"role":"assistant","reasoning":"a","reasoning_content":"a"}}],"usage":null}"#,
        r#"{"choices":[{"delta":{"reasoning":{},"reasoning_content":"","content":"x\n\u0041"}}]}"#,
        r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"hi"}}"#,
        r#"{"index":1,"token":{"id":1,"text":" a","special":false},"details":null}"#,
        r#"{"index":0,"content":"word","stop":false}"#,
        r#"{"choices":[{"logprobs":["x"],"text":"a, b: \"{","index":0}],"error":null}"#,
    ];

    fn scan(document: &[u8], start: &mut CommonStart) -> (QuickScan, (u64, u64)) {
        let mut text = TextTokens::default();
        (QuickScan::of(document, start, &mut text), text.cost())
    }

    #[test]
    fn remembered_start_changes_no_scan() {
        let mut resumed = 0;
        for earlier in DOCUMENTS {
            let mut start = CommonStart::new();
            scan(earlier.as_bytes(), &mut start);
            for document in DOCUMENTS {
                for at in 0..document.len() {
                    for other in *b"\"\\{}[]:, nt0" {
                        let mut changed = document.as_bytes().to_vec();
                        changed[at] = other;
                        for document in [&changed[..], &changed[..at]] {
                            resumed += usize::from(start.resume(document).is_some());
                            let expected = scan(document, &mut CommonStart::new());
                            let read = scan(document, &mut start.clone());
                            assert_eq!(read, expected, "{}", String::from_utf8_lossy(document));
                        }
                    }
                }
            }
        }
        assert!(resumed > 1000, "{resumed}");
    }
}
