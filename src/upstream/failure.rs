use std::{any::type_name, error::Error, io};

/// Logs that the client failed, and of what kind. Never its message: clients put URLs into theirs,
/// and a URL can hold a secret.
pub(super) fn warn<E: Into<Box<dyn Error + Send + Sync>>>(what: &'static str, error: E) {
    let error = error.into();
    tracing::warn!(kind = ?io_kind(&*error), error = type_name::<E>(), "{what}");
}

/// The kind of the outermost I/O error among the causes.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    // Bounded, since a cause may name itself.
    std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source())
        .take(16)
        .find_map(|error| error.downcast_ref().map(io::Error::kind))
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
    fn the_kind_is_found_under_other_errors() {
        let refused = Wrapped(io::ErrorKind::ConnectionRefused.into());
        assert_eq!(io_kind(&refused), Some(io::ErrorKind::ConnectionRefused));
        assert_eq!(io_kind(&fmt::Error), None);
    }

    #[test]
    fn an_error_that_names_itself_as_its_cause_is_left() {
        assert_eq!(io_kind(&Circle), None);
    }
}
