use pin_project_lite::pin_project;
use tracing::Span;

pin_project! {
    /// A value that is polled in a span. It is dropped in it too, because a cancelled request may
    /// log.
    #[derive(Debug)]
    #[project = InSpanProj]
    pub(super) struct InSpan<T> {
        // `None` only during drop.
        #[pin]
        pub(super) inner: Option<T>,
        pub(super) span: Span,
    }

    impl<T> PinnedDrop for InSpan<T> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _entered = this.span.enter();
            this.inner.set(None);
        }
    }
}
