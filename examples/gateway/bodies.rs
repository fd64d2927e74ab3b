//! Bounds, schemas and output limits of bodies by route.

use std::fs;

use serde_json::{Value, json};
use tower_inference::{
    memory_limit::MemoryLimit,
    model::Profile,
    route::RouteLayer,
    schema::{BuiltInSchemas, Schema, SchemaError, SchemaLayer},
    transform::TransformLayer,
};

use crate::{Error, args};

/// The settings for bodies.
pub(crate) struct Bodies {
    /// Opens the routes of inference and says how each body is read.
    pub(crate) routes: RouteLayer,
    pub(crate) max_bytes: u64,
    /// The memory of all bodies.
    pub(crate) memory: MemoryLimit,
    pub(crate) schema: Option<SchemaLayer>,
    /// Limits the output by the form of each body.
    pub(crate) edits: Option<TransformLayer>,
}

impl Bodies {
    pub(crate) fn new(serve: &args::Serve, profile: &Profile) -> Result<Self, Error> {
        let schema = match &serve.schema {
            None => None,
            Some(args::Schema::Builtin) => {
                let schemas = serve
                    .without_bounds
                    .iter()
                    .try_fold(BuiltInSchemas::new(profile.clone()), |schemas, member| {
                        schemas.without_bound(member)
                    });
                let schemas = schemas.map_err(|error| format!("--without-bound: {error}"))?;
                Some(SchemaLayer::built_in(&schemas))
            }
            Some(args::Schema::File(file)) => {
                let named = |error: Error| format!("--schema {}: {error}", file.display());
                let text = fs::read_to_string(file).map_err(|error| named(error.into()))?;
                let schema = serde_json::from_str(&text).map_err(|error| named(error.into()))?;
                let chat = Schema::new(&schema).map_err(|error| named(error.into()))?;
                let among = chats_among_others(schema).map_err(|error| named(error.into()))?;
                Some(any_task(chats(&chat), among))
            }
        };
        let edits = serve.max_tokens.map(|most| {
            let edits = TransformLayer::new().profile(profile.clone());
            // Images, sounds and files pass on the routes that take them.
            edits.max_output_tokens(most.get()).binary_bodies()
        });
        let routes = RouteLayer::new(profile);
        let memory = usize::try_from(serve.max_bodies).unwrap_or(usize::MAX);
        let memory = MemoryLimit::new(memory);
        Ok(Self { routes, max_bytes: serve.max_body, memory, schema, edits })
    }
}

/// Adds `schema` to the routes that take any task.
fn any_task(layer: SchemaLayer, schema: Schema) -> SchemaLayer {
    let any = SchemaLayer::new(schema).binary_bodies();
    ["/", "/invocations", "/vertex", "/models/{model}"]
        .into_iter()
        .fold(layer, |layer, route| layer.route(route, any.clone()))
}

/// Returns a schema that applies the schema of a chat to bodies with `messages`, also among
/// `instances`. Other bodies pass.
fn chats_among_others(schema: Value) -> Result<Schema, SchemaError> {
    const CHAT: &str = "urn:gateway:chat";
    let chat = json!({ "required": ["messages"], "properties": { "messages": { "not": { "type": "null" } } } });
    Schema::builder().document(CHAT, schema).build(&json!({
        "$ref": "#/$defs/request",
        "properties": { "instances": { "items": { "$ref": "#/$defs/request" } } },
        "$defs": { "request": { "if": chat, "then": { "$ref": CHAT } } },
    }))
}

fn chats(schema: &Schema) -> SchemaLayer {
    SchemaLayer::any_body()
        .route("/v1/chat/completions", schema.clone())
        .route("/models/{model}/v1/chat/completions", schema.clone())
}
