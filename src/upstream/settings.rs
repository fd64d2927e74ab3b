use super::{deadlines::Deadlines, slots::Slots};
use crate::rejection::RejectionFormat;

/// The settings of `UpstreamLayer`, which its services and their responses share.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) deadlines: Deadlines,
    pub(super) slots: Slots,
    pub(super) format: RejectionFormat,
}
