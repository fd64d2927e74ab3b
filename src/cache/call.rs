//! The call that several wait for.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, Response, header::CONTENT_LENGTH};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    flight::{End, Source, Step},
    head::{Chunk, Head},
    listing::Listing,
    record::{Plan, Recorder},
};
use crate::body::{WatchedBody, content_length};

pin_project! {
    /// The inner service's call, and then the body of its answer.
    pub(super) struct Call<F, R> {
        #[pin]
        state: State<F, R>,
        // Struck off the list with the source, so when the flight is over.
        listing: Listing,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, R> {
        Calling { #[pin] future: F, plan: Option<Plan>, method: Method },
        Answering { #[pin] body: WatchedBody<R, Recorder> },
        Over,
    }
}

/// What is for the originator alone.
pub(super) enum Unshared<R, E> {
    /// A refusal of our own, or what is for one caller by its own words.
    Answer(Response<R>),
    Error(E),
    Panic(Box<dyn Any + Send>),
}

impl<F, R> Call<F, R> {
    pub(super) const fn new(future: F, plan: Plan, method: Method, listing: Listing) -> Self {
        Self { state: State::Calling { future, plan: Some(plan), method }, listing }
    }
}

impl<F, R, E> Source<Head, Chunk> for Call<F, R>
where
    F: Future<Output = Result<Response<R>, E>> + Send,
    R: Body<Data = Bytes> + Send + 'static,
    E: Send + 'static,
{
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<Head, Chunk>> {
        let mut this = self.project();
        let (step, next) = match this.state.as_mut().project() {
            StateProj::Calling { future, plan, method } => {
                // The originator unwinds with it, whoever polled.
                let outcome = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
                    Ok(polled) => ready!(polled).map_err(Unshared::Error),
                    Err(panic) => Err(Unshared::Panic(panic)),
                };
                match (outcome, plan.take()) {
                    (Ok(response), Some(plan)) if plan.is_shared(&response) => {
                        let (head, body) = answer(response, plan, method);
                        (Step::Head(head), State::Answering { body })
                    }
                    (Ok(response), _) => {
                        (unshared(Unshared::<R, E>::Answer(response)), State::Over)
                    }
                    (Err(failure), _) => (unshared::<R, E>(failure), State::Over),
                }
            }
            StateProj::Answering { body } => {
                let end = match next_chunk(body, cx) {
                    Some(polled) => match ready!(polled) {
                        Ok(chunk) => return Poll::Ready(Step::Piece(chunk)),
                        Err(end) => end,
                    },
                    None => End::Broken,
                };
                (Step::End(end), State::Over)
            }
            StateProj::Over => return Poll::Ready(Step::End(End::Broken)),
        };
        this.state.set(next);
        Poll::Ready(step)
    }
}

/// `None` when the body panicked, for which whoever polled it is as little to blame as the others.
fn next_chunk<B: Body<Data = Bytes>>(
    mut body: Pin<&mut B>,
    cx: &mut Context<'_>,
) -> Option<Poll<Result<Chunk, End>>> {
    let poll = || {
        if body.is_end_stream() {
            return Poll::Ready(Err(End::Complete));
        }
        Poll::Ready(match ready!(body.as_mut().poll_frame(cx)) {
            None => Err(End::Complete),
            Some(Err(_)) => Err(End::Broken),
            Some(Ok(frame)) => Ok(match frame.into_data() {
                Ok(data) => Chunk::Data(data),
                Err(frame) => Chunk::Trailers(frame.into_trailers().unwrap_or_default().into()),
            }),
        })
    };
    catch_unwind(AssertUnwindSafe(poll)).ok()
}

fn unshared<R: Send + 'static, E: Send + 'static>(outcome: Unshared<R, E>) -> Step<Head, Chunk> {
    Step::End(End::Unshared(Box::new(outcome)))
}

/// An answer's head, and its body under the eyes of a recorder.
fn answer<R: Body<Data = Bytes>>(
    response: Response<R>,
    plan: Plan,
    method: &Method,
) -> (Head, WatchedBody<R, Recorder>) {
    let (parts, body) = response.into_parts();
    let length = content_length(&parts.headers).or_else(|| body.size_hint().exact());
    // What the watch looks at, while the recorder has the rest.
    let mut seen = Response::new(body);
    *seen.status_mut() = parts.status;
    if let Some(length) = parts.headers.get(CONTENT_LENGTH) {
        seen.headers_mut().insert(CONTENT_LENGTH, length.clone());
    }
    let (head, recorder) = plan.begin(parts, length);
    (head, WatchedBody::of_response(seen, method, recorder).into_body())
}
