use serde_json::Value;

use super::{Schema, SchemaBuilder};

/// Built-in schemas. The [module](crate::schema#built-in-schemas) says where each belongs and how
/// strict it is. Each call compiles: call once and clone.
impl Schema {
    // === OpenAI's routes ===

    /// A chat, as `POST /v1/chat/completions` takes it.
    ///
    /// Messages, at least one, of the roles `user`, `assistant`, `tool`, `system`, `developer` and
    /// `function`. Content is a string or parts of the types `text`, `image_url`, `input_audio`,
    /// `file` and `refusal`, and vLLM's `video_url` and `audio_url`; what an assistant said may be
    /// `null`, as it was given. A tool's answer names its call. A tool of a type other than
    /// `function` and `custom` passes unseen, because providers have their own; so do members that
    /// are not OpenAI's (`top_k`, `guided_json`, `chat_template_kwargs`).
    ///
    /// From OpenAI's reference and Hugging Face's chat completion. Bounds are OpenAI's: a
    /// `temperature` of 0 to 2, a `top_p` of 0 to 1, penalties of -2 to 2, four `stop` strings, 128
    /// choices, 20 `top_logprobs`, at least one token. TGI and vLLM would take a higher
    /// `temperature`, llama.cpp a `max_tokens` of -1. TGI's own forms pass: `logit_bias` as an
    /// array, arguments of a call as an object, the formats `json` and `regex`.
    #[must_use]
    pub fn chat_completion() -> Self {
        Self::built_in(include_str!("tasks/chat_completion.json"))
    }

    /// A prompt to go on from, as `POST /v1/completions` takes it.
    ///
    /// The prompt is a string, strings, token ids or arrays of token ids; `null` is the start of a
    /// document. From OpenAI's reference, with its bounds: those of [`Schema::chat_completion`], a
    /// `best_of` to 20, `logprobs` to 5. A `max_tokens` of 0 scores the prompt, so it passes.
    #[must_use]
    pub fn completion() -> Self {
        Self::built_in(include_str!("tasks/completion.json"))
    }

    /// Texts to embed, as `POST /v1/embeddings` takes them, also TEI's.
    ///
    /// The input is a string, strings, token ids or arrays of token ids, never mixed, none empty,
    /// at most 2048. From OpenAI's reference; TEI's route takes the same.
    #[must_use]
    pub fn embeddings() -> Self {
        Self::built_in(include_str!("tasks/embeddings.json"))
    }

    /// What is to be answered, as `POST /v1/responses` takes it.
    ///
    /// One of `input`, `prompt`, `previous_response_id` and `conversation`. Messages, function
    /// calls, their outputs and references are looked into; items, parts and tools of other types
    /// pass unseen, because their number grows. From OpenAI's reference, with the bounds of
    /// [`Schema::chat_completion`].
    #[must_use]
    pub fn responses() -> Self {
        Self::built_in(include_str!("tasks/responses.json"))
    }

    // === Hugging Face's tasks ===

    /// A text to go on from: `inputs`, `parameters`, `stream`.
    ///
    /// From the task's specification, with the ranges that TGI states; a `seed` of 0 and a
    /// `frequency_penalty` of -2 pass, as in TGI. [`Schema::tgi_generate`] is for TGI's own route,
    /// and stricter.
    #[must_use]
    pub fn text_generation() -> Self {
        Self::built_in(include_str!("tasks/text_generation.json"))
    }

    /// A text to embed, or several; TEI's parameters beside `inputs`, as `huggingface_hub` sends
    /// them.
    ///
    /// From the task's specification. `truncation_direction` may begin with a capital, as TEI's
    /// first versions want it.
    #[must_use]
    pub fn feature_extraction() -> Self {
        Self::built_in(include_str!("tasks/feature_extraction.json"))
    }

    /// A text to label.
    ///
    /// Parameters: `top_k`, `function_to_apply`. From the task's specification.
    #[must_use]
    pub fn text_classification() -> Self {
        Self::built_in(include_str!("tasks/text_classification.json"))
    }

    /// A text whose words are to be labelled.
    ///
    /// Parameters: `aggregation_strategy`, `ignore_labels`, `stride`. From the task's
    /// specification.
    #[must_use]
    pub fn token_classification() -> Self {
        Self::built_in(include_str!("tasks/token_classification.json"))
    }

    /// A text, and the labels to choose from: `candidate_labels` is required.
    ///
    /// Other parameters: `hypothesis_template`, `multi_label`. From the task's specification.
    #[must_use]
    pub fn zero_shot_classification() -> Self {
        Self::built_in(include_str!("tasks/zero_shot_classification.json"))
    }

