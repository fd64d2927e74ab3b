//! The members of bodies, and of queries, that say how much is generated.
//!
//! One table for all parties. A name is known wherever one of them reads it, because a gateway does
//! not always know which of them is behind it.

use super::read::Place;
use crate::{
    model::{Form, OutputLimit},
    payload::fold_to_ascii,
};

/// A member that matters here.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) role: Role,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    /// A limit of the output, in tokens.
    Limit,
    /// How many answers are generated.
    Count,
    /// An object with limits and counts in it.
    Container,
    /// The prompt, by which the form of a body is told.
    Mark(Form),
    /// The prompt of a task of Hugging Face.
    Inputs,
    /// Requests inside of a request.
    Holder,
}

/// Finds a member by its name, in any case: readers that fold it (Go's `encoding/json`) take one for
/// the other.
pub(super) fn known(name: &str) -> Option<&'static Known> {
    let name = fold_to_ascii(name, LONGEST)?;
    KNOWN.iter().find(|known| known.name.eq_ignore_ascii_case(&name))
}

/// The length of the longest name below.
const LONGEST: usize = 28;

/// Which limit of the forms that are edited is found at a place.
pub(super) fn own_limit(around: &Place<'_>, name: &str) -> Own {
    match (around.depth(), around.name(), name) {
        (0, _, "max_tokens") => Own::MAX_TOKENS,
        (0, _, "max_completion_tokens") => Own::MAX_COMPLETION_TOKENS,
        (0, _, "max_output_tokens") => Own::MAX_OUTPUT_TOKENS,
        (1, "parameters", "max_new_tokens") => Own::PARAMETERS,
        (1, "sampling_params", "max_new_tokens") => Own::SAMPLING_PARAMS,
        _ => Own::NONE,
    }
}

/// A set of the limits that forms have of their own.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Own(u8);

impl Own {
    pub(super) const NONE: Self = Self(0);
    const MAX_TOKENS: Self = Self(1);
    const MAX_COMPLETION_TOKENS: Self = Self(2);
    const MAX_OUTPUT_TOKENS: Self = Self(4);
    const PARAMETERS: Self = Self(8);
    const SAMPLING_PARAMS: Self = Self(16);

    pub(super) const fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(super) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// A form that is given a limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limited {
    pub(super) form: Form,
    /// The limits that the form reads.
    pub(super) own: Own,
    /// The one that is put in.
    pub(super) put: &'static [&'static str],
    /// Where the profile chooses among several: which of them this is.
    pub(super) name: Option<OutputLimit>,
}

impl Limited {
    const fn of(form: Form, own: Own, put: &'static [&'static str]) -> Self {
        Self { form, own, put, name: None }
    }

    const fn of_chats(name: OutputLimit, put: &'static [&'static str]) -> Self {
        let own = Own(Own::MAX_TOKENS.0 | Own::MAX_COMPLETION_TOKENS.0);
        Self { form: Form::Chat, own, put, name: Some(name) }
    }
}

pub(super) const LIMITED: [Limited; 7] = [
    Limited::of_chats(OutputLimit::MaxTokens, &["max_tokens"]),
    Limited::of_chats(OutputLimit::MaxCompletionTokens, &["max_completion_tokens"]),
    Limited::of(Form::Completion, Own::MAX_TOKENS, &["max_tokens"]),
    Limited::of(Form::Messages, Own::MAX_TOKENS, &["max_tokens"]),
    Limited::of(Form::Responses, Own::MAX_OUTPUT_TOKENS, &["max_output_tokens"]),
    Limited::of(Form::Generate, Own::PARAMETERS, &["parameters", "max_new_tokens"]),
    Limited::of(Form::Sampling, Own::SAMPLING_PARAMS, &["sampling_params", "max_new_tokens"]),
];

const fn row(role: Role, name: &'static str) -> Known {
    Known { name, role }
}

