//~ the item is gated behind the `access-log` feature
//~ the item is gated behind the `auth` feature
//~ the item is gated behind the `cache` feature
//~ the item is gated behind the `client` feature
//~ the item is gated behind the `hf` feature
//~ the item is gated behind the `model-rules` feature
//~ the item is gated behind the `request-id` feature
//~ the item is gated behind the `schema` feature
//~ the item is gated behind the `stalled-reader` feature
//~ 3x the item is gated behind the `throttle` feature
//~ the item is gated behind the `transform` feature
//~ the item is gated behind the `upstream` feature
//~ the item is gated behind the `test-util` feature
use tower_inference::access_log::AccessLogLayer;
use tower_inference::auth::AuthLayer;
use tower_inference::cache::CacheLayer;
use tower_inference::client::HttpsClient;
use tower_inference::clock::FakeClock;
use tower_inference::hf::HfTokenLayer;
use tower_inference::limits::Limit;
use tower_inference::model_rules::ModelRulesLayer;
use tower_inference::request_id::RequestIdLayer;
use tower_inference::schema::SchemaLayer;
use tower_inference::stalled_reader::StalledReaderLayer;
use tower_inference::throttle::ThrottleLayer;
use tower_inference::token_budget::TokenBudgetLayer;
use tower_inference::transform::TransformLayer;
use tower_inference::upstream::UpstreamLayer;

fn main() {}
