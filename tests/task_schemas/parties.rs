//! What servers and providers take that OpenAI does not: a row and a test for each, with its source.
//!
//! The compatible profile lets each pass. The last column says whether OpenAI's profile refuses it:
//! a row that it refuses fails where both profiles have the same schemas.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    model::{BodyForm, Profile},
    payload::Payload,
    schema::{BuiltInSchemas, SchemaLayer},
};

const CHAT: &str = "/v1/chat/completions";
const COMPLETION: &str = "/v1/completions";
const EMBEDDINGS: &str = "/v1/embeddings";

/// A chat with one more member.
fn with(member: &str, value: Value) -> Value {
    let mut chat = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    chat[member] = value;
    chat
}

/// A chat with one more message.
fn said(message: Value) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}, message]})
}

async fn status(profile: Profile, path: &str, body: &Value) -> StatusCode {
    let upstream = |_: Request<Payload>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    };
    let service = SchemaLayer::built_in(&BuiltInSchemas::new(profile)).layer(service_fn(upstream));
    let request = Request::post(path).header(CONTENT_TYPE, "application/json");
    let request = request.body(Payload::buffered(body.to_string())).unwrap();
    service.oneshot(request).await.unwrap().status()
}

macro_rules! parties {
    ($($name:ident: $party:literal, $source:literal, $path:expr, $body:expr, $openai:ident;)*) => {$(
        #[tokio::test]
        async fn $name() {
            let (path, body) = ($path, $body);
            let compatible = status(Profile::compatible(), path, &body).await;
            assert_eq!(compatible, StatusCode::OK, "{} takes {body}: {}", $party, $source);
            let openai = status(Profile::openai(), path, &body).await;
            assert_eq!(openai, $openai, "OpenAI's profile, {body}");
        }
    )*};
}

const REFUSES: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;
const TAKES: StatusCode = StatusCode::OK;

