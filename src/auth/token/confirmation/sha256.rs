use aws_lc_rs::digest::{SHA256, digest};

/// SHA-256, which both kinds of proof use.
pub(super) fn sha256(bytes: &[u8]) -> Option<[u8; 32]> {
    digest(&SHA256, bytes).as_ref().try_into().ok()
}
