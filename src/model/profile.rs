use http::HeaderName;

use super::{BodyForm, OutputLimit, StreamUsage, TokenHeader, route};
#[cfg(any(feature = "throttle", feature = "transform"))]
use super::{Form, Takes};

/// A kind of upstream: its routes, the forms of its bodies, the names that it knows, the header
/// that carries its token, and the built-in schemas that apply.
///
/// Layers that take none use [`Profile::compatible`]. A profile is chosen by the operator, or told
/// from the upstream's host by [`Profile::of_host`]; never from a model's name, which is the
/// client's word.
///
/// ```
/// use tower_inference::model::{BodyForm, OutputLimit, Profile};
///
/// let host = "llm.internal";
/// let profile = Profile::of_host(host).unwrap_or_default();
/// assert_eq!(profile.form("/v1/chat/completions"), BodyForm::Chat);
///
/// // A server with a route of its own, whose models reason.
/// let profile = Profile::compatible()
///     .route("/ask", BodyForm::Chat)
///     .output_limit(OutputLimit::MaxCompletionTokens);
/// assert_eq!(profile.form("/ask"), BodyForm::Chat);
/// ```
///
/// | profile | output limit of a chat | asks for the usage of a stream | token | schemas |
/// |---|---|---|---|---|
/// | [`compatible`](Self::compatible), [`router`](Self::router), [`endpoint`](Self::endpoint) | `max_tokens` | yes | `authorization: Bearer` | of what vLLM, SGLang, TGI, TEI, llama.cpp, Ollama, LiteLLM and Mistral take |
/// | [`openai`](Self::openai) | `max_completion_tokens` | yes | `authorization: Bearer` | OpenAI's, with its bounds |
/// | [`azure_openai`](Self::azure_openai) | `max_completion_tokens` | yes | `api-key` | OpenAI's, with its bounds |
/// | [`mistral`](Self::mistral) | `max_tokens` | no | `authorization: Bearer` | as `compatible` |
/// | [`anthropic`](Self::anthropic) | `max_tokens` | yes, on its compatible routes | `x-api-key` | Anthropic's for messages, else as `compatible` |
/// | [`tei`](Self::tei) | `max_tokens` | yes | `authorization: Bearer` | TEI's for ranking, else as `compatible` |
///
/// The [module](super) says where each looks for the model's name.
#[derive(Clone, Debug)]
pub struct Profile {
    pub(super) kind: Kind,
    dialect: Dialect,
    routes: Vec<(Box<str>, BodyForm)>,
    output_limit: OutputLimit,
    stream_usage: StreamUsage,
    token_header: TokenHeader,
    generates: bool,
}

/// Where the name of the model is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Router,
    Server,
    Endpoint(Box<str>),
}

/// Whose reference bodies are held to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Dialect {
    Compatible,
    OpenAi,
    Anthropic,
    Tei,
}

impl Profile {
    /// The Inference Providers of Hugging Face, `router.huggingface.co`: many models, of many
    /// providers.
    #[must_use]
    pub const fn router() -> Self {
        Self::of(Kind::Router)
    }

    /// A server that speaks as OpenAI does, of one model or several: vLLM, SGLang, llama.cpp,
    /// Ollama, LiteLLM, Groq, Together, Fireworks, DeepSeek. The default of every layer.
    #[must_use]
    pub const fn compatible() -> Self {
        Self::of(Kind::Server)
    }

    /// OpenAI's own API, `api.openai.com`.
    #[must_use]
    pub const fn openai() -> Self {
        let mut profile = Self::compatible();
        profile.dialect = Dialect::OpenAi;
        profile.output_limit = OutputLimit::MaxCompletionTokens;
        profile
    }

    /// OpenAI's models at Azure, `*.openai.azure.com`, with a key of the resource.
    #[must_use]
    pub fn azure_openai() -> Self {
        Self::openai().token_header(TokenHeader::Plain(HeaderName::from_static("api-key")))
    }

    /// Mistral's own API, `api.mistral.ai`. It refuses `stream_options`, and tells the usage of a
    /// stream without it.
    #[must_use]
    pub const fn mistral() -> Self {
        Self::compatible().stream_usage(StreamUsage::Unasked)
    }

