use super::body::payload::Payload;

/// Holds when a layer can read the body `B` of a request: for [`Payload`] alone.
///
/// A layer that reads bodies has this bound, so that the compiler names the missing
/// [`PayloadLayer`](super::PayloadLayer).
#[diagnostic::on_unimplemented(
    message = "a `PayloadLayer` is missing: this layer reads bodies, and `{B}` cannot be read",
    label = "needs a `PayloadLayer` outside of the layer that reads bodies",
    note = "in `ServiceBuilder`, put `.layer(PayloadLayer::new())` before the layers that read bodies",
    note = "for `Router::layer`, put all of them into one `ServiceBuilder`; `Stack` adds one by itself"
)]
// The body is a parameter and not `Self`, because the compiler infers a parameter from one impl.
pub trait IsBody<B>: sealed::Sealed {
    /// Returns the body as a payload.
    fn payload_of(body: B) -> Self;
}

impl IsBody<Self> for Payload {
    fn payload_of(body: Self) -> Self {
        body
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "no other body can be read")]
    pub trait Sealed {}

    impl Sealed for super::Payload {}
}
