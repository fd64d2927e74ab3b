//! Errors whose `Debug` is their message.

/// Implements `Debug` by `Display`, because `fn main() -> Result<(), Box<dyn Error>>` prints `Debug`.
macro_rules! debug_as_message {
    ($error:ty) => {
        impl std::fmt::Debug for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    };
}

pub(crate) use debug_as_message;