    /// Anthropic's own API, `api.anthropic.com`. Clients send `anthropic-version` themselves.
    #[must_use]
    pub fn anthropic() -> Self {
        let mut profile = Self::compatible();
        profile.dialect = Dialect::Anthropic;
        profile.token_header(TokenHeader::Plain(HeaderName::from_static("x-api-key")))
    }

    /// A server of one model: an Inference Endpoint, TGI, vLLM. `model` is what model rules and
    /// weights call it; what a body calls it (`tgi`, nothing, the endpoint's URL) is not looked at.
    pub fn endpoint(model: impl Into<Box<str>>) -> Self {
        Self::of(Kind::Endpoint(model.into()))
    }

    /// A Text Embeddings Inference server of one model, which [generates
    /// nothing](Self::generates_nothing).
    pub fn tei(model: impl Into<Box<str>>) -> Self {
        let mut profile = Self::endpoint(model).generates_nothing();
        profile.dialect = Dialect::Tei;
        profile
    }

    /// Returns the profile of an upstream whose host tells it for certain: `api.openai.com` and its
    /// regions, `*.openai.azure.com`, `api.mistral.ai`, `codestral.mistral.ai`,
    /// `api.anthropic.com`, `router.huggingface.co`. `None` for any other host.
    ///
    /// The host is without a port, as [`http::Uri::host`] returns it, and is compared in any case.
    #[must_use]
    pub fn of_host(host: &str) -> Option<Self> {
        let host = host.to_ascii_lowercase();
        match host.as_str() {
            "api.openai.com" => Some(Self::openai()),
            "api.mistral.ai" | "codestral.mistral.ai" => Some(Self::mistral()),
            "api.anthropic.com" => Some(Self::anthropic()),
            "router.huggingface.co" => Some(Self::router()),
            host if host.ends_with(".api.openai.com") => Some(Self::openai()),
            host if host.ends_with(".openai.azure.com") => Some(Self::azure_openai()),
            _ => None,
        }
    }

    /// Adds a route, and names the form of its bodies: `/pooling`, or for gRPC
    /// `/tei.v1.Embed/Embed`. The form of a known route can be named anew, as `BodyForm::Reads` for
    /// the `/` of an endpoint that classifies.
    ///
    /// A model is reached by it: on an endpoint the one model, else the one that the body names. On
    /// the router, a path that begins with a provider's name stays that provider's:
    /// `/novita/v3/openai/chat/completions`.
    ///
    /// Model rules compare the path byte for byte, and for POST. The form also holds for other
    /// spellings of the path (case, doubled and trailing slashes, percent signs), which some
    /// upstreams take for the same. Of two forms for one path, the later holds.
    #[must_use]
    pub fn route(mut self, path: impl Into<Box<str>>, form: BodyForm) -> Self {
        self.routes.push((path.into(), form));
        self
    }

    /// Sets the name by which the output of a chat is limited. The other forms of bodies have one
    /// name each.
    #[must_use]
    pub const fn output_limit(mut self, name: OutputLimit) -> Self {
        self.output_limit = name;
        self
    }

    /// Sets whether a stream is asked for its usage.
    #[must_use]
    pub const fn stream_usage(mut self, usage: StreamUsage) -> Self {
        self.stream_usage = usage;
        self
    }

    /// Sets the header that carries the upstream's token.
    #[must_use]
    pub fn token_header(mut self, header: TokenHeader) -> Self {
        self.token_header = header;
        self
    }

    /// Says that a body with `inputs` generates no text, because the model embeds, ranks, classifies
    /// or draws. By default such a body at `/`, `/invocations`, `/vertex` and `/models/{model}` is
    /// taken for TGI's: it is given a limit of its output, and charged for that.
    #[must_use]
    pub const fn generates_nothing(mut self) -> Self {
        self.generates = false;
        self
    }

    /// Returns the form of the bodies that a path takes.
    ///
    /// Unless the path was [added](Self::route), its end decides, so that routes below a prefix or a
    /// provider's name are known too.
    #[must_use]
    pub fn form(&self, path: &str) -> BodyForm {
        let added = self.routes.iter().rev();
        let same = |route: &&(Box<str>, BodyForm)| route::may_be_same(&route.0, path);
        match added.clone().find(|(route, _)| **route == *path).or_else(|| added.clone().find(same))
        {
            Some((_, form)) => *form,
            None => route::form(path),
        }
    }

