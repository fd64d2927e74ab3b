/// The digest of the request body as the client sent it, before any layer decoded or edited it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum PayloadDigest {
    /// The SHA-256 digest of the body, which was read to its end.
    Sha256([u8; 32]),
    /// The body ended without bytes.
    Empty,
    /// The body was read in part. The client left, or a layer rejected the request while it came.
    Partial,
    /// No byte was read, as for a request that is rejected by its head.
    Unread,
}
