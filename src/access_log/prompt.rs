//! The capture of a request body. The context has it, because the layer that counts the bytes of the body may
//! be another one than the layer that records the prompt.

use std::sync::Arc;

use crate::{context::RequestContext, lock::Lock, record::Capture};

pub(super) fn set_prompt(context: &RequestContext, capture: Capture) {
    context.set_prompt(Arc::new(Lock::new(capture)));
}

pub(super) fn prompt_of(context: &RequestContext) -> Option<&Lock<Capture>> {
    context.prompt()?.downcast_ref()
}