    /// Whether the path was added, byte for byte.
    pub(super) fn is_added(&self, path: &str) -> bool {
        self.routes.iter().any(|(route, _)| **route == *path)
    }

    /// Whose reference bodies are held to.
    #[cfg(feature = "schema")]
    pub(crate) const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What the bodies of a request to this path may be.
    #[cfg(any(feature = "throttle", feature = "transform"))]
    pub(crate) fn takes(&self, path: &str) -> Takes {
        let generates = self.generates;
        match self.form(path) {
            BodyForm::Chat => Takes::One(Form::Chat),
            BodyForm::Completion => Takes::One(Form::Completion),
            BodyForm::Responses => Takes::One(Form::Responses),
            BodyForm::Messages => Takes::One(Form::Messages),
            BodyForm::Generate => Takes::Sampled,
            BodyForm::Any => Takes::Any { generates },
            BodyForm::Predict => Takes::Predict { generates },
            BodyForm::Media => Takes::One(Form::Media),
            BodyForm::Unknown => Takes::Unknown,
            BodyForm::Embeddings
            | BodyForm::Embed
            | BodyForm::Rerank
            | BodyForm::Similarity
            | BodyForm::FeatureExtraction
            | BodyForm::SentenceSimilarity
            | BodyForm::Reads => Takes::One(Form::Reads),
        }
    }

    /// The name of the limit that a chat is given.
    #[cfg(any(feature = "throttle", feature = "transform"))]
    pub(crate) const fn limit_of_chats(&self) -> OutputLimit {
        self.output_limit
    }

    /// Whether a stream is asked for its usage.
    #[cfg(any(feature = "throttle", feature = "transform"))]
    pub(crate) fn asks_for_usage(&self) -> bool {
        self.stream_usage == StreamUsage::Asked
    }

    /// The header that carries the upstream's token.
    #[cfg(feature = "hf")]
    pub(crate) fn into_token_header(self) -> TokenHeader {
        self.token_header
    }

    const fn of(kind: Kind) -> Self {
        Self {
            kind,
            dialect: Dialect::Compatible,
            routes: Vec::new(),
            output_limit: OutputLimit::MaxTokens,
            stream_usage: StreamUsage::Asked,
            token_header: TokenHeader::Bearer,
            generates: true,
        }
    }
}

/// [`Profile::compatible`].
impl Default for Profile {
    fn default() -> Self {
        Self::compatible()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(profile: Option<Profile>) -> Option<String> {
        profile.map(|profile| format!("{profile:?}"))
    }

    #[test]
    fn a_host_tells_its_profile_where_that_is_certain() {
        for (host, profile) in [
            ("api.openai.com", Some(Profile::openai())),
            ("API.OpenAI.com", Some(Profile::openai())),
            ("eu.api.openai.com", Some(Profile::openai())),
            ("team.openai.azure.com", Some(Profile::azure_openai())),
            ("api.mistral.ai", Some(Profile::mistral())),
            ("codestral.mistral.ai", Some(Profile::mistral())),
            ("api.anthropic.com", Some(Profile::anthropic())),
            ("router.huggingface.co", Some(Profile::router())),
            // Others serve what they like, and a name within a name proves nothing.
            ("openai.azure.com", None),
            ("evilapi.openai.com", None),
            ("api.openai.com.example", None),
            ("router.huggingface.co.example", None),
            ("team.services.ai.azure.com", None),
            ("x.endpoints.huggingface.cloud", None),
            ("api.groq.com", None),
            ("127.0.0.1", None),
            ("", None),
        ] {
            assert_eq!(same(Profile::of_host(host)), same(profile), "{host}");
        }
    }

    #[test]
    fn a_route_of_ones_own_comes_before_the_known_ones() {
        let profile = Profile::compatible()
            .route("/", BodyForm::Reads)
            .route("/Ask", BodyForm::Unknown)
            .route("/Ask", BodyForm::Chat);
        for (path, form) in [
            ("/", BodyForm::Reads),
            ("//", BodyForm::Reads),
            ("/Ask", BodyForm::Chat),
            ("/Ask/", BodyForm::Chat),
            ("/ASK", BodyForm::Chat),
            ("/%41sk", BodyForm::Chat),
            ("/Asks", BodyForm::Unknown),
            ("/invocations", BodyForm::Any),
        ] {
            assert_eq!(profile.form(path), form, "{path}");
        }
    }
}
