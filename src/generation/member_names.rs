//! The members of bodies and queries that limit the output.
//!
//! One table has the names of all APIs, because a gateway does not always know which of them the
//! upstream is.

use super::member_path::MemberPath;
use crate::{
    model::{Form, OutputLimit},
    payload::fold_to_ascii,
};

/// A member with an effect on the output.
#[derive(Debug)]
pub(super) struct KnownMember {
    pub(super) name: &'static str,
    pub(super) role: MemberRole,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum MemberRole {
    /// A limit of the output, in tokens.
    Limit,
    /// The number of completions.
    Count,
    /// An object with limits and counts in it.
    Container,
    /// The prompt, which shows the form of a body.
    Mark(Form),
    /// The prompt of a task of Hugging Face.
    Inputs,
    /// A request inside a request.
    Holder,
}

/// Finds a member by its name in any case, because some readers (Go's `encoding/json`) ignore case.
pub(super) fn known(name: &str) -> Option<&'static KnownMember> {
    let name = fold_to_ascii(name, LONGEST)?;
    KNOWN.iter().find(|known| known.name.eq_ignore_ascii_case(&name))
}

/// The length of the longest name below.
const LONGEST: usize = 28;

/// Returns the limit of an edited form at a path.
pub(super) fn form_limit(parent: &MemberPath<'_>, name: &str) -> LimitSet {
    match (parent.depth(), parent.name(), name) {
        (0, _, "max_tokens") => LimitSet::MAX_TOKENS,
        (0, _, "max_completion_tokens") => LimitSet::MAX_COMPLETION_TOKENS,
        (0, _, "max_output_tokens") => LimitSet::MAX_OUTPUT_TOKENS,
        (1, "parameters", "max_new_tokens") => LimitSet::PARAMETERS,
        (1, "sampling_params", "max_new_tokens") => LimitSet::SAMPLING_PARAMS,
        _ => LimitSet::NONE,
    }
}

/// A set of the limits that edited forms have.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct LimitSet(u8);

impl LimitSet {
    pub(super) const NONE: Self = Self(0);
    pub(super) const MAX_TOKENS: Self = Self(1);
    pub(super) const MAX_COMPLETION_TOKENS: Self = Self(2);
    const MAX_OUTPUT_TOKENS: Self = Self(4);
    const PARAMETERS: Self = Self(8);
    const SAMPLING_PARAMS: Self = Self(16);

    pub(super) const fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    pub(super) const fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(super) const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// A form and its limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct FormLimit {
    pub(super) form: Form,
    /// The limits that the form reads.
    pub(super) limits: LimitSet,
    /// The limit to add where all are missing.
    pub(super) added: &'static [&'static str],
    /// The choice of the profile that this row belongs to. `None` for every profile.
    pub(super) choice: Option<OutputLimit>,
}

impl FormLimit {
    const fn of(form: Form, limits: LimitSet, added: &'static [&'static str]) -> Self {
        Self { form, limits, added, choice: None }
    }

    const fn of_chats(choice: OutputLimit, added: &'static [&'static str]) -> Self {
        let limits = LimitSet(LimitSet::MAX_TOKENS.0 | LimitSet::MAX_COMPLETION_TOKENS.0);
        Self { form: Form::Chat, limits, added, choice: Some(choice) }
    }
}

pub(super) const FORM_LIMITS: [FormLimit; 7] = [
    FormLimit::of_chats(OutputLimit::MaxTokens, &["max_tokens"]),
    FormLimit::of_chats(OutputLimit::MaxCompletionTokens, &["max_completion_tokens"]),
    FormLimit::of(Form::Completion, LimitSet::MAX_TOKENS, &["max_tokens"]),
    FormLimit::of(Form::Messages, LimitSet::MAX_TOKENS, &["max_tokens"]),
    FormLimit::of(Form::Responses, LimitSet::MAX_OUTPUT_TOKENS, &["max_output_tokens"]),
    FormLimit::of(Form::Generate, LimitSet::PARAMETERS, &["parameters", "max_new_tokens"]),
    FormLimit::of(
        Form::Sampling,
        LimitSet::SAMPLING_PARAMS,
        &["sampling_params", "max_new_tokens"],
    ),
];

const fn row(role: MemberRole, name: &'static str) -> KnownMember {
    KnownMember { name, role }
}

