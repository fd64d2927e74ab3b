//! Differences from Hugging Face's specifications with their reasons.

use serde_json::{Value, json};

use self::{Mutation::*, Verdict::*};

/// One change of a body, at one place.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Mutation {
    Removed,
    Null,
    Boolean,
    Integer,
    Fraction,
    Text,
    EmptyArray,
    Texts,
    Object,
    // Of numbers alone.
    Zero,
    Negative,
    Million,
}

/// Where our verdict is another than theirs.
pub(crate) struct Difference {
    pub(crate) task: &'static str,
    /// JSON pointers; `*` is any one step.
    pub(crate) at: &'static [&'static str],
    pub(crate) by: &'static [Mutation],
    ours: Verdict,
    pub(crate) why: &'static str,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Accepts,
    Refuses,
}

const fn differs(
    task: &'static str,
    at: &'static [&'static str],
    by: &'static [Mutation],
    ours: Verdict,
    why: &'static str,
) -> Difference {
    Difference { task, at, by, ours, why }
}

/// All there are. A row that explains nothing any more fails the test.
pub(crate) const DIFFERENCES: [Difference; 38] = [
    differs(
        "chat_completion",
        &["/messages"],
        &[EmptyArray],
        Refuses,
        "no upstream answers a chat without messages",
    ),
    differs(
        "chat_completion",
        &["/messages/0"],
        &[Removed],
        Refuses,
        "the same: it was the only message",
    ),
    differs(
        "chat_completion",
        &["/messages/*/role"],
        &[Text],
        Refuses,
        "theirs takes any string, whose template then fails; OpenAI has six roles",
    ),
    differs(
        "chat_completion",
        &["/messages/*/content"],
        &[EmptyArray],
        Refuses,
        "OpenAI wants at least one part",
    ),
    differs(
        "chat_completion",
        &["/messages/*/content/0"],
        &[Removed],
        Refuses,
        "the same: it was the only part",
    ),
    differs(
        "chat_completion",
        &["/messages/2/content"],
        &[Null, Text, EmptyArray],
        Accepts,
        "an assistant may speak and call tools at once, or do neither; theirs has either",
    ),
    differs(
        "chat_completion",
        &["/messages/2/content"],
        &[Boolean, Integer, Fraction, Texts, Object],
        Refuses,
        "theirs does not look at the content of a message that calls tools",
    ),
    differs(
        "chat_completion",
        &["/messages/2/tool_calls"],
        &[Removed, Null],
        Accepts,
        "a model may have said nothing: what it said comes back with the nulls",
    ),
    differs(
        "chat_completion",
        &["/messages/*/tool_calls/*/function/arguments"],
        &[Removed, Null, Boolean, Integer, Fraction, EmptyArray, Texts],
        Refuses,
        "theirs does not name the arguments of a call; OpenAI requires them as a string",
    ),
    differs(
        "chat_completion",
        &["/messages/*/tool_call_id"],
        &[Removed, Null, Boolean, Integer, Fraction, EmptyArray, Texts, Object],
        Refuses,
        "theirs has no name for it; OpenAI requires that an answer names its call",
    ),
    differs(
        "chat_completion",
        &["/tools/*/function/parameters"],
        &[Boolean, Integer, Fraction, Text, EmptyArray, Texts],
        Refuses,
        "theirs takes anything; OpenAI wants a schema that is an object",
    ),
    differs(
        "chat_completion",
        &["/tool_choice/type"],
        &[Null, Boolean, Integer, Fraction, EmptyArray, Texts, Object],
        Refuses,
        "theirs has no name for it; OpenAI has, and a string it is",
    ),
    differs(
        "chat_completion",
        &["/stream"],
        &[Null],
        Accepts,
        "OpenAI's clients may send null for whatever is optional",
    ),
    differs("chat_completion", &["/stop"], &[Text], Accepts, "OpenAI takes a string for one"),
    differs(
        "chat_completion",
        &["/logit_bias"],
        &[Object],
        Accepts,
        "OpenAI's is a map of tokens, theirs an array",
    ),
    differs(
        "chat_completion",
        &["/logit_bias/*"],
        &[Million],
        Refuses,
        "OpenAI's goes to 100; theirs states no bounds",
    ),
    differs(
        "chat_completion",
        &["/frequency_penalty", "/presence_penalty"],
        &[Negative, Million],
        Refuses,
        "OpenAI's go from -2 to 2, as in TGI's and vLLM's code; theirs states no bounds",
    ),
    differs(
        "chat_completion",
        &["/temperature", "/top_p"],
        &[Negative, Million],
        Refuses,
        "OpenAI's go to 2 and 1; theirs states no bounds",
    ),
    differs(
        "chat_completion",
        &["/n"],
        &[Zero, Million],
        Refuses,
        "OpenAI's goes from 1 to 128; theirs states no upper bound",
    ),
    differs("chat_completion", &["/top_logprobs"], &[Million], Refuses, "OpenAI's goes to 20"),
    differs(
        "chat_completion",
        &["/max_tokens"],
        &[Zero],
        Refuses,
        "OpenAI, TGI and vLLM refuse to generate nothing",
    ),
    differs("chat_completion", &["/seed"], &[Negative], Accepts, "OpenAI's is signed"),
    differs(
        "text_generation",
        &["/parameters/seed", "/parameters/top_n_tokens"],
        &[Zero],
        Accepts,
        "TGI's code takes 0, whatever its specification says",
    ),
    differs(
        "text_generation",
        &["/parameters/frequency_penalty"],
        &[Million],
        Refuses,
        "TGI's code refuses more than 2; its specification has the lower bound alone",
    ),
    differs(
        "document_question_answering",
        &["/inputs/image"],
        &[Null, Boolean, Integer, Fraction, EmptyArray, Texts, Object],
        Refuses,
        "theirs says binary, without a type; JSON has base64 text for that, or a URL",
    ),
    differs(
        "document_question_answering",
        &["/parameters/word_boxes/*"],
        &[EmptyArray],
        Refuses,
        "a box has four numbers; theirs says it in a keyword for strings",
    ),
    differs(
        "document_question_answering",
        &["/parameters/word_boxes/1/*"],
        &[Removed],
        Refuses,
        "the same: three numbers are no box",
    ),
    differs(
        "image_to_text",
        &["/inputs"],
        &[Null, Boolean, Integer, Fraction, EmptyArray, Texts, Object],
        Refuses,
        "theirs says binary, without a type; JSON has base64 text for that, or a URL",
    ),
    differs(
        "chat_completion_response",
        &["/system_fingerprint", "/usage"],
        &[Removed, Null],
        Accepts,
        "TGI always sends them; OpenAI and others may leave them out",
    ),
    differs(
        "chat_completion_response",
        &["/object"],
        &[Null, Boolean, Integer, Fraction, EmptyArray, Texts, Object],
        Refuses,
        "theirs has no name for it; OpenAI's is a string",
    ),
    differs(
        "chat_completion_response",
        &["/choices/*/finish_reason"],
        &[Null],
        Accepts,
        "some upstreams do not say why they stopped",
    ),
    differs(
        "chat_completion_response",
        &["/choices/*/message/content"],
        &[Null, Text],
        Accepts,
        "an assistant may speak and call tools at once, or do neither; theirs has either",
    ),
    differs(
        "chat_completion_response",
        &["/choices/*/message/content"],
        &[Boolean, Integer, Fraction, EmptyArray, Texts, Object],
        Refuses,
        "theirs does not look at the content of a message that calls tools",
    ),
    differs(
        "chat_completion_response",
        &["/choices/*/message/tool_calls"],
        &[Removed, Null],
        Accepts,
        "a model may say nothing",
    ),
    differs(
        "chat_completion_response",
        &["/choices/*/message/tool_calls/*/function/arguments"],
        &[Object],
        Accepts,
        "TGI's first versions write an object",
    ),
    differs(
        "chat_completion_response",
        &["/choices/*/logprobs"],
        &[Object],
        Accepts,
        "OpenAI's has members for what was said and for what was refused, either null",
    ),
    differs(
        "chat_completion_response",
        &["/choices/*/logprobs/content"],
        &[Removed, Null],
        Accepts,
        "the same",
    ),
    differs(
        "chat_completion_response",
        &["/choices/*/logprobs/content/*/top_logprobs"],
        &[Removed],
        Accepts,
        "nobody has to have asked for them",
    ),
];

