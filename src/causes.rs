//! The walk over the causes of an error.

use std::error::Error;

/// Returns an error and its sources, the outermost first.
///
/// Bounded because an error may be its own source.
pub(crate) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source()).take(16)
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

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
    fn an_error_that_is_its_own_source_ends_the_walk() {
        assert_eq!(causes(&Circle).count(), 16);
    }

    #[derive(Debug)]
    struct Outer(fmt::Error);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("outer")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn the_outermost_error_comes_first() {
        let error = Outer(fmt::Error);
        let walk: Vec<_> = causes(&error).collect();
        assert!(walk.len() == 2 && walk[0].is::<Outer>() && walk[1].is::<fmt::Error>());
    }
}