parties! {
    // vLLM: vllm/entrypoints/openai/chat_completion/protocol.py, unless said otherwise.
    vllm_many_stop_strings: "vLLM", "stop: str | list[str]", CHAT,
        with("stop", json!(["a", "b", "c", "d", "e", "f", "g", "h", "i"])), REFUSES;
    vllm_stop_strings_of_a_completion: "vLLM", "completion/protocol.py, stop", COMPLETION,
        json!({"prompt": "p", "stop": ["a", "b", "c", "d", "e"]}), REFUSES;
    vllm_higher_temperature: "vLLM", "temperature: float", CHAT, with("temperature", json!(3)), REFUSES;
    vllm_all_log_probabilities: "vLLM", "check_logprobs: -1 is all", CHAT,
        json!({"messages": [{"role": "user", "content": "Hi"}], "logprobs": true, "top_logprobs": -1}), REFUSES;
    vllm_more_log_probabilities: "vLLM", "--max-logprobs", CHAT,
        json!({"messages": [{"role": "user", "content": "Hi"}], "logprobs": true, "top_logprobs": 50}), REFUSES;
    vllm_more_choices: "vLLM", "n: int", CHAT, with("n", json!(256)), REFUSES;
    vllm_guided_decoding: "vLLM", "guided_json, before 0.12", CHAT,
        with("guided_json", json!({"type": "object"})), TAKES;
    vllm_structured_outputs: "vLLM", "structured_outputs", CHAT,
        with("structured_outputs", json!({"choice": ["a", "b"]})), TAKES;
    vllm_template_arguments: "vLLM", "chat_template_kwargs", CHAT,
        with("chat_template_kwargs", json!({"enable_thinking": false})), TAKES;
    vllm_any_role: "vLLM", "chat_utils.py, CustomChatCompletionMessageParam", CHAT,
        said(json!({"role": "critic", "content": "Hm."})), REFUSES;
    vllm_strings_among_parts: "vLLM", "chat_utils.py, _parse_chat_message_content_part", CHAT,
        said(json!({"role": "user", "content": ["a", {"type": "text", "text": "b"}]})), REFUSES;
    vllm_assistant_without_content: "vLLM", "chat_utils.py, content is not required", CHAT,
        said(json!({"role": "assistant", "tool_calls": []})), TAKES;
    vllm_tool_without_type: "vLLM", "ChatCompletionToolsParam: type is function", CHAT,
        with("tools", json!([{"function": {"name": "f"}}])), REFUSES;
    vllm_prompt_embeddings: "vLLM", "completion/protocol.py, prompt_embeds", COMPLETION,
        json!({"model": "m", "prompt_embeds": "AAAA"}), REFUSES;
    vllm_messages_to_embed: "vLLM", "pooling/embed/protocol.py, EmbeddingChatRequest", EMBEDDINGS,
        json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}), REFUSES;
    vllm_bytes_of_embeddings: "vLLM", "EncodingFormat: bytes", EMBEDDINGS,
        json!({"input": "a", "encoding_format": "bytes"}), REFUSES;
    vllm_documents_to_rank: "vLLM", "pooling/score/protocol.py, RerankRequest", "/v1/rerank",
        json!({"query": "a", "documents": ["b", "c"], "top_n": 1}), TAKES;
    vllm_messages_of_anthropic: "vLLM", "anthropic/protocol.py", "/v1/messages",
        json!({"model": "m", "max_tokens": 5, "temperature": 1.5,
            "messages": [{"role": "user", "content": "Hi"}]}), TAKES;
    vllm_demo_server: "vLLM", "entrypoints/api_server.py", "/generate",
        json!({"prompt": "Once", "max_tokens": 5}), TAKES;

    // SGLang: python/sglang/srt/entrypoints/openai/protocol.py, unless said otherwise.
    sglang_own_generate: "SGLang", "managers/io_struct.py, GenerateReqInput", "/generate",
        json!({"text": "Once", "sampling_params": {"max_new_tokens": 5}}), TAKES;
    sglang_pictures_to_embed: "SGLang", "MultimodalEmbeddingInput", EMBEDDINGS,
        json!({"input": [{"text": "a"}, {"image": "https://example.com/a.png"}]}), REFUSES;
    sglang_grammars: "SGLang", "regex, ebnf", CHAT, with("ebnf", json!("root ::= \"a\"")), TAKES;

    // llama.cpp: tools/server/README.md.
    llama_cpp_no_limit: "llama.cpp", "n_predict, max_tokens: -1 is infinity", CHAT,
        with("max_tokens", json!(-1)), REFUSES;
    llama_cpp_no_limit_of_a_completion: "llama.cpp", "the same", COMPLETION,
        json!({"prompt": "p", "max_tokens": -1}), REFUSES;
    llama_cpp_greedy: "llama.cpp", "for temperature < 0 the tokens are sampled greedily", CHAT,
        with("temperature", json!(-1)), REFUSES;
    llama_cpp_pairs_of_biases: "llama.cpp", "logit_bias", "/completion",
        json!({"prompt": "p", "logit_bias": [[15043, 1.0], ["Hello", false]]}), REFUSES;
    llama_cpp_mixed_prompt: "llama.cpp", "mixed tokens and strings", "/completion",
        json!({"prompt": [12, 34, "string", 56]}), REFUSES;
    llama_cpp_prompt_with_pictures: "llama.cpp", "prompt_string, multimodal_data", "/completion",
        json!({"prompt": {"prompt_string": "<__media__>", "multimodal_data": ["AA=="]}}), REFUSES;
    llama_cpp_infill: "llama.cpp", "POST /infill", "/infill",
        json!({"input_prefix": "def f(", "input_suffix": "return 1"}), REFUSES;
    llama_cpp_own_embedding: "llama.cpp", "POST /embedding", "/embedding",
        json!({"content": "a"}), REFUSES;
    llama_cpp_schema_beside_the_type: "llama.cpp", "response_format", CHAT,
        with("response_format", json!({"type": "json_schema", "schema": {"type": "object"}})), REFUSES;

    // TGI: router/src/lib.rs. TEI: router/src/http/types.rs.
    tgi_name_of_a_function: "TGI", "ToolChoice", CHAT, with("tool_choice", json!("read_file")), REFUSES;
    tgi_higher_temperature: "TGI", "ChatRequest.temperature", CHAT, with("temperature", json!(2.5)), REFUSES;
    tgi_arguments_as_an_object: "TGI", "FunctionDefinition.arguments", CHAT,
        said(json!({"role": "assistant", "tool_calls": [{"id": "0", "type": "function",
            "function": {"name": "f", "arguments": {"a": 1}}}]})), TAKES;
    tei_texts_to_rank: "TEI", "RerankRequest", "/rerank", json!({"query": "a", "texts": ["b"]}), TAKES;

    // Mistral: mistralai/client-python, docs/models.
    mistral_any_tool: "Mistral", "toolchoiceenum.md", CHAT, with("tool_choice", json!("any")), REFUSES;
    mistral_address_of_a_picture: "Mistral", "imageurlchunk.md", CHAT,
        said(json!({"role": "user", "content": [{"type": "image_url", "image_url": "https://example.com/a.png"}]})), REFUSES;
    mistral_document: "Mistral", "documenturlchunk.md", CHAT,
        said(json!({"role": "user", "content": [{"type": "document_url", "document_url": "https://example.com/a.pdf"}]})), REFUSES;
    mistral_call_without_type: "Mistral", "toolcall.md", CHAT,
        said(json!({"role": "assistant", "tool_calls": [{"id": "0",
            "function": {"name": "f", "arguments": "{}"}}]})), REFUSES;
    mistral_result_of_no_named_call: "Mistral", "toolmessage.md: tool_call_id is nullable", CHAT,
        said(json!({"role": "tool", "name": "f", "content": "1"})), REFUSES;

    // LiteLLM: docs.litellm.ai/docs/proxy/user_keys.
    litellm_free_metadata: "LiteLLM", "metadata", CHAT,
        with("metadata", json!({"tags": ["a"], "trace": {"id": 1}})), REFUSES;
    litellm_fallbacks: "LiteLLM", "proxy/reliability", CHAT, with("fallbacks", json!(["m2"])), TAKES;

    // Ollama: openai/openai.go.
    ollama_any_stop: "Ollama", "ChatCompletionRequest.Stop", CHAT,
        with("stop", json!(["a", "b", "c", "d", "e"])), REFUSES;
    ollama_penalties: "Ollama", "FrequencyPenalty, PresencePenalty", CHAT,
        with("presence_penalty", json!(2.5)), REFUSES;

    // Groq: console.groq.com/docs/api-reference. DeepSeek: api-docs.deepseek.com.
    groq_documents: "Groq", "documents, citation_options", CHAT,
        with("documents", json!([{"source": {"type": "text", "text": "a"}}])), TAKES;
    deepseek_sixteen_stop_strings: "DeepSeek", "stop: up to 16", CHAT,
        with("stop", json!(vec!["a"; 16])), REFUSES;
    deepseek_prefix: "DeepSeek", "guides/chat_prefix_completion", CHAT,
        said(json!({"role": "assistant", "content": "```", "prefix": true, "reasoning_content": null})), TAKES;

    // Together: togethercomputer/openapi, openapi-v4.yaml. Fireworks: docs.fireworks.ai.
    together_number_of_log_probabilities: "Together", "ChatCompletionRequest.logprobs", CHAT,
        with("logprobs", json!(1)), REFUSES;
    together_schema_beside_the_type: "Together", "response_format", CHAT,
        with("response_format", json!({"type": "json", "schema": {"type": "object"}})), REFUSES;
    fireworks_grammar: "Fireworks", "structured-responses/structured-output-grammar-based", CHAT,
        with("response_format", json!({"type": "grammar", "grammar": "root ::= \"a\""})), REFUSES;

    // Cohere and Jina: docs.cohere.com/reference/rerank, api.jina.ai.
    cohere_documents_to_rank: "Cohere", "v2/rerank", "/v2/rerank",
        json!({"model": "m", "query": "a", "documents": [{"text": "b"}]}), TAKES;
    jina_objects_to_embed: "Jina", "embeddings, input", EMBEDDINGS,
        json!({"model": "m", "input": [{"text": "a"}]}), REFUSES;
}

