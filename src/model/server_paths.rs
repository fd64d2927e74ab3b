//! The routes of inference that each kind of upstream has.
//!
//! The same servers have routes that manage models, adapters, caches or the server itself. None of
//! these routes is listed.

use http::Method;

use super::{
    known_routes, name, route,
    server::{Server, gradio_words},
};

/// Below `/v1` of api.openai.com.
const OPENAI: &[&str] = &[
    "/audio/speech",
    "/audio/transcriptions",
    "/audio/translations",
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/images/edits",
    "/images/generations",
    "/images/variations",
    "/moderations",
    "/responses",
    "/responses/input_tokens",
];

/// Below `/openai/deployments/{name}` of Azure.
const AZURE_DEPLOYMENTS: &[&str] = &[
    "/audio/speech",
    "/audio/transcriptions",
    "/audio/translations",
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/images/edits",
    "/images/generations",
];

const ANTHROPIC: &[&str] = &["/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens"];

const MISTRAL: &[&str] = &[
    "/v1/audio/transcriptions",
    "/v1/chat/completions",
    "/v1/chat/moderations",
    "/v1/embeddings",
    "/v1/fim/completions",
    "/v1/moderations",
];

/// As `router/src/server.rs` of TGI lists them.
const TGI: &[&str] = &[
    "/",
    "/chat_tokenize",
    "/generate",
    "/generate_stream",
    "/invocations",
    "/tokenize",
    "/v1/chat/completions",
    "/v1/completions",
    "/vertex",
];

/// As `router/src/http/server.rs` of TEI lists them.
const TEI: &[&str] = &[
    "/",
    "/decode",
    "/embed",
    "/embed_all",
    "/embed_sparse",
    "/embeddings",
    "/invocations",
    "/predict",
    "/rerank",
    "/similarity",
    "/tokenize",
    "/v1/embeddings",
    "/vertex",
];

/// As the page "Online Serving" of vLLM lists them.
const VLLM: &[&str] = &[
    "/classify",
    "/detokenize",
    "/invocations",
    "/pooling",
    "/rerank",
    "/score",
    "/tokenize",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/rerank",
    "/v1/responses",
    "/v1/score",
    "/v2/rerank",
];

/// As `tools/server/server.cpp` of llama.cpp lists them. `/models/load` and the like are not among them.
const LLAMA_CPP: &[&str] = &[
    "/apply-template",
    "/audio/transcriptions",
    "/chat/completions",
    "/chat/completions/input_tokens",
    "/completion",
    "/completions",
    "/detokenize",
    "/embedding",
    "/embeddings",
    "/infill",
    "/rerank",
    "/reranking",
    "/responses",
    "/responses/input_tokens",
    "/tokenize",
    "/v1/audio/transcriptions",
    "/v1/chat/completions",
    "/v1/chat/completions/input_tokens",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/rerank",
    "/v1/reranking",
    "/v1/responses",
    "/v1/responses/input_tokens",
];

impl Server {
    /// Returns whether the upstream has this route of inference or lists its models there. The path is
    /// compared byte for byte.
    pub(super) fn has(self, method: &Method, path: &str) -> bool {
        if *method == Method::GET || *method == Method::HEAD {
            return match self {
                // TEI has no list. The path of an event has the name of its call.
                Self::Tei => false,
                Self::Space => gradio_words(path) == Some(2),
                Self::Azure => below_openai(path) == known_routes::MODELS,
                _ => path == known_routes::MODELS,
            };
        }
        if *method != Method::POST {
            return false;
        }
        match self {
            Self::Any => {
                known_routes::FIXED.iter().any(|(known, _)| *known == path)
                    || known_routes::of_model(path).is_some()
            }
            Self::Anthropic => ANTHROPIC.contains(&path),
            Self::Azure => is_of_azure(below_openai(path)),
            Self::LlamaCpp => LLAMA_CPP.contains(&path),
            Self::Mistral => MISTRAL.contains(&path),
            Self::OpenAi => is_of_openai(path),
            Self::Router => is_of_router(path),
            Self::Space => gradio_words(path) == Some(1),
            Self::Tei => TEI.contains(&path),
            Self::Tgi => TGI.contains(&path),
            Self::Vllm => VLLM.contains(&path),
        }
    }
}

