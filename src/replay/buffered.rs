//! Bodies that can be sent again.

use std::any::Any;

use bytes::Bytes;
use http_body_util::{Empty, Full};

use crate::payload::Payload;

/// A copy of a buffered body. The bytes are shared.
#[derive(Debug)]
pub(super) enum Buffered {
    Payload(Payload),
    Full(Full<Bytes>),
    Empty,
}

impl Buffered {
    /// Copies `body`. `None` for a streamed body or another type.
    pub(super) fn of<B: 'static>(body: &B) -> Option<Self> {
        // By `Any`, so that clients of other bodies need no bound for this.
        let body: &dyn Any = body;
        if let Some(payload) = body.downcast_ref::<Payload>() {
            payload.try_clone().map(Self::Payload)
        } else if let Some(full) = body.downcast_ref::<Full<Bytes>>() {
            Some(Self::Full(full.clone()))
        } else {
            body.is::<Empty<Bytes>>().then_some(Self::Empty)
        }
    }

    /// The body in its original type.
    pub(super) fn body<B: 'static>(&self) -> Option<B> {
        fn cast<T: 'static, B: 'static>(body: T) -> Option<B> {
            let mut body = Some(body);
            (&mut body as &mut dyn Any).downcast_mut::<Option<B>>()?.take()
        }
        match self {
            Self::Payload(payload) => cast(payload.try_clone()?),
            Self::Full(full) => cast(full.clone()),
            Self::Empty => cast(Empty::<Bytes>::new()),
        }
    }

    /// The body as a payload. It shares a document that was parsed before.
    #[cfg(feature = "client")]
    pub(super) fn payload(&self) -> Payload {
        match self {
            // A buffered payload always has a copy.
            Self::Payload(payload) => payload.try_clone().unwrap_or_default(),
            Self::Full(full) => Payload::buffered(full.clone().into_inner().unwrap_or_default()),
            Self::Empty => Payload::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn again<B>(body: B) -> Option<Bytes>
    where
        B: http_body::Body<Data = Bytes> + 'static,
    {
        let copy: B = Buffered::of(&body)?.body()?;
        drop(body);
        copy.collect().await.ok().map(|body| body.to_bytes())
    }

    #[tokio::test]
    async fn bodies_that_are_there_as_a_whole_are_copied() {
        assert_eq!(again(Payload::buffered("{}")).await.unwrap(), "{}");
        assert_eq!(again(Full::new(Bytes::from("{}"))).await.unwrap(), "{}");
        assert_eq!(again(Full::<Bytes>::default()).await.unwrap(), "");
        assert_eq!(again(Empty::<Bytes>::new()).await.unwrap(), "");
    }

    #[tokio::test]
    async fn others_are_not() {
        assert!(again(Payload::streamed(Full::new(Bytes::from("{}")))).await.is_none());
        assert!(again(Full::new(Bytes::from("{}")).boxed()).await.is_none());
    }
}