/// Whole bodies on which the verdicts differ, where no mutation comes upon it.
pub(crate) fn singular() -> Vec<(&'static str, Value, Verdict, &'static str)> {
    let chat = |member: &str, value: Value| {
        let mut body = json!({"messages": [{"role": "user", "content": "Hi"}]});
        body[member] = value;
        body
    };
    let said = |message: Value| json!({"messages": [message]});
    vec![
        (
            "chat_completion",
            said(json!({"role": "assistant", "content": "Wait.", "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]})),
            Accepts,
            "an assistant may speak and call tools at once; theirs has either",
        ),
        (
            "chat_completion",
            said(json!({"role": "assistant", "content": null, "refusal": "No."})),
            Accepts,
            "OpenAI's assistant may refuse",
        ),
        (
            "chat_completion",
            said(json!({"role": "assistant", "audio": {"id": "audio_1"}})),
            Accepts,
            "OpenAI's assistant may speak aloud",
        ),
        (
            "chat_completion",
            said(json!({"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}})),
            Accepts,
            "what tools were before",
        ),
        (
            "chat_completion",
            said(json!({"role": "function", "name": "f", "content": null})),
            Accepts,
            "what tools were before",
        ),
        (
            "chat_completion",
            said(json!({"role": "user", "content": [
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}]})),
            Accepts,
            "OpenAI's parts; theirs has text and images",
        ),
        (
            "chat_completion",
            said(json!({"role": "user", "content": [
                {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}]})),
            Accepts,
            "vLLM's parts",
        ),
        (
            "chat_completion",
            said(json!({"role": "user", "content": [
                {"type": "file", "file": {"file_id": "file-1"}}]})),
            Accepts,
            "OpenAI's parts",
        ),
        (
            "chat_completion",
            chat("tools", json!([{"type": "web_search", "web_search": {}}])),
            Accepts,
            "providers have tools of their own",
        ),
        (
            "chat_completion",
            chat(
                "tool_choice",
                json!({"type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": []}}),
            ),
            Accepts,
            "OpenAI's",
        ),
        (
            "chat_completion",
            chat("response_format", json!({"type": "regex", "value": "[a-z]+"})),
            Accepts,
            "TGI's own form, which its specification no longer has",
        ),
        (
            "chat_completion",
            chat("stop", json!(["a", "b", "c", "d", "e"])),
            Refuses,
            "OpenAI's goes to four; theirs states no bound here",
        ),
        (
            "chat_completion",
            chat("metadata", json!([])),
            Refuses,
            "theirs does not know the rest of OpenAI's members",
        ),
        (
            "text_generation",
            json!({"inputs": "", "parameters": {"frequency_penalty": -2}}),
            Accepts,
            "TGI's code takes the bound itself, whatever its specification says",
        ),
        (
            "feature_extraction",
            json!({"inputs": "a", "truncation_direction": "Left"}),
            Accepts,
            "TEI's first versions want the capital, the later ones take either",
        ),
        (
            "automatic_speech_recognition",
            json!({"inputs": "UklGRg==", "parameters": {"return_timestamps": "word"}}),
            Accepts,
            "Transformers takes the unit of the timestamps too",
        ),
        (
            "automatic_speech_recognition",
            json!({"inputs": "UklGRg==", "parameters": {"return_timestamps": "char"}}),
            Accepts,
            "Transformers takes the unit of the timestamps too",
        ),
    ]
}

impl Difference {
    /// The places of it that explain this.
    pub(crate) fn explains(
        &self,
        task: &str,
        pointer: &str,
        mutation: Mutation,
        ours: Verdict,
    ) -> Option<usize> {
        let here = self.task == task && self.by.contains(&mutation) && self.ours == ours;
        let same = |at: &&str| {
            at.split('/').count() == pointer.split('/').count()
                && at.split('/').zip(pointer.split('/')).all(|(at, step)| at == "*" || at == step)
        };
        if here { self.at.iter().position(same) } else { None }
    }
}
