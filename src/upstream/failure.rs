use std::{any::type_name, error::Error, io, time::Duration};

use tracing::field::{debug, display};

use crate::{context::RequestContext, failure_reason::FailureReason, plain_http::PlainHttpRefused};

/// Logs a failure of the HTTP client with the origin, the kind and the type of its error.
///
/// The origin is that of `HfTokenLayer`, which is no secret. The message of another error is left out.
/// HTTP clients put URLs there, which may contain secrets.
pub(super) fn log_failure<E: Into<Box<dyn Error + Send + Sync>>>(
    message: &'static str,
    context: Option<&RequestContext>,
    error: E,
) {
    let error = error.into();
    let upstream = context.and_then(RequestContext::upstream).map(display);
    if let Some(refused) =
        causes(&*error).find_map(|error| error.downcast_ref::<PlainHttpRefused>())
    {
        tracing::warn!(upstream, error = %refused, "{message}");
        return;
    }
    let kind = io_kind(&*error).map(debug);
    match causes(&*error).find_map(|error| error.downcast_ref::<FailureReason>()) {
        Some(reason) => tracing::warn!(upstream, kind, error = %reason, "{message}"),
        None => tracing::warn!(upstream, kind, error = type_name::<E>(), "{message}"),
    }
}

/// Logs a timeout of `UpstreamLayer` under the name of its setter.
pub(super) fn log_timeout(setter: &'static str, timeout: Duration, context: &RequestContext) {
    let upstream = context.upstream().map(display);
    tracing::warn!(
        upstream,
        ?timeout,
        "the upstream did not respond in time; UpstreamLayer::{setter} sets this timeout"
    );
}

/// Returns the kind of the outermost I/O error among the causes.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    causes(error).find_map(|error| error.downcast_ref().map(io::Error::kind))
}

/// Returns an error and its sources. Bounded because an error may be its own source.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source()).take(16)
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Wrapped(io::Error);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("wrapped")
        }
    }

    impl Error for Wrapped {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[derive(Debug)]
    struct Circle;

    impl fmt::Display for Circle {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("circle")
        }
    }

    impl Error for Circle {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(self)
        }
    }

    #[test]
    fn the_kind_is_found_below_other_errors() {
        let refused = Wrapped(io::ErrorKind::ConnectionRefused.into());
        assert_eq!(io_kind(&refused), Some(io::ErrorKind::ConnectionRefused));
        assert_eq!(io_kind(&fmt::Error), None);
    }

    #[test]
    fn an_error_that_is_its_own_source_ends_the_search() {
        assert_eq!(io_kind(&Circle), None);
    }
}
