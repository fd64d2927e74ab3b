use std::{any::Any, fmt, sync::Arc};

use super::target::Target;
use crate::{context::RequestContext, identity::Identity};

/// The rules of a layer as a fallback asks them about the targets that it chooses.
///
/// A layer of rules judges the model that the client named. It leaves its judge in the context, since
/// a layer further in may choose another model.
pub(crate) struct Judge {
    allows: Box<Allows>,
}

type Allows = dyn Fn(&Target<'_>, Option<&Identity>) -> bool + Send + Sync;

impl Judge {
    pub(crate) fn new(
        allows: impl Fn(&Target<'_>, Option<&Identity>) -> bool + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { allows: Box::new(allows) })
    }

    /// Leaves the judge for layers further in.
    pub(crate) fn leave_in(self: Arc<Self>, context: &RequestContext) {
        context.add_judge(self);
    }

    /// Returns whether all rules that the request has passed allow its caller this target.
    pub(crate) fn all_allow(context: &RequestContext, target: &Target<'_>) -> bool {
        let caller = context.identity();
        context.all_judges(|judge: &(dyn Any + Send + Sync)| {
            // Nothing else is left there. What is not known is denied.
            judge
                .downcast_ref::<Self>()
                .is_some_and(|judge| (judge.allows)(target, caller.as_deref()))
        })
    }

    /// Returns whether the rules of `own` allow the target that has served a shared call or an entry.
    /// `None` when it is not known.
    #[cfg(feature = "cache")]
    pub(crate) fn all_allow_served(
        own: &RequestContext,
        served: Option<&(dyn Any + Send + Sync)>,
    ) -> Option<bool> {
        if !own.has_judges() {
            return Some(true);
        }
        Some(Self::all_allow(own, served?.downcast_ref::<Target<'static>>()?))
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge").finish_non_exhaustive()
    }
}
