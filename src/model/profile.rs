use std::collections::BTreeMap;

use http::HeaderName;
#[cfg(feature = "hf")]
use http::Method;

#[cfg(any(feature = "throttle", feature = "transform"))]
use super::form::{Form, Takes};
use super::{
    body_form::BodyForm,
    profile_settings::{OutputLimit, StreamUsage, TokenHeader},
    route,
    server::Server,
};

/// The properties of a kind of upstream.
///
/// A profile tells the routes of an upstream and the forms of its bodies. It also tells the name of the
/// output limit, the header of the token and the built-in schemas that apply. Layers use
/// [`Profile::compatible`] by default. The operator chooses a profile or finds it by the upstream's host
/// with [`Profile::from_host`]. The name of a model never decides because the client chooses it.
///
/// ```
/// use tower_inference::model::{BodyForm, OutputLimit, Profile};
///
/// let host = "llm.internal";
/// let profile = Profile::from_host(host).unwrap_or_default();
/// assert_eq!(profile.form("/v1/chat/completions"), BodyForm::Chat);
///
/// // A server with a route of its own and reasoning models.
/// let profile = Profile::compatible()
///     .route("/ask", BodyForm::Chat)
///     .output_limit(OutputLimit::MaxCompletionTokens);
/// assert_eq!(profile.form("/ask"), BodyForm::Chat);
/// ```
///
/// | profile | output limit of a chat | requests the usage of a stream | token | schemas |
/// |---|---|---|---|---|
/// | [`compatible`](Self::compatible), [`router`](Self::router), [`endpoint`](Self::endpoint), [`tgi`](Self::tgi), [`vllm`](Self::vllm), [`llama_cpp`](Self::llama_cpp), [`space`](Self::space) | `max_tokens` | yes | `authorization: Bearer` | what vLLM, SGLang, TGI, TEI, llama.cpp, Ollama, LiteLLM and Mistral accept |
/// | [`openai`](Self::openai) | `max_completion_tokens` | yes | `authorization: Bearer` | OpenAI's, with its bounds |
/// | [`azure_openai`](Self::azure_openai) | `max_completion_tokens` | yes | `api-key` | OpenAI's, with its bounds |
/// | [`mistral`](Self::mistral) | `max_tokens` | no | `authorization: Bearer` | as `compatible` |
/// | [`anthropic`](Self::anthropic) | `max_tokens` | yes, on its compatible routes | `x-api-key` | Anthropic's for messages, else as `compatible` |
/// | [`tei`](Self::tei) | `max_tokens` | yes | `authorization: Bearer` | TEI's for ranking, else as `compatible` |
///
/// The [module docs](super) describe where each upstream reads the model's name.
///
/// # Known paths
///
/// Servers of inference also have routes that manage them. A stage with
/// [`Stage::known_paths_only`](crate::hf::Stage::known_paths_only) sends a request only on these paths.
/// The paths are compared byte for byte. Inference is POST. The list of models at `/v1/models` is GET or
/// HEAD.
///
/// | profile | paths |
/// |---|---|
/// | `compatible`, `endpoint` | all routes that [`RouteLayer`](crate::route::RouteLayer) opens |
/// | `router` | OpenAI's below `/v1`, also below the name of a provider; `/hf-inference/models/{model}` with its tasks |
/// | `openai` | below `/v1`: `audio/*`, `chat/completions`, `completions`, `embeddings`, `images/*`, `moderations`, `responses`, `responses/input_tokens`, `models` |
/// | `azure_openai` | the same below `/openai/v1`; `/openai/deployments/{name}/…` |
/// | `mistral` | below `/v1`: `audio/transcriptions`, `chat/completions`, `chat/moderations`, `embeddings`, `fim/completions`, `moderations`, `models` |
/// | `anthropic` | below `/v1`: `messages`, `messages/count_tokens`, `chat/completions`, `models` |
/// | `tgi` | `/`, `/generate`, `/generate_stream`, `/chat_tokenize`, `/tokenize`, `/invocations`, `/vertex`, and below `/v1`: `chat/completions`, `completions`, `models` |
/// | `tei` | `/`, `/embed`, `/embed_all`, `/embed_sparse`, `/embeddings`, `/v1/embeddings`, `/predict`, `/rerank`, `/similarity`, `/tokenize`, `/decode`, `/invocations`, `/vertex` |
/// | `vllm` | OpenAI's chats, completions, responses, embeddings and audio; Anthropic's messages; `/pooling`, `/classify`, `/score`, `/rerank`, `/tokenize`, `/detokenize`, `/invocations` |
/// | `llama_cpp` | OpenAI's chats, completions, responses, embeddings and transcriptions, also without `/v1`; Anthropic's messages; `/completion`, `/embedding`, `/infill`, `/rerank`, `/reranking`, `/tokenize`, `/detokenize`, `/apply-template` |
/// | `space` | `/gradio_api/call/{function}`, and GET of `/gradio_api/call/{function}/{event}`; both also without `/gradio_api` |
///
/// [`route`](Self::route) adds a path.
#[derive(Clone, Debug)]
pub struct Profile {
    pub(super) kind: Kind,
    server: Server,
    dialect: Dialect,
    // By path, and by what upstreams may read in place of it.
    routes: BTreeMap<Box<str>, BodyForm>,
    normalised_routes: BTreeMap<String, BodyForm>,
    output_limit: OutputLimit,
    stream_usage: StreamUsage,
    token_header: TokenHeader,
    generates: bool,
}

