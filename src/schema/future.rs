use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::response::{
    body::ResponseBody,
    expectation::{Expectation, ResponsePlan},
    held::HeldResponse,
};
use crate::rejection::PendingRejection;

pin_project! {
    /// The future of [`ValidateSchema`](super::ValidateSchema). Dropping it drops the inner future
    /// or the response that is held back.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, B> {
        #[pin]
        state: State<F, B>,
    }
}

pin_project! {
    #[project = StateProj]
    #[project_replace = StateOwn]
    enum State<F, B> {
        Calling { #[pin] future: F, expectation: Option<Box<Expectation>> },
        // Boxed so that the future stays small if no response is held back.
        Holding { held: Pin<Box<HeldResponse<B>>> },
        Rejected { pending: PendingRejection },
        Done,
    }
}

impl<F, B> ResponseFuture<F, B> {
    pub(super) const fn calling(future: F, expectation: Option<Box<Expectation>>) -> Self {
        Self { state: State::Calling { future, expectation } }
    }

    pub(super) const fn rejected(pending: PendingRejection) -> Self {
        Self { state: State::Rejected { pending } }
    }
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            // ## Calling => (Holding | Done)
            // ## Holding => Done
            // ## Rejected => Done
            let response = match state.as_mut().project() {
                StateProj::Calling { future, expectation } => {
                    let response = ready!(future.poll(cx))?;
                    let Some(expectation) = expectation.take() else {
                        // Drops the inner future.
                        state.set(State::Done);
                        return Poll::Ready(Ok(response.map(ResponseBody::passed)));
                    };
                    match receive(response, expectation) {
                        Received::Response(response) => response,
                        Received::Held(held) => {
                            state.set(State::Holding { held });
                            continue;
                        }
                    }
                }
                StateProj::Holding { held } => ready!(held.as_mut().poll(cx)),
                StateProj::Rejected { .. } | StateProj::Done => {
                    return match state.project_replace(State::Done) {
                        StateOwn::Rejected { pending } => {
                            Poll::Ready(Ok(pending.respond().map(ResponseBody::new)))
                        }
                        _ => Poll::Pending,
                    };
                }
            };
            // Drops the inner future or the body that was held back.
            state.set(State::Done);
            return Poll::Ready(Ok(response));
        }
    }
}

enum Received<B> {
    Response(Response<ResponseBody<B>>),
    Held(Pin<Box<HeldResponse<B>>>),
}

fn receive<B: Body<Data = Bytes>>(
    response: Response<B>,
    expectation: Box<Expectation>,
) -> Received<B> {
    let (head, body) = response.into_parts();
    Received::Response(match expectation.plan(&head) {
        ResponsePlan::Pass => Response::from_parts(head, ResponseBody::passed(body)),
        ResponsePlan::Copy => ResponseBody::copied(Response::from_parts(head, body), expectation),
        ResponsePlan::Reject(fault) => {
            expectation.rejected(expectation.fault(&fault)).map(ResponseBody::new)
        }
        ResponsePlan::Hold => {
            return Received::Held(Box::pin(HeldResponse::new(head, body, expectation)));
        }
    })
}

impl<F, B> fmt::Debug for ResponseFuture<F, B> {
    // Omits the response that may be held back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ResponseFuture")
            .field(match &self.state {
                State::Calling { .. } => &"calling",
                State::Holding { .. } => &"holding",
                State::Rejected { .. } => &"rejected",
                State::Done => &"done",
            })
            .finish()
    }
}
