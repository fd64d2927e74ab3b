//! The tokens that a stack keeps out of its access log.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tower_inference::{
    access_log::{AccessLogLayer, Format, Sink},
    fallback::{FallbackLayer, Target},
    hf::{HfTokenLayer, Stage, TokenSource, Tokens},
    secret::Secret,
};

use super::*;

/// The tokens of the token layer, of two targets, one of which has a token for each tenant, and of the
/// target of an alias.
const TOKENS: [&str; 5] = ["hf_own", "hf_first", "hf_tenantA", "hf_tenantB", "hf_alias"];

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn token(token: &str) -> TokenSource {
    TokenSource::value(Secret::new(token)).unwrap()
}

fn stage(name: &str, tokens: impl Into<Tokens>) -> Stage {
    Stage::new(name, "https://router.huggingface.co".parse().unwrap(), tokens)
}

fn fallback() -> FallbackLayer {
    let tenants = Tokens::by_tenant().tenant("https://idp.example", "a", token(TOKENS[2])).tenant(
        "https://idp.example",
        "b",
        token(TOKENS[3]),
    );
    let targets = [stage("first", token(TOKENS[1])), stage("second", tenants)].map(Target::new);
    FallbackLayer::new(targets).model("alias", [Target::new(stage("third", token(TOKENS[4])))])
}

/// Sends a request whose path and `user-agent` have a token.
async fn send<S, B>(gateway: &S, token: &str)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible> + Clone,
{
    let request = Request::get(format!("/v1/{token}")).header("user-agent", token);
    let Ok(_served) = gateway.clone().oneshot(request.body(Full::default()).unwrap()).await;
}

#[tokio::test]
async fn the_access_log_has_no_token_of_any_stage() {
    let lines = Lines::default();
    let sink = Sink::new(lines.clone()).unwrap();
    let format = || Format::json().more_fields(["user_agent"]).unwrap();
    let log = || AccessLogLayer::lines(sink.clone(), format());
    let own = || HfTokenLayer::stage(stage("own", token(TOKENS[0])));
    let client = || service_fn(upstream);
    let bounds = UpstreamLayer::new;
    let stacks = [
        Stack::new().access_log(log()).fallback(fallback()).upstream(bounds()).hf_token(own()),
        Stack::new().upstream(bounds()).hf_token(own()).fallback(fallback()).access_log(log()),
        Stack::new().fallback(fallback()).access_log(log()).hf_token(own()).upstream(bounds()),
        Stack::new().hf_token(own()).access_log(log()).fallback(fallback()).upstream(bounds()),
    ];
    for (nth, stack) in stacks.into_iter().enumerate() {
        let gateway = stack.layer(client());
        for token in TOKENS {
            send(&gateway, token).await;
        }
        assert!(sink.flush());
        let text = String::from_utf8(std::mem::take(&mut *lines.0.lock().unwrap())).unwrap();
        assert_eq!(text.lines().count(), TOKENS.len(), "{text}");
        let leaks: Vec<_> = TOKENS.iter().filter(|token| text.contains(**token)).collect();
        assert!(leaks.is_empty(), "{nth}: {leaks:?} in {text}");
    }
}