/// The location of the model's name.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Router,
    Server,
    Endpoint(Box<str>),
}

/// The API whose reference the built-in schemas follow.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Dialect {
    Compatible,
    OpenAi,
    Anthropic,
    Tei,
}

impl Profile {
    /// Returns the profile of Hugging Face's Inference Providers at `router.huggingface.co`. The router
    /// has many models of many providers.
    #[must_use]
    pub const fn router() -> Self {
        let mut profile = Self::of(Kind::Router);
        profile.server = Server::Router;
        profile
    }

    /// Returns the profile of a server with OpenAI's API. It is the default of every layer.
    ///
    /// It fits SGLang, Ollama, LiteLLM, Groq, Together, Fireworks, DeepSeek and every server that has no
    /// profile of its own.
    #[must_use]
    pub const fn compatible() -> Self {
        Self::of(Kind::Server)
    }

    /// Returns the profile of OpenAI's own API at `api.openai.com`.
    #[must_use]
    pub const fn openai() -> Self {
        let mut profile = Self::compatible();
        profile.server = Server::OpenAi;
        profile.dialect = Dialect::OpenAi;
        profile.output_limit = OutputLimit::MaxCompletionTokens;
        profile
    }

    /// Returns the profile of OpenAI's models at `*.openai.azure.com`. The token is a key of the resource.
    #[must_use]
    pub fn azure_openai() -> Self {
        let mut profile = Self::openai();
        profile.server = Server::Azure;
        profile.token_header(TokenHeader::Plain(HeaderName::from_static("api-key")))
    }

    /// Returns the profile of Mistral's own API at `api.mistral.ai`.
    ///
    /// It rejects `stream_options` and reports the usage of a stream without it.
    #[must_use]
    pub const fn mistral() -> Self {
        let mut profile = Self::compatible();
        profile.server = Server::Mistral;
        profile.stream_usage(StreamUsage::Unrequested)
    }

    /// Returns the profile of Anthropic's own API at `api.anthropic.com`. Clients send `anthropic-version`.
    #[must_use]
    pub fn anthropic() -> Self {
        let mut profile = Self::compatible();
        profile.server = Server::Anthropic;
        profile.dialect = Dialect::Anthropic;
        profile.token_header(TokenHeader::Plain(HeaderName::from_static("x-api-key")))
    }

    /// Returns the profile of a vLLM server. The body names the model or one of its adapters.
    ///
    /// Its [known paths](Self#known-paths) leave out `/v1/load_lora_adapter`, `/sleep`, `/collective_rpc`
    /// and the like.
    #[must_use]
    pub const fn vllm() -> Self {
        let mut profile = Self::compatible();
        profile.server = Server::Vllm;
        profile
    }

    /// Returns the profile of llama.cpp's server.
    ///
    /// A server of many models takes the model that the body names. A server of one model ignores the
    /// name. Its [known paths](Self#known-paths) leave out `/slots`, `/props`, `/models/load` and the like.
    #[must_use]
    pub const fn llama_cpp() -> Self {
        let mut profile = Self::compatible();
        profile.server = Server::LlamaCpp;
        profile
    }

    /// Returns the profile of a server of one model, such as an Inference Endpoint of any engine.
    ///
    /// An endpoint whose engine is known takes the profile of the engine: [`tgi`](Self::tgi),
    /// [`tei`](Self::tei), [`vllm`](Self::vllm) or [`llama_cpp`](Self::llama_cpp).
    ///
    /// `model` is the model's name for model rules and weights. The name in a body is ignored because
    /// clients send `tgi` or the endpoint's URL or nothing.
    pub fn endpoint(model: impl Into<Box<str>>) -> Self {
        Self::of(Kind::Endpoint(model.into()))
    }

