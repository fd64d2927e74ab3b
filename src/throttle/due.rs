use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response};
use http_body::Body;

use super::{
    ResponseBody,
    ask::{Asks, Decision},
    fields::Fields,
    limits::Limits,
    owed::Owed,
};

/// What is to be done with the answer to a request that passes.
#[derive(Debug)]
pub(super) struct Due {
    owed: Option<Owed>,
    fields: Option<Fields>,
    to_head: bool,
}

impl Due {
    /// `None` where there is nothing to do.
    pub(super) fn new(
        limits: &Arc<Limits>,
        asks: &Asks,
        decision: &Decision,
        method: &Method,
    ) -> Option<Self> {
        if !limits.have_dues() && !limits.tell() {
            return None;
        }
        let owed = Owed::new(limits, asks, decision);
        let fields = Fields::new(limits, asks, decision);
        let any = owed.is_some() || fields.is_some();
        any.then(|| Self { owed, fields, to_head: method == Method::HEAD })
    }

    pub(super) fn answered<R: Body<Data = Bytes>>(
        self,
        mut response: Response<R>,
    ) -> Response<ResponseBody<R>> {
        let Self { owed, fields, to_head } = self;
        let owed = owed.and_then(|owed| owed.answered(&response));
        if let Some(fields) = fields {
            fields.answer(&mut response);
        }
        match owed {
            Some(owed) => {
                let method = if to_head { Method::HEAD } else { Method::GET };
                ResponseBody::owing(response, &method, owed)
            }
            None => response.map(ResponseBody::inner),
        }
    }
}
