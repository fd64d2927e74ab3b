//~ the trait bound `Credential: From<Result<tower_inference::auth::Jwt, JwtError>>` is not satisfied
use tower_inference::auth::{AuthLayer, Jwt, Keys};

fn layer(keys: Keys) -> AuthLayer {
    AuthLayer::new(Jwt::new(keys, "https://issuer.example", "gateway").required_scopes(["infer"]))
}

fn main() {
    let _ = layer;
}
