//! Routes beside the known ones.

use http::Method;
use tower::Layer;
use tower_inference::{
    model::{BodyForm, Profile},
    payload::PayloadLayer,
    route::RouteLayer,
    schema::{BuiltInSchemas, SchemaLayer},
};

use crate::{
    Error,
    pass::{self, Trivial},
    requests::run,
    table::{self, Row, grouped},
    turns::{Cost, Round, take_turns, time},
};

/// The number of routes that are added to the known ones.
const ADDED: [usize; 3] = [0, 100, 1_000];
const ROUNDS: usize = 2_000;
const REQUESTS: usize = 64;

pub(crate) fn measure() -> Result<(), Error> {
    // The layer limits the time for a body to arrive.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _for_timers = runtime.enter();

    print("routes added to `RouteLayer`", &turns(own_routes)?);
    print("routes added to `Profile`", &turns(profile_routes)?);
    Ok(())
}

fn turns(layers: impl Fn(usize) -> Layers) -> Result<Vec<Cost>, Error> {
    let mut sides = ADDED.map(|added| {
        let mut service = layers(added).layer(Trivial);
        Box::new(move || time(REQUESTS, || pass::request(""), |request| run(&mut service, request)))
            as Round<'_>
    });
    take_turns(ROUNDS, &mut sides)
}

fn print(what: &str, costs: &[Cost]) {
    let rows = ADDED.map(|added| Row { size: grouped(added), each: String::new() });
    table::print(what, "ns", &rows, costs);
}

type Layers = (RouteLayer, PayloadLayer, SchemaLayer);

fn own_routes(added: usize) -> Layers {
    let (mut routes, mut schemas) =
        (RouteLayer::new(&Profile::compatible()), SchemaLayer::new(pass::chat()));
    let schema = pass::chat();
    for number in 0..added {
        let name = format!("own-{number}");
        schemas = schemas.route(&*name, schema.clone());
        routes = routes.route(Method::POST, format!("/own/{number}/chat/completions"), name);
    }
    (routes, PayloadLayer::by_route(), schemas)
}

fn profile_routes(added: usize) -> Layers {
    let profile = (0..added).fold(Profile::compatible(), |profile, number| {
        profile.route(format!("/own/{number}/chat/completions"), BodyForm::Chat)
    });
    let schemas = SchemaLayer::built_in(&BuiltInSchemas::new(profile.clone()));
    (RouteLayer::new(&profile), PayloadLayer::by_route(), schemas)
}
