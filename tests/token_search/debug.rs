//! `Debug` of the public types. `types` lists the others.

use std::{any::type_name, collections::BTreeSet, fmt::Debug};

use crate::leak::leak;

/// The types that were printed, as `module::Type`.
#[derive(Default)]
pub struct Printed {
    pub types: BTreeSet<String>,
    token: String,
}

impl Printed {
    pub fn new(token: &str) -> Self {
        Self { types: BTreeSet::new(), token: token.to_owned() }
    }

    /// Prints a value in both forms of `Debug` and searches them.
    #[track_caller]
    pub fn add<T: Debug + ?Sized>(&mut self, value: &T) {
        self.add_text::<T>(&forms(value));
    }

    /// Searches what [`forms`] has printed of a value of type `T`.
    #[track_caller]
    pub fn add_text<T: ?Sized>(&mut self, text: &str) {
        assert_eq!(leak(text, &self.token), None, "{}: {text}", type_name::<T>());
        self.types.insert(name_of(type_name::<T>()));
    }
}

/// Returns both forms of `Debug`.
pub fn forms<T: Debug + ?Sized>(value: &T) -> String {
    format!("{value:?}\n{value:#?}")
}

/// `tower_inference::hf::service::HfToken<S>` is `hf::HfToken`.
fn name_of(path: &str) -> String {
    let path = path.split('<').next().unwrap_or_default();
    let mut segments = path.trim_start_matches('&').split("::").skip(1);
    let module = segments.next().unwrap_or_default();
    format!("{module}::{}", segments.last().unwrap_or_default())
}
