use http::HeaderValue;

/// A trace id of W3C Trace Context: 32 lowercase hexadecimal digits that are not all zero.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TraceId([u8; 32]);

impl TraceId {
    /// Returns the trace id of a `traceparent` header.
    ///
    /// Returns `None` when the header does not have the form of section 3.2.2.
    #[must_use]
    pub fn from_traceparent(header: &HeaderValue) -> Option<Self> {
        let hex = |bytes: &[u8]| bytes.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let zero = |bytes: &[u8]| bytes.iter().all(|b| *b == b'0');

        let (known, later) = header.as_bytes().split_at_checked(55)?;
        let mut parts = known.split(|b| *b == b'-');
        let (version, trace, parent, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let sized = (version.len(), parent.len(), flags.len(), parts.next()) == (2, 16, 2, None);
        let legal = sized && hex(version) && hex(trace) && hex(parent) && hex(flags);
        // Version 00 ends here. A later version may continue after a dash. Version ff is forbidden.
        let ends = later.is_empty() || (version != b"00" && later.starts_with(b"-"));
        if !legal || !ends || version == b"ff" || zero(trace) || zero(parent) {
            return None;
        }
        trace.try_into().ok().map(Self)
    }

    /// Returns the 32 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}