    /// Returns the profile of a Text Generation Inference server of one model.
    pub fn tgi(model: impl Into<Box<str>>) -> Self {
        let mut profile = Self::endpoint(model);
        profile.server = Server::Tgi;
        profile
    }

    /// Returns the profile of a Space with a Gradio app, for `https://{owner}-{space}.hf.space`.
    ///
    /// `app` is the app's name for model rules and weights. The bodies of its functions are of no known
    /// form, so they are never edited. A Space that runs another server takes the profile of that server.
    pub fn space(app: impl Into<Box<str>>) -> Self {
        let mut profile = Self::endpoint(app).generates_nothing();
        profile.server = Server::Space;
        profile
    }

    /// Returns the profile of a Text Embeddings Inference server of one model. It [generates
    /// nothing](Self::generates_nothing).
    pub fn tei(model: impl Into<Box<str>>) -> Self {
        let mut profile = Self::endpoint(model).generates_nothing();
        profile.server = Server::Tei;
        profile.dialect = Dialect::Tei;
        profile
    }

    /// Returns the profile of a well-known host, or `None` for any other host.
    ///
    /// | host | profile |
    /// |---|---|
    /// | `api.openai.com` and its regions | [`openai`](Self::openai) |
    /// | `*.openai.azure.com` | [`azure_openai`](Self::azure_openai) |
    /// | `api.mistral.ai`, `codestral.mistral.ai` | [`mistral`](Self::mistral) |
    /// | `api.anthropic.com` | [`anthropic`](Self::anthropic) |
    /// | `router.huggingface.co` | [`router`](Self::router) |
    ///
    /// Case does not matter. A URL is read for its host.
    ///
    /// A host of Hugging Face's hosting has no profile, because anyone can run any server there. Examples
    /// are `*.endpoints.huggingface.cloud` and `*.hf.space`. The first pattern also matches the API that
    /// manages endpoints.
    #[must_use]
    pub fn from_host(host: &str) -> Option<Self> {
        let host = host_of(host).to_ascii_lowercase();
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

    /// Adds a route with the form of its bodies. Examples are `/pooling` and `/tei.v1.Embed/Embed` (gRPC).
    ///
    /// It can also change the form of a known route. An endpoint that classifies takes `BodyForm::Reads` at
    /// `/`. The last form for a path applies.
    ///
    /// The route reaches the one model of an endpoint or else the model that the body names. On the router
    /// a path that begins with a provider's name stays a route of this provider. An example is
    /// `/novita/v3/openai/chat/completions`.
    ///
    /// Model rules compare the path byte for byte for POST requests. The form also applies to other
    /// spellings of the path that some upstreams accept (case, doubled and trailing slashes, percent
    /// signs).
    #[must_use]
    pub fn route(mut self, path: impl Into<Box<str>>, form: BodyForm) -> Self {
        let path = path.into();
        self.normalised_routes.insert(route::normalised(&path), form);
        self.routes.insert(path, form);
        self
    }

    /// Sets the name of the output limit of a chat. Every other form has only one name.
    #[must_use]
    pub const fn output_limit(mut self, name: OutputLimit) -> Self {
        self.output_limit = name;
        self
    }

    /// Sets whether the gateway requests the usage of a stream.
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

    /// Declares that the model generates no text from `inputs`. It embeds, ranks, classifies or draws.
    ///
    /// By default such a body at `/`, `/invocations`, `/vertex` and `/models/{model}` counts as TGI's. It
    /// then gets an output limit and is charged for it.
    #[must_use]
    pub const fn generates_nothing(mut self) -> Self {
        self.generates = false;
        self
    }

    /// Returns the form of the bodies of a path.
    ///
    /// The end of a path decides unless the path was [added](Self::route). Routes below a prefix or a
    /// provider's name are therefore known too.
    #[must_use]
    pub fn form(&self, path: &str) -> BodyForm {
        let read_alike = || self.normalised_routes.get(&route::ambiguous(path)?);
        // Most profiles have no routes of their own.
        let added =
            if self.routes.is_empty() { None } else { self.routes.get(path).or_else(read_alike) };
        added.copied().unwrap_or_else(|| self.server.form(path))
    }

    /// Returns the provider as OpenTelemetry names it in `gen_ai.provider.name`. `None` for a server of
    /// an unknown kind.
    ///
    /// `huggingface`, `llama_cpp` and `vllm` are names of this crate, which the conventions allow.
    #[cfg(feature = "hf")]
    pub(crate) const fn provider_name(&self) -> Option<&'static str> {
        match (self.server, &self.kind) {
            (Server::OpenAi, _) => Some("openai"),
            (Server::Azure, _) => Some("azure.ai.openai"),
            (Server::Anthropic, _) => Some("anthropic"),
            (Server::Mistral, _) => Some("mistral_ai"),
            (Server::LlamaCpp, _) => Some("llama_cpp"),
            (Server::Vllm, _) => Some("vllm"),
            (Server::Router | Server::Space | Server::Tei | Server::Tgi, _)
            | (Server::Any, Kind::Endpoint(_)) => Some("huggingface"),
            (Server::Any, _) => None,
        }
    }

