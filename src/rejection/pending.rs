use http::Response;

use super::{rejection::Rejection, responder::Responder};
use crate::{body::ResponseBody, context::RequestContext};

/// A rejection that the response future renders when it is first polled.
pub(crate) struct PendingRejection {
    rejection: Rejection,
    responder: Responder,
    context: RequestContext,
}

impl Responder {
    /// Keeps a rejection for the response future.
    pub(crate) const fn pending(
        self,
        rejection: Rejection,
        context: RequestContext,
    ) -> PendingRejection {
        PendingRejection { rejection, responder: self, context }
    }
}

impl PendingRejection {
    /// Renders the rejection.
    pub(crate) fn respond<B>(self) -> Response<ResponseBody<B>> {
        self.responder.respond(self.rejection, &self.context)
    }
}
