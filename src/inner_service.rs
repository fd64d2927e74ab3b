//! The accessors that every service of this crate has.

/// Defines `get_ref`, `get_mut` and `into_inner` for a service `X<S>` with a field `inner: S`.
macro_rules! inner_service_accessors {
    () => {
        /// Returns a reference to the inner service.
        pub const fn get_ref(&self) -> &S {
            &self.inner
        }

        /// Returns a mutable reference to the inner service.
        pub const fn get_mut(&mut self) -> &mut S {
            &mut self.inner
        }

        /// Returns the inner service and drops this one.
        pub fn into_inner(self) -> S {
            self.inner
        }
    };
}
