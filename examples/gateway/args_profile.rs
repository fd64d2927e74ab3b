//! The kind of upstream.

use axum::http::Uri;
use tower_inference::model::Profile;

use super::UsageError;

pub(super) const FLAGS: [&str; 1] = ["--without-bound"];

/// The names of profiles.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Anthropic,
    Azure,
    Compatible,
    Endpoint,
    LlamaCpp,
    Mistral,
    OpenAi,
    Router,
    Space,
    Tei,
    Tgi,
    Vllm,
}

const KINDS: [(&str, Kind); 12] = [
    ("anthropic", Kind::Anthropic),
    ("azure", Kind::Azure),
    ("compatible", Kind::Compatible),
    ("endpoint", Kind::Endpoint),
    ("llama-cpp", Kind::LlamaCpp),
    ("mistral", Kind::Mistral),
    ("openai", Kind::OpenAi),
    ("router", Kind::Router),
    ("space", Kind::Space),
    ("tei", Kind::Tei),
    ("tgi", Kind::Tgi),
    ("vllm", Kind::Vllm),
];

/// Parses the value of `--profile`.
pub(super) fn kind(flag: &str, value: &str) -> Result<Kind, UsageError> {
    let kind = KINDS.iter().find(|(name, _)| *name == value).map(|(_, kind)| *kind);
    kind.ok_or_else(|| {
        let names = KINDS.map(|(name, _)| name).join(", ");
        UsageError(format!("{flag} expects one of {names}, not `{value}`"))
    })
}

/// The given flags.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Given {
    /// The members whose bounds are lifted.
    pub(crate) without_bounds: Vec<String>,
}

impl Given {
    /// Sets the value of one of these flags.
    pub(super) fn take(&mut self, flag: &str, value: String) -> Result<(), UsageError> {
        match flag {
            "--without-bound" => {
                self.without_bounds.push(value);
                Ok(())
            }
            _ => Err(UsageError(format!("{flag} is not a flag of this gateway"))),
        }
    }
}

/// Returns the named profile of an upstream or else that of its host.
pub(crate) fn of(kind: Option<Kind>, upstream: &str) -> Profile {
    let Some(kind) = kind else {
        let uri = upstream.parse::<Uri>().ok();
        return uri.and_then(|uri| Profile::from_host(uri.host()?)).unwrap_or_default();
    };
    match kind {
        Kind::Anthropic => Profile::anthropic(),
        Kind::Azure => Profile::azure_openai(),
        Kind::Compatible => Profile::compatible(),
        // No layer of this gateway reads the name of the model.
        Kind::Endpoint => Profile::endpoint("endpoint"),
        Kind::LlamaCpp => Profile::llama_cpp(),
        Kind::Mistral => Profile::mistral(),
        Kind::OpenAi => Profile::openai(),
        Kind::Router => Profile::router(),
        Kind::Space => Profile::space("space"),
        Kind::Tei => Profile::tei("tei"),
        Kind::Tgi => Profile::tgi("tgi"),
        Kind::Vllm => Profile::vllm(),
    }
}

#[cfg(test)]
mod tests {
    use tower_inference::model::BodyForm;

    use super::*;

    #[test]
    fn a_profile_is_chosen_by_name_or_by_host() {
        let by_host = |url| format!("{:?}", of(None, url));
        let named = |kind| format!("{:?}", of(Some(kind), "https://llm.internal"));
        for (url, kind) in [
            ("https://api.openai.com", Kind::OpenAi),
            ("https://API.OpenAI.com:443/v1", Kind::OpenAi),
            ("https://eu.api.openai.com", Kind::OpenAi),
            ("https://team.openai.azure.com/openai", Kind::Azure),
            ("https://api.mistral.ai", Kind::Mistral),
            ("https://api.anthropic.com", Kind::Anthropic),
            ("https://router.huggingface.co", Kind::Router),
            ("https://api.openai.com.evil.example", Kind::Compatible),
            ("https://evilapi.openai.com", Kind::Compatible),
            ("https://openai.azure.com.example", Kind::Compatible),
            ("http://127.0.0.1:8000", Kind::Compatible),
            ("not a url", Kind::Compatible),
        ] {
            assert_eq!(by_host(url), named(kind), "{url}");
        }
        let forced = of(Some(Kind::Compatible), "https://api.openai.com");
        assert_eq!(format!("{forced:?}"), named(Kind::Compatible));
        assert_eq!(forced.form("/v1/messages"), BodyForm::Messages);
    }

    #[test]
    fn an_unknown_profile_is_rejected_with_the_known_names() {
        let refused = kind("--profile", "sglang").unwrap_err().0;
        assert!(refused.starts_with("--profile expects one of anthropic, azure"), "{refused}");
        for (name, known) in KINDS {
            assert_eq!(kind("--profile", name), Ok(known));
        }
    }
}
