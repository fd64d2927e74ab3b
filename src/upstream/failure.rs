use std::{any::type_name, error::Error, io, time::Duration};

use tracing::field::{debug, display};

use crate::{
    causes::causes,
    context::RequestContext,
    failure_reason::FailureReason,
    log_limit::{LogLimit, warn_if_due},
    plain_http::PlainHttpRefused,
};

/// Logs a failure of the HTTP client with the origin, the kind and the type of its error.
///
/// The origin is that of `HfTokenLayer`, which is no secret. The message of another error is left out.
/// HTTP clients put URLs there, which may contain secrets.
pub(super) fn log_failure<E: Into<Box<dyn Error + Send + Sync>>>(
    message: &'static str,
    log: &LogLimit,
    context: Option<&RequestContext>,
    error: E,
) {
    let error = error.into();
    let upstream = context.and_then(RequestContext::upstream);
    let is_due = log.is_due(message, upstream.unwrap_or_default());
    let upstream = upstream.map(display);
    if let Some(refused) =
        causes(&*error).find_map(|error| error.downcast_ref::<PlainHttpRefused>())
    {
        warn_if_due!(is_due, upstream, error = %refused, "{message}");
        return;
    }
    let kind = io_kind(&*error).map(debug);
    match causes(&*error).find_map(|error| error.downcast_ref::<FailureReason>()) {
        Some(reason) => warn_if_due!(is_due, upstream, kind, error = %reason, "{message}"),
        None => warn_if_due!(is_due, upstream, kind, error = type_name::<E>(), "{message}"),
    }
}

/// Logs a timeout of `UpstreamLayer` under the name of its setter.
pub(super) fn log_timeout(
    setter: &'static str,
    timeout: Duration,
    log: &LogLimit,
    context: &RequestContext,
) {
    let upstream = context.upstream();
    let is_due = log.is_due(setter, upstream.unwrap_or_default());
    let upstream = upstream.map(display);
    warn_if_due!(
        is_due,
        upstream,
        ?timeout,
        "the upstream did not respond in time; UpstreamLayer::{setter} sets this timeout"
    );
}

/// Returns the kind of the outermost I/O error among the causes.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    causes(error).find_map(|error| error.downcast_ref().map(io::Error::kind))
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

    #[test]
    fn the_kind_is_found_below_other_errors() {
        let refused = Wrapped(io::ErrorKind::ConnectionRefused.into());
        assert_eq!(io_kind(&refused), Some(io::ErrorKind::ConnectionRefused));
        assert_eq!(io_kind(&fmt::Error), None);
    }
}