fn is_of_openai(path: &str) -> bool {
    path.strip_prefix("/v1").is_some_and(|path| OPENAI.contains(&path))
}

/// Returns the path without the `/openai` that may also end the origin.
fn below_openai(path: &str) -> &str {
    path.strip_prefix("/openai").unwrap_or(path)
}

fn is_of_azure(path: &str) -> bool {
    let of_deployment = |rest: &str| {
        rest.split_once('/').is_some_and(|(deployment, _)| {
            let route = rest.get(deployment.len()..).unwrap_or_default();
            name::is_word(deployment) && AZURE_DEPLOYMENTS.contains(&route)
        })
    };
    is_of_openai(path) || path.strip_prefix("/deployments/").is_some_and(of_deployment)
}

/// Returns whether a path of the router is of inference. Routes of a provider's own are not known.
fn is_of_router(path: &str) -> bool {
    let of_provider = || {
        let rest = path.strip_prefix('/')?;
        let (provider, _) = rest.split_once('/')?;
        let rest = rest.get(provider.len()..)?;
        Some(name::is_word(provider) && provider != "v1" && route::is_openai_of_provider(rest))
    };
    route::is_openai(path)
        || known_routes::of_model(path).is_some()
        || of_provider().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::BodyForm;

    const ALL: [Server; 11] = [
        Server::Any,
        Server::Anthropic,
        Server::Azure,
        Server::LlamaCpp,
        Server::Mistral,
        Server::OpenAi,
        Server::Router,
        Server::Space,
        Server::Tei,
        Server::Tgi,
        Server::Vllm,
    ];

    #[test]
    fn each_server_has_its_routes_of_inference() {
        use Server::{
            Anthropic, Any, Azure, LlamaCpp, Mistral, OpenAi, Router, Space, Tei, Tgi, Vllm,
        };
        for (path, servers) in [
            (
                "/v1/chat/completions",
                &[Any, Anthropic, Azure, LlamaCpp, Mistral, OpenAi, Router, Tgi, Vllm][..],
            ),
            ("/v1/embeddings", &[Any, Azure, LlamaCpp, Mistral, OpenAi, Router, Tei, Vllm]),
            ("/v1/messages", &[Any, Anthropic, LlamaCpp, Router, Vllm]),
            ("/v1/images/generations", &[Any, Azure, OpenAi, Router]),
            ("/v1/fim/completions", &[Mistral]),
            ("/openai/v1/responses", &[Azure, Router]),
            ("/openai/deployments/gpt-4o/chat/completions", &[Azure]),
            ("/deployments/gpt-4o/embeddings", &[Azure]),
            ("/together/v1/chat/completions", &[Router]),
            ("/groq/openai/v1/chat/completions", &[Router]),
            ("/hf-inference/models/org/m", &[Any, Router]),
            ("/models/m/pipeline/feature-extraction", &[Any, Router]),
            ("/gradio_api/call/predict", &[Space]),
            ("/call/generate", &[Space]),
            ("/", &[Any, Tei, Tgi]),
            ("/generate_stream", &[Any, Tgi]),
            ("/invocations", &[Any, Tei, Tgi, Vllm]),
            ("/embed", &[Any, Tei]),
            ("/rerank", &[Any, LlamaCpp, Tei, Vllm]),
            ("/tokenize", &[Any, LlamaCpp, Tei, Tgi, Vllm]),
            ("/pooling", &[Any, Vllm]),
            ("/infill", &[Any, LlamaCpp]),
            ("/chat/completions", &[LlamaCpp]),
            ("/apply-template", &[LlamaCpp]),
        ] {
            let found: Vec<_> = ALL.into_iter().filter(|it| it.has(&Method::POST, path)).collect();
            assert_eq!(found, servers, "{path}");
        }
    }

    #[test]
    fn no_server_has_a_route_that_manages_it() {
        for path in [
            "/_custom_router/set-backends",
            "/_custom_router/health",
            "/metrics",
            "/info",
            "/health",
            "/ping",
            "/docs",
            "/api-doc/openapi.json",
            "/props",
            "/slots",
            "/slots/0",
            "/lora",
            "/lora-adapters",
            "/models",
            "/models/load",
            "/models/unload",
            "/tools",
            "/cors-proxy",
            "/v1/load_lora_adapter",
            "/v1/unload_lora_adapter",
            "/sleep",
            "/wake_up",
            "/reset_prefix_cache",
            "/collective_rpc",
            "/shutdown",
            "/v2/health/ready",
            "/v2/models/m/infer",
            "/v2/repository/index",
            "/v2/endpoint/ns/name",
            "/v1/files",
            "/v1/fine_tuning/jobs",
            "/v1/messages/batches",
            "/v1/organization/admin_api_keys",
            "/openai/files",
            "/openai/deployments/gpt-4o",
            "/api/whoami-v2",
            "/fal-ai/storage/upload",
            "/gradio_api/upload",
            "/gradio_api/file=/etc/passwd",
            "/config",
            "/queue/join",
        ] {
            for server in ALL {
                for method in [Method::GET, Method::POST, Method::DELETE] {
                    assert!(!server.has(&method, path), "{server:?} {method} {path}");
                }
            }
        }
    }

    #[test]
    fn another_spelling_of_a_path_is_another_path() {
        for path in [
            "/v1/chat/completions/",
            "//v1/chat/completions",
            "/v1//chat/completions",
            "/v1/./chat/completions",
            "/x/../v1/chat/completions",
            "/v1/chat%2Fcompletions",
            "/v1/chat/completions;x",
            "/V1/chat/completions",
            "/together/../v1/v1/chat/completions",
            "/%74ogether/v1/chat/completions",
            "/../v1/chat/completions",
            "/models/../metrics",
            "/models/a%2F..%2Fb",
            "/deployments/../chat/completions",
            "/deployments/a%2Fb/chat/completions",
            "/deployments/gpt/../../chat/completions",
            "/call/..",
            "/call/a/../../config",
            "/call/",
            "/gradio_api/call/a/b/c",
            "",
            "*",
        ] {
            for server in ALL {
                for method in [Method::GET, Method::POST] {
                    assert!(!server.has(&method, path), "{server:?} {method} {path}");
                }
            }
        }
    }

    #[test]
    fn models_are_listed_by_get_and_inference_is_post() {
        for server in ALL {
            let lists = !matches!(server, Server::Tei | Server::Space);
            assert_eq!(server.has(&Method::GET, "/v1/models"), lists, "{server:?}");
            assert_eq!(server.has(&Method::HEAD, "/v1/models"), lists, "{server:?}");
            assert!(!server.has(&Method::POST, "/v1/models"), "{server:?}");
            assert!(!server.has(&Method::DELETE, "/v1/models"), "{server:?}");
            // At OpenAI it lists the chats of other callers.
            assert!(!server.has(&Method::GET, "/v1/chat/completions"), "{server:?}");
        }
        assert!(Server::Azure.has(&Method::GET, "/openai/v1/models"));
        assert!(Server::Space.has(&Method::GET, "/gradio_api/call/predict/4f9c"));
        assert!(!Server::Space.has(&Method::POST, "/gradio_api/call/predict/4f9c"));
    }

    /// The lists of other servers are summarised in the docs.
    #[test]
    fn documented_paths_are_the_known_ones() {
        let docs = include_str!("profile.rs");
        for (row, known) in [("tgi", TGI), ("tei", TEI)] {
            let start = format!("/// | `{row}` | ");
            let line = docs.lines().find_map(|line| line.strip_prefix(&*start)).unwrap();
            let (own, below_v1) = line.split_once("below `/v1`: ").unwrap_or((line, ""));
            let named = |text: &str| -> Vec<String> {
                text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
            };
            let below_v1 = named(below_v1).into_iter().map(|name| format!("/v1/{name}"));
            let mut documented: Vec<_> = named(own).into_iter().chain(below_v1).collect();
            documented.retain(|path| path != "/v1/models");
            documented.sort_unstable();
            assert_eq!(documented, known, "{row}");
        }
    }

    #[test]
    fn every_route_of_a_server_has_a_form() {
        for path in [ANTHROPIC, MISTRAL, TGI, TEI, VLLM, LLAMA_CPP].concat() {
            assert_ne!(route::form(path), BodyForm::Unknown, "{path}");
        }
        assert_eq!(Server::Space.form("/gradio_api/call/generate"), BodyForm::Unknown);
        assert_eq!(Server::Space.form("/v1/chat/completions"), BodyForm::Chat);
    }
}
