/// Holds when a client of the body `Self` can send the request body `B`: when both are one type.
///
/// [`HttpsClient`](super::HttpsClient) has this bound, so that the compiler names the layer or the
/// setting that is missing.
#[diagnostic::on_unimplemented(
    message = "this client sends bodies of type `{Self}` and receives requests with a body of type `{B}`",
    label = "the client and the layer around it have different bodies",
    note = "a client of `build()` sends a `Payload`: put `.payload(PayloadLayer::streamed())` on the \
            `Stack`, or `.layer(PayloadLayer::streamed())` in the `ServiceBuilder`",
    note = "a request is repeated only with a buffered body, after a failure or a rejected token: put \
            `PayloadLayer::new()` in place of `PayloadLayer::streamed()`",
    note = "without a `PayloadLayer`, build the client for the body of the server: \
            `HttpsClient::builder().build_for::<Body>()`"
)]
// The request's body is a parameter, because the compiler infers a parameter from one impl.
pub trait SentBody<B> {
    #[doc(hidden)]
    fn sent(body: B) -> Self;
}

impl<B> SentBody<Self> for B {
    fn sent(body: Self) -> Self {
        body
    }
}