    /// Returns the routes that were added.
    pub(crate) fn added_routes(&self) -> impl Iterator<Item = (&str, BodyForm)> {
        self.routes.iter().map(|(path, form)| (&**path, *form))
    }

    /// Returns whether the upstream has this route of inference, or the operator added it.
    ///
    /// An added path takes every method. A known path keeps its own.
    #[cfg(feature = "hf")]
    pub(crate) fn has_route(&self, method: &Method, path: &str) -> bool {
        self.server.has(method, path)
            || self.is_added(path)
                && (*method == Method::POST || !self.server.has(&Method::POST, path))
    }

    /// Returns whether a path calls a function of a Space.
    pub(super) fn is_function(&self, path: &str) -> bool {
        self.server.is_function(path)
    }

    /// Returns whether exactly this path was added.
    pub(super) fn is_added(&self, path: &str) -> bool {
        self.routes.contains_key(path)
    }

    /// Returns the API whose reference the built-in schemas follow.
    #[cfg(feature = "schema")]
    pub(crate) const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Returns the forms that a path takes.
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

    /// Returns the name of the output limit of a chat.
    #[cfg(any(feature = "fallback", feature = "throttle", feature = "transform"))]
    pub(crate) const fn limit_of_chats(&self) -> OutputLimit {
        self.output_limit
    }

    /// Returns whether the gateway requests the usage of a stream.
    #[cfg(any(feature = "fallback", feature = "throttle", feature = "transform"))]
    pub(crate) fn requests_usage(&self) -> bool {
        self.stream_usage == StreamUsage::Requested
    }

    /// Returns the header that carries the upstream's token.
    #[cfg(feature = "hf")]
    pub(crate) fn into_token_header(self) -> TokenHeader {
        self.token_header
    }

    /// Returns the name of the header that carries the upstream's token.
    #[cfg(feature = "hf")]
    pub(crate) fn token_header_name(&self) -> HeaderName {
        self.token_header.name()
    }

    const fn of(kind: Kind) -> Self {
        Self {
            kind,
            server: Server::Any,
            dialect: Dialect::Compatible,
            routes: BTreeMap::new(),
            normalised_routes: BTreeMap::new(),
            output_limit: OutputLimit::MaxTokens,
            stream_usage: StreamUsage::Requested,
            token_header: TokenHeader::Bearer,
            generates: true,
        }
    }
}

/// Returns the host of a URL, or a host without its port.
fn host_of(text: &str) -> &str {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => host,
    }
}

impl Default for Profile {
    /// Returns [`Profile::compatible`].
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
    fn a_well_known_host_has_its_profile() {
        for (host, profile) in [
            ("api.openai.com", Some(Profile::openai())),
            ("API.OpenAI.com", Some(Profile::openai())),
            ("eu.api.openai.com", Some(Profile::openai())),
            ("team.openai.azure.com", Some(Profile::azure_openai())),
            ("api.mistral.ai", Some(Profile::mistral())),
            ("codestral.mistral.ai", Some(Profile::mistral())),
            ("api.anthropic.com", Some(Profile::anthropic())),
            ("router.huggingface.co", Some(Profile::router())),
            // Other hosts may be anything, also those that contain a well-known name.
            ("openai.azure.com", None),
            ("evilapi.openai.com", None),
            ("api.openai.com.example", None),
            ("router.huggingface.co.example", None),
            ("team.services.ai.azure.com", None),
            ("x.endpoints.huggingface.cloud", None),
            ("api.endpoints.huggingface.cloud", None),
            ("owner-space.hf.space", None),
            ("api.groq.com", None),
            ("127.0.0.1", None),
            ("", None),
        ] {
            assert_eq!(same(Profile::from_host(host)), same(profile), "{host}");
        }
    }

    #[test]
    fn an_added_route_precedes_the_known_ones() {
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
