use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use super::{cell::Cell, kind::Kind, slots::Slots};

/// Names of routes that have a label of their own. The program chooses them.
const MAX_ROUTES: usize = 64;
/// Kinds of requests of one route that have series of their own, on average.
const MAX_KINDS: usize = 4;
/// The longest name of a model that becomes a label, in bytes.
const MAX_MODEL_BYTES: usize = 128;
/// The label of names that have none of their own.
pub(super) const OTHER: &str = "other";

/// Why the model of a request has the label `other`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum OtherModel {
    /// No request for it has succeeded yet.
    Unproven,
    /// All labels are taken.
    Full,
    /// The name is too long or has characters that are not visible ASCII.
    Unprintable,
}

impl OtherModel {
    pub(super) const ALL: [Self; 3] = [Self::Unproven, Self::Full, Self::Unprintable];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Unproven => "unproven",
            Self::Full => "full",
            Self::Unprintable => "unprintable",
        }
    }
}

/// The metrics of each kind of request, route and model. Their number is bounded.
///
/// Clients choose the names of models. A name gets a label with its first request that succeeds, so
/// that made-up names which the upstream rejects take no label from served ones.
#[derive(Debug)]
pub(super) struct Cells {
    of_models: Slots<(Kind, Arc<str>, Arc<str>), Cell>,
    // Boxed, because most slots are empty.
    of_routes: Slots<(Kind, Arc<str>), Box<RouteCells>>,
    routes: Slots<Arc<str>, Arc<str>>,
    other_routes: RouteCells,
    models: Slots<Arc<str>, Arc<str>>,
    hasher: RandomState,
}

/// The metrics of a route for requests whose model is not known or has no label.
#[derive(Debug)]
struct RouteCells {
    kind: Kind,
    name: Arc<str>,
    without_model: Cell,
    other_models: Cell,
}

impl RouteCells {
    fn new(kind: Kind, name: Arc<str>) -> Self {
        Self {
            without_model: Cell::new(kind, Arc::clone(&name), Arc::default()),
            other_models: Cell::new(kind, Arc::clone(&name), OTHER.into()),
            kind,
            name,
        }
    }
}

impl Cells {
    pub(super) fn new(max_models: usize, known: &[Box<str>]) -> Self {
        let cells = Self {
            of_models: Slots::new(max_models.saturating_mul(2)),
            of_routes: Slots::new(MAX_ROUTES * MAX_KINDS),
            routes: Slots::new(MAX_ROUTES),
            other_routes: RouteCells::new(Kind::default(), OTHER.into()),
            models: Slots::new(max_models),
            hasher: RandomState::new(),
        };
        for model in known {
            let _added_if_there_is_room = cells.add_model(model);
        }
        cells
    }

    pub(super) const fn hasher(&self) -> &RandomState {
        &self.hasher
    }

    /// Returns the metrics of a request. `succeeded` says that its model is proven to exist.
    pub(super) fn of(
        &self,
        kind: Kind,
        route: &str,
        model: Option<&str>,
        succeeded: bool,
    ) -> (&Cell, Option<OtherModel>) {
        let Some(model) = model.filter(|model| !model.is_empty()) else {
            return (&self.route(kind, route).without_model, None);
        };
        if let Some(cell) = self.find(kind, route, model) {
            return (cell, None);
        }
        let route = self.route(kind, route);
        match self.add(route, model, succeeded) {
            Ok(cell) => (cell, None),
            Err(reason) => (&route.other_models, Some(reason)),
        }
    }

    fn find(&self, kind: Kind, route: &str, model: &str) -> Option<&Cell> {
        let is = |(own_kind, own, of): &(Kind, Arc<str>, Arc<str>)| {
            *own_kind == kind && **own == *route && **of == *model
        };
        self.of_models.find(self.hasher.hash_one((kind, route, model)), is)
    }