    /// A question, and the context that answers it.
    ///
    /// Parameters: `top_k`, the lengths of answer, question and window, `handle_impossible_answer`,
    /// `align_to_words`. From the task's specification.
    #[must_use]
    pub fn question_answering() -> Self {
        Self::built_in(include_str!("tasks/question_answering.json"))
    }

    /// A question, and a table: columns of strings, no numbers.
    ///
    /// Parameters: `padding`, `sequential`, `truncation`. From the task's specification.
    #[must_use]
    pub fn table_question_answering() -> Self {
        Self::built_in(include_str!("tasks/table_question_answering.json"))
    }

    /// A question, and the image of a document as base64 text or URL.
    ///
    /// Parameters: those of [`Schema::question_answering`], `lang`, and `word_boxes`, of four
    /// numbers each. From the task's specification, which leaves the type of the image open.
    #[must_use]
    pub fn document_question_answering() -> Self {
        Self::built_in(include_str!("tasks/document_question_answering.json"))
    }

    /// A text to summarize.
    ///
    /// Parameters: `truncation`, `clean_up_tokenization_spaces`, `generate_parameters`, which is
    /// not looked into. From the task's specification.
    #[must_use]
    pub fn summarization() -> Self {
        Self::built_in(include_str!("tasks/summarization.json"))
    }

    /// A text to translate.
    ///
    /// Parameters: `src_lang`, `tgt_lang`, and those of [`Schema::summarization`]. From the task's
    /// specification.
    #[must_use]
    pub fn translation() -> Self {
        Self::built_in(include_str!("tasks/translation.json"))
    }

    /// A text with a mask in it.
    ///
    /// Parameters: `top_k`, `targets`. From the task's specification. How the mask is written
    /// depends on the model: it is not looked for.
    #[must_use]
    pub fn fill_mask() -> Self {
        Self::built_in(include_str!("tasks/fill_mask.json"))
    }

    /// A sentence, and those to compare it with.
    ///
    /// From the task's specification. [`Schema::tei_similarity`] is for TEI's own route, and
    /// stricter.
    #[must_use]
    pub fn sentence_similarity() -> Self {
        Self::built_in(include_str!("tasks/sentence_similarity.json"))
    }

    /// Speech as base64 text.
    ///
    /// Parameters: `return_timestamps`, also `"word"` or `"char"` as in Transformers, and
    /// `generation_parameters`. From the task's specification.
    #[must_use]
    pub fn automatic_speech_recognition() -> Self {
        Self::built_in(include_str!("tasks/automatic_speech_recognition.json"))
    }

    /// Sound to label, as base64 text.
    ///
    /// Parameters: those of [`Schema::text_classification`]. From the task's specification.
    #[must_use]
    pub fn audio_classification() -> Self {
        Self::built_in(include_str!("tasks/audio_classification.json"))
    }

    /// An image to label, as base64 text.
    ///
    /// Parameters: those of [`Schema::text_classification`]. From the task's specification.
    #[must_use]
    pub fn image_classification() -> Self {
        Self::built_in(include_str!("tasks/image_classification.json"))
    }

    /// An image to cut into segments, as base64 text.
    ///
    /// Parameters: `subtask` and three thresholds. From the task's specification.
    #[must_use]
    pub fn image_segmentation() -> Self {
        Self::built_in(include_str!("tasks/image_segmentation.json"))
    }

    /// An image whose objects are to be found, as base64 text.
    ///
    /// Parameter: `threshold`. From the task's specification.
    #[must_use]
    pub fn object_detection() -> Self {
        Self::built_in(include_str!("tasks/object_detection.json"))
    }

    /// An image to describe, as base64 text or URL.
    ///
    /// Parameters: `max_new_tokens`, `generation_parameters`. From the task's specification, which
    /// leaves the type open.
    #[must_use]
    pub fn image_to_text() -> Self {
        Self::built_in(include_str!("tasks/image_to_text.json"))
    }

    /// A text to draw.
    ///
    /// Parameters: `negative_prompt`, `guidance_scale`, `num_inference_steps`, `width`, `height`,
    /// `scheduler`, `seed`. From the task's specification, which states no ranges.
    #[must_use]
    pub fn text_to_image() -> Self {
        Self::built_in(include_str!("tasks/text_to_image.json"))
    }

    /// A text to speak.
    ///
    /// Parameters: `generation_parameters`. From the task's specification.
    #[must_use]
    pub fn text_to_speech() -> Self {
        Self::built_in(include_str!("tasks/text_to_speech.json"))
    }