const KNOWN: [KnownMember; 53] = [
    // OpenAI's chat (platform.openai.com/docs/api-reference), vLLM, SGLang, TGI, llama.cpp, Mistral,
    // Groq, Together, Fireworks, DeepSeek; Anthropic's messages; Cohere's chat.
    row(MemberRole::Limit, "max_tokens"),
    // OpenAI's chat, vLLM, Groq; TGI reads it as `max_tokens` (router/src/lib.rs).
    row(MemberRole::Limit, "max_completion_tokens"),
    // OpenAI's responses.
    row(MemberRole::Limit, "max_output_tokens"),
    // TGI and Hugging Face's tasks in `parameters`, SGLang in `sampling_params`; custom handlers, Replicate and LMDeploy outside of both.
    row(MemberRole::Limit, "max_new_tokens"),
    // Transformers' generation config; KoboldAI, NLP Cloud.
    row(MemberRole::Limit, "max_length"),
    // llama.cpp's own routes (tools/server/README.md).
    row(MemberRole::Limit, "n_predict"),
    // Ollama, in `options` (docs/api.md).
    row(MemberRole::Limit, "num_predict"),
    // Anthropic's text completions.
    row(MemberRole::Limit, "max_tokens_to_sample"),
    // Meta's models on Amazon Bedrock.
    row(MemberRole::Limit, "max_gen_len"),
    // Bedrock's Converse, in `inferenceConfig`; AI21.
    row(MemberRole::Limit, "maxTokens"),
    // Amazon's Titan, in `textGenerationConfig`.
    row(MemberRole::Limit, "maxTokenCount"),
    // Gemini, in `generationConfig` (ai.google.dev/api/generate-content); Vertex AI's older models, in
    // `parameters`.
    row(MemberRole::Limit, "maxOutputTokens"),
    // Aleph Alpha.
    row(MemberRole::Limit, "maximum_tokens"),
    // SambaNova.
    row(MemberRole::Limit, "max_tokens_to_generate"),
    // TensorRT-LLM's and LMDeploy's Triton models.
    row(MemberRole::Limit, "request_output_len"),
    // OpenAI, vLLM, SGLang, TGI, llama.cpp.
    row(MemberRole::Count, "n"),
    row(MemberRole::Count, "best_of"),
    // Transformers.
    row(MemberRole::Count, "num_return_sequences"),
    // Cohere.
    row(MemberRole::Count, "num_generations"),
    // Gemini.
    row(MemberRole::Count, "candidateCount"),
    // AI21.
    row(MemberRole::Count, "numResults"),
    // llama.cpp.
    row(MemberRole::Count, "n_cmpl"),
    row(MemberRole::Container, "parameters"),
    row(MemberRole::Container, "sampling_params"),
    row(MemberRole::Container, "sampling_parameters"),
    row(MemberRole::Container, "options"),
    row(MemberRole::Container, "params"),
    row(MemberRole::Container, "config"),
    row(MemberRole::Container, "extra_body"),
    row(MemberRole::Container, "generation_config"),
    row(MemberRole::Container, "generation_kwargs"),
    row(MemberRole::Container, "generation_parameters"),
    row(MemberRole::Container, "generate_kwargs"),
    row(MemberRole::Container, "generate_parameters"),
    row(MemberRole::Container, "generate_config"),
    row(MemberRole::Container, "gen_kwargs"),
    row(MemberRole::Container, "generationConfig"),
    row(MemberRole::Container, "inferenceConfig"),
    row(MemberRole::Container, "additionalModelRequestFields"),
    row(MemberRole::Container, "textGenerationConfig"),
    row(MemberRole::Mark(Form::Chat), "messages"),
    row(MemberRole::Mark(Form::Completion), "prompt"),
    row(MemberRole::Mark(Form::Sampling), "text"),
    row(MemberRole::Mark(Form::Sampling), "input_ids"),
    row(MemberRole::Mark(Form::Sampling), "input_embeds"),
    row(MemberRole::Mark(Form::Instances), "instances"),
    row(MemberRole::Inputs, "inputs"),
    // Replicate's model, and OpenAI's batches.
    row(MemberRole::Holder, "input"),
    row(MemberRole::Holder, "body"),
    row(MemberRole::Holder, "data"),
    row(MemberRole::Holder, "request"),
    row(MemberRole::Holder, "requests"),
    row(MemberRole::Holder, "payload"),
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
            let is_twice = |other: &KnownMember| other.name.eq_ignore_ascii_case(row.name);
            let twice = KNOWN.iter().skip(index + 1).any(is_twice);
            assert!(!twice, "{}", row.name);
        }
        assert_eq!(known("max_to\u{212a}en\u{17f}").unwrap().name, "max_tokens");
        for name in ["", "max_token", "max-tokens", "max_tokens_", "temperature", "\u{e9}"] {
            assert!(known(name).is_none(), "{name}");
        }
    }

    #[test]
    fn an_added_limit_belongs_to_its_form() {
        for FormLimit { form, limits, added, .. } in FORM_LIMITS {
            let (name, parents) = added.split_last().unwrap();
            let parent = match parents {
                [] => MemberPath::ROOT,
                [parent] => MemberPath::ROOT.member(parent),
                _ => unreachable!(),
            };
            assert!(form_limit(&parent, name).intersects(limits), "{form:?}");
            assert_eq!(known(name).unwrap().role, MemberRole::Limit);
        }
    }
}