#[tokio::test]
async fn universally_invalid_bodies_are_rejected_by_every_profile() {
    let profiles =
        [Profile::compatible(), Profile::openai(), Profile::anthropic(), Profile::tei("m")];
    for (path, body) in [
        (CHAT, json!({"model": "m"})),
        (CHAT, json!({"messages": []})),
        (CHAT, with("stream", json!("true"))),
        (CHAT, with("max_tokens", json!("5"))),
        (CHAT, with("max_tokens", json!(-2))),
        (CHAT, with("n", json!(0))),
        (CHAT, with("stop", json!([5]))),
        (CHAT, with("tools", json!({}))),
        (CHAT, with("tool_choice", json!(5))),
        (CHAT, said(json!({"content": "no role"}))),
        (CHAT, said(json!({"role": "user"}))),
        (CHAT, said(json!({"role": "user", "content": 5}))),
        (CHAT, said(json!({"role": "user", "content": [{"type": "text"}]}))),
        (CHAT, said(json!({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}))),
        (COMPLETION, json!({"model": "m"})),
        (COMPLETION, json!({"prompt": 5})),
        (EMBEDDINGS, json!({"input": 5})),
        (EMBEDDINGS, json!({"input": []})),
        ("/v1/responses", json!({"model": "m"})),
        ("/v1/messages", json!({"messages": [{"role": "user"}]})),
        ("/rerank", json!({"query": "a"})),
        ("/generate", json!({"sampling_params": {}})),
    ] {
        for profile in profiles.clone() {
            assert_eq!(status(profile, path, &body).await, REFUSES, "{path} {body}");
        }
    }
}

#[tokio::test]
async fn profile_has_the_bounds_of_its_upstream() {
    let messages = |role: &str, temperature: f64| {
        json!({"model": "m", "max_tokens": 5, "temperature": temperature,
            "messages": [{"role": role, "content": "Hi"}]})
    };
    let documents = json!({"query": "a", "documents": ["b"]});
    for (profile, path, body, expected) in [
        (Profile::anthropic(), "/v1/messages", messages("user", 1.0), TAKES),
        (Profile::anthropic(), "/v1/messages", messages("user", 1.5), REFUSES),
        (Profile::anthropic(), "/v1/messages", messages("system", 1.0), REFUSES),
        (Profile::compatible(), "/v1/messages", messages("system", 1.5), TAKES),
        (Profile::tei("m"), "/rerank", documents.clone(), REFUSES),
        (Profile::compatible(), "/rerank", documents, TAKES),
        // A route that has no schema, and one of the user's own.
        (Profile::compatible(), "/tokenize", json!({"content": 5}), TAKES),
        (Profile::compatible(), "/ask", json!({}), TAKES),
        (Profile::compatible().route("/ask", BodyForm::Chat), "/ask", json!({}), REFUSES),
    ] {
        assert_eq!(status(profile, path, &body).await, expected, "{path} {body}");
    }
}
