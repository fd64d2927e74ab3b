//! The ids that the layer makes.

use std::{sync::Arc, time::UNIX_EPOCH};

use bytes::Bytes;
use http::HeaderValue;
use uuid::{ContextV7, Timestamp, Uuid};

use crate::{clock::SharedClock, lock::Lock};

/// Makes ids in ascending order. Clones share the sequence.
#[derive(Clone, Debug, Default)]
pub(super) struct Ids {
    pub(super) clock: SharedClock,
    // A counter that starts at random in each millisecond, and a time that never goes back.
    sequence: Arc<Lock<ContextV7>>,
}

impl Ids {
    #[expect(clippy::expect_used, reason = "a UUID's digits and dashes are valid in a header")]
    pub(super) fn next(&self) -> HeaderValue {
        let since = self.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp =
            Timestamp::from_unix(&*self.sequence.lock(), since.as_secs(), since.subsec_nanos());
        let mut id = [0; 36];
        Uuid::new_v7(timestamp).hyphenated().encode_lower(&mut id);
        // With an owner, because the first clone of `Bytes` made from a `Vec` allocates once more.
        HeaderValue::from_maybe_shared(Bytes::from_owner(id)).expect("visible ASCII")
    }
}