    /// Any body that an endpoint takes at its own routes (`/`, `/invocations`, `/vertex`), or a model
    /// at `/models/{model}`: judged by its form.
    ///
    /// A body with `messages` is held to [`Schema::chat_completion`], one with a `prompt` to
    /// [`Schema::completion`], and one with `inputs` to the tasks of Hugging Face and TEI, of which it
    /// must fit one. `parameters` of text generation are held to [`Schema::text_generation`]. A body
    /// that fits several forms must satisfy each. Of `instances`, 128 at most, each is held to the
    /// same. A body of another form passes.
    #[must_use]
    pub fn any_task() -> Self {
        let of = |name: &str, text: &str| (format!("urn:tower-inference:{name}"), json_of(text));
        let parts = [
            of("chat_completion", include_str!("tasks/chat_completion.json")),
            of("completion", include_str!("tasks/completion.json")),
            of("text_generation", include_str!("tasks/text_generation.json")),
            of("feature_extraction", include_str!("tasks/feature_extraction.json")),
            of("tei_embed", include_str!("tasks/tei_embed.json")),
            of("tei_predict", include_str!("tasks/tei_predict.json")),
            of("question_answering", include_str!("tasks/question_answering.json")),
            of("table_question_answering", include_str!("tasks/table_question_answering.json")),
            of(
                "document_question_answering",
                include_str!("tasks/document_question_answering.json"),
            ),
            of("sentence_similarity", include_str!("tasks/sentence_similarity.json")),
        ];
        let builder = parts
            .into_iter()
            .fold(Self::builder(), |builder, (uri, part)| builder.document(uri, part));
        compiled(&builder, include_str!("tasks/any_task.json"))
    }

    // === Text Embeddings Inference ===

    /// Texts to embed, as TEI's `/embed`, `/embed_all` and `/embed_sparse` take them: a string, or
    /// an array of strings and arrays of token ids, or token ids.
    ///
    /// What is empty is refused, as by TEI. How many texts a request may hold is for the server's
    /// operator to say.
    #[must_use]
    pub fn tei_embed() -> Self {
        Self::built_in(include_str!("tasks/tei_embed.json"))
    }

    /// A query, and the texts to rank by it, at least one, as TEI's `/rerank` takes them.
    #[must_use]
    pub fn tei_rerank() -> Self {
        Self::built_in(include_str!("tasks/tei_rerank.json"))
    }

    /// Texts to classify, as TEI's `/predict` takes them: a string, a pair of strings, or an array
    /// of arrays of one or two.
    #[must_use]
    pub fn tei_predict() -> Self {
        Self::built_in(include_str!("tasks/tei_predict.json"))
    }

    /// A sentence, and those to compare it with, at least one, none empty, as TEI's `/similarity`
    /// takes them.
    #[must_use]
    pub fn tei_similarity() -> Self {
        Self::built_in(include_str!("tasks/tei_similarity.json"))
    }

    /// Texts to tokenize, as TEI's `/tokenize` takes them: one or several, none empty.
    #[must_use]
    pub fn tei_tokenize() -> Self {
        Self::built_in(include_str!("tasks/tei_tokenize.json"))
    }

    // === Text Generation Inference ===

    /// A text to go on from, as TGI's `/generate` and `/generate_stream` take it.
    ///
    /// What TGI's own validation refuses is refused: an empty text, no token to generate, a `top_p`
    /// or `typical_p` of 1, a grammar of the wrong kind. What the server's operator sets is not
    /// known here: the greatest length, `best_of`, `top_n_tokens`. Four `stop` strings are its
    /// default, and the most here.
    #[must_use]
    pub fn tgi_generate() -> Self {
        Self::built_in(include_str!("tasks/tgi_generate.json"))
    }

    // === answers ===

    /// The whole answer to a chat, not the events of a stream.
    ///
    /// From OpenAI's reference, but for what compatible upstreams are known to leave out: `object`,
    /// `usage`, `system_fingerprint` and `logprobs` need not be there. No choices are an answer.
    #[must_use]
    pub fn chat_completion_response() -> Self {
        Self::built_in(include_str!("tasks/chat_completion_response.json"))
    }

    /// Embeddings, as numbers or as base64 text.
    ///
    /// From OpenAI's reference; `object` and `usage` need not be there.
    #[must_use]
    pub fn embeddings_response() -> Self {
        Self::built_in(include_str!("tasks/embeddings_response.json"))
    }

    fn built_in(schema: &str) -> Self {
        compiled(&Self::builder(), schema)
    }
}

#[expect(clippy::expect_used, reason = "our own schemas; a test compiles each")]
fn compiled(builder: &SchemaBuilder, schema: &str) -> Schema {
    builder.build(&json_of(schema)).expect("a built-in schema is legal")
}

#[expect(clippy::expect_used, reason = "our own schemas; a test compiles each")]
fn json_of(schema: &str) -> Value {
    serde_json::from_str(schema).expect("a built-in schema is JSON")
}