    fn add(&self, route: &RouteCells, model: &str, succeeded: bool) -> Result<&Cell, OtherModel> {
        let known = self.models.find(self.hasher.hash_one(model), |own| **own == *model);
        let model = match known {
            Some(model) => model,
            None if !is_printable(model) => return Err(OtherModel::Unprintable),
            None if !succeeded => return Err(OtherModel::Unproven),
            None => self.add_model(model).ok_or(OtherModel::Full)?,
        };
        let key = || (route.kind, Arc::clone(&route.name), Arc::clone(model));
        let make = || (key(), Cell::new(route.kind, Arc::clone(&route.name), Arc::clone(model)));
        let is = |(kind, own, of): &(Kind, Arc<str>, Arc<str>)| {
            *kind == route.kind && *own == route.name && of == model
        };
        let hash = self.hasher.hash_one((route.kind, &*route.name, &**model));
        self.of_models.find_or_add(hash, is, make).ok_or(OtherModel::Full)
    }

    fn add_model(&self, model: &str) -> Option<&Arc<str>> {
        let make = || {
            let model: Arc<str> = model.into();
            (Arc::clone(&model), model)
        };
        self.models.find_or_add(self.hasher.hash_one(model), |own| **own == *model, make)
    }

    fn route(&self, kind: Kind, route: &str) -> &RouteCells {
        let is = |(own_kind, own): &(Kind, Arc<str>)| *own_kind == kind && **own == *route;
        let hash = self.hasher.hash_one((kind, route));
        if let Some(cells) = self.of_routes.find(hash, is) {
            return cells;
        }
        let name = || {
            let name: Arc<str> = route.into();
            (Arc::clone(&name), name)
        };
        let name =
            self.routes.find_or_add(self.hasher.hash_one(route), |own| **own == *route, name);
        let cells = name.and_then(|name| {
            let cells = || Box::new(RouteCells::new(kind, Arc::clone(name)));
            self.of_routes.find_or_add(hash, is, || ((kind, Arc::clone(name)), cells()))
        });
        cells.map_or(&self.other_routes, |cells| cells)
    }
}

fn is_printable(model: &str) -> bool {
    model.len() <= MAX_MODEL_BYTES && model.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(cells: &Cells, route: &str, model: &str, succeeded: bool) -> Option<OtherModel> {
        cells.of(Kind::default(), route, Some(model), succeeded).1
    }

    #[test]
    fn a_model_has_a_label_once_a_request_for_it_succeeds() {
        let cells = Cells::new(2, &["known".into()]);
        assert_eq!(other(&cells, "chat", "known", false), None);
        assert_eq!(other(&cells, "chat", "a", false), Some(OtherModel::Unproven));
        assert_eq!(other(&cells, "chat", "a", true), None);
        assert_eq!(other(&cells, "chat", "a", false), None);
        // Known on every route.
        assert_eq!(other(&cells, "embeddings", "a", false), None);
        assert_eq!(other(&cells, "chat", "b", true), Some(OtherModel::Full));
        assert_eq!(cells.of(Kind::default(), "chat", None, true).1, None);
        assert_eq!(cells.of(Kind::default(), "chat", Some(""), true).1, None);
    }

    #[test]
    fn names_that_are_no_label_are_other() {
        let cells = Cells::new(10, &[]);
        let long = "m".repeat(129);
        for model in ["a b", "a\nb", "\u{202e}a", "é", &*long] {
            assert_eq!(
                other(&cells, "chat", model, true),
                Some(OtherModel::Unprintable),
                "{model}"
            );
        }
        assert_eq!(other(&cells, "chat", &long[1..], true), None);
    }

    #[test]
    fn pairs_and_routes_are_bounded() {
        let cells = Cells::new(5, &[]);
        for number in 0..1_000 {
            for route in 0..100 {
                let (route, model) = (format!("r{route}"), format!("m{number}"));
                let _ = cells.of(Kind::default(), &route, Some(&model), true);
            }
        }
        let find = |route| cells.find(Kind::default(), route, "m0");
        // Every pair of five models and two routes, and no more.
        assert!(find("r0").is_some() && find("r10").is_none());
        assert_eq!(&*cells.route(Kind::default(), "r99").name, OTHER);
        assert_eq!(other(&cells, "r50", "m0", true), Some(OtherModel::Full));
    }
}