const KNOWN: [Known; 53] = [
    // OpenAI's chat (platform.openai.com/docs/api-reference), vLLM, SGLang, TGI, llama.cpp, Mistral,
    // Groq, Together, Fireworks, DeepSeek; Anthropic's messages; Cohere's chat.
    row(Role::Limit, "max_tokens"),
    // OpenAI's chat, vLLM, Groq; TGI reads it as `max_tokens` (router/src/lib.rs).
    row(Role::Limit, "max_completion_tokens"),
    // OpenAI's responses.
    row(Role::Limit, "max_output_tokens"),
    // TGI and Hugging Face's tasks in `parameters`, SGLang in `sampling_params`; handlers of one's
    // own, Replicate and LMDeploy outside of both.
    row(Role::Limit, "max_new_tokens"),
    // Transformers' generation config; KoboldAI, NLP Cloud.
    row(Role::Limit, "max_length"),
    // llama.cpp's own routes (tools/server/README.md).
    row(Role::Limit, "n_predict"),
    // Ollama, in `options` (docs/api.md).
    row(Role::Limit, "num_predict"),
    // Anthropic's text completions.
    row(Role::Limit, "max_tokens_to_sample"),
    // Meta's models on Amazon Bedrock.
    row(Role::Limit, "max_gen_len"),
    // Bedrock's Converse, in `inferenceConfig`; AI21.
    row(Role::Limit, "maxTokens"),
    // Amazon's Titan, in `textGenerationConfig`.
    row(Role::Limit, "maxTokenCount"),
    // Gemini, in `generationConfig` (ai.google.dev/api/generate-content); Vertex AI's older models, in
    // `parameters`.
    row(Role::Limit, "maxOutputTokens"),
    // Aleph Alpha.
    row(Role::Limit, "maximum_tokens"),
    // SambaNova.
    row(Role::Limit, "max_tokens_to_generate"),
    // TensorRT-LLM's and LMDeploy's Triton models.
    row(Role::Limit, "request_output_len"),
    // OpenAI, vLLM, SGLang, TGI, llama.cpp.
    row(Role::Count, "n"),
    row(Role::Count, "best_of"),
    // Transformers.
    row(Role::Count, "num_return_sequences"),
    // Cohere.
    row(Role::Count, "num_generations"),
    // Gemini.
    row(Role::Count, "candidateCount"),
    // AI21.
    row(Role::Count, "numResults"),
    // llama.cpp.
    row(Role::Count, "n_cmpl"),
    row(Role::Container, "parameters"),
    row(Role::Container, "sampling_params"),
    row(Role::Container, "sampling_parameters"),
    row(Role::Container, "options"),
    row(Role::Container, "params"),
    row(Role::Container, "config"),
    row(Role::Container, "extra_body"),
    row(Role::Container, "generation_config"),
    row(Role::Container, "generation_kwargs"),
    row(Role::Container, "generation_parameters"),
    row(Role::Container, "generate_kwargs"),
    row(Role::Container, "generate_parameters"),
    row(Role::Container, "generate_config"),
    row(Role::Container, "gen_kwargs"),
    row(Role::Container, "generationConfig"),
    row(Role::Container, "inferenceConfig"),
    row(Role::Container, "additionalModelRequestFields"),
    row(Role::Container, "textGenerationConfig"),
    row(Role::Mark(Form::Chat), "messages"),
    row(Role::Mark(Form::Completion), "prompt"),
    row(Role::Mark(Form::Sampling), "text"),
    row(Role::Mark(Form::Sampling), "input_ids"),
    row(Role::Mark(Form::Sampling), "input_embeds"),
    row(Role::Mark(Form::Instances), "instances"),
    row(Role::Inputs, "inputs"),
    // Replicate's model, and OpenAI's batches.
    row(Role::Holder, "input"),
    row(Role::Holder, "body"),
    row(Role::Holder, "data"),
    row(Role::Holder, "request"),
    row(Role::Holder, "requests"),
    row(Role::Holder, "payload"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_and_once() {
        for (index, row) in KNOWN.iter().enumerate() {
            for name in [row.name.to_owned(), row.name.to_uppercase(), row.name.to_lowercase()] {
                assert_eq!(known(&name).unwrap().name, row.name);
            }
            assert!(row.name.is_ascii() && row.name.len() <= LONGEST);
            let is_twice = |other: &Known| other.name.eq_ignore_ascii_case(row.name);
            let twice = KNOWN.iter().skip(index + 1).any(is_twice);
            assert!(!twice, "{}", row.name);
        }
        assert_eq!(known("max_to\u{212a}en\u{17f}").unwrap().name, "max_tokens");
        for name in ["", "max_token", "max-tokens", "max_tokens_", "temperature", "\u{e9}"] {
            assert!(known(name).is_none(), "{name}");
        }
    }

    #[test]
    fn what_is_put_in_is_a_limit_of_the_form() {
        for Limited { form, own, put, .. } in LIMITED {
            let (name, around) = put.split_last().unwrap();
            let place = match around {
                [] => Place::ROOT,
                [around] => Place::ROOT.member(around),
                _ => unreachable!(),
            };
            assert!(own_limit(&place, name).meets(own), "{form:?}");
            assert_eq!(known(name).unwrap().role, Role::Limit);
        }
    }
}
