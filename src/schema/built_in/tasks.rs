//! The built-in schemas, one constructor for each.

use super::bounds::BuiltInSchemas;
use crate::schema::compile::schema::Schema;

/// The schemas. The [module](crate::schema#built-in-schemas) says where each belongs and how strict
/// it is. Each call compiles: call once and clone.
impl BuiltInSchemas {
    // === OpenAI's routes ===

    /// A chat, as `POST /v1/chat/completions` takes it.
    ///
    /// At least one message, of any role. Content is a string, an array of parts, or `null`; only
    /// the roles `user`, `system` and `developer` must have some. Parts of the types `text`,
    /// `image_url`, `input_audio`, `video_url` and `audio_url` hold what their type says, and other
    /// types pass unseen. `tool_choice` is any word or object. Members that are not OpenAI's
    /// (`top_k`, `guided_json`, `structured_outputs`, `chat_template_kwargs`) pass unseen.
    ///
    /// The profile of OpenAI adds OpenAI's reference and its bounds: the roles that it knows, a
    /// tool's response that names its call, a `temperature` to 2, penalties of -2 to 2, four `stop`
    /// strings, 128 choices, 20 `top_logprobs`, at least one token, `metadata` of strings. TGI's own
    /// forms pass there too: `logit_bias` as an array, arguments of a call as an object, the formats
    /// `json` and `regex`.
    #[must_use]
    pub fn chat_completion(&self) -> Schema {
        self.compiled("chat_completion")
    }

    /// A prompt to go on from, as `POST /v1/completions` takes it.
    ///
    /// The prompt is a string, or an array of strings, token ids and arrays of token ids; `null` is
    /// the start of a document. vLLM's `prompt_embeds` and the `input_prefix` and `input_suffix` of
    /// llama.cpp's `/infill` stand in for it. A `max_tokens` of 0 scores the prompt, so it passes.
    ///
    /// The profile of OpenAI adds its bounds: those of [`BuiltInSchemas::chat_completion`], a `best_of` to
    /// 20, `logprobs` to 5, a prompt that is not mixed.
    #[must_use]
    pub fn completion(&self) -> Schema {
        self.compiled("completion")
    }

    /// Texts to embed, as `POST /v1/embeddings` takes them, also TEI's.
    ///
    /// The input is a string, or an array of strings, token ids, arrays of token ids, and objects
    /// (Jina's texts and pictures, a turn of a chat). vLLM's `messages` stand in for it.
    ///
    /// The profile of OpenAI adds its bounds: strings, token ids or arrays of them, never mixed, none
    /// empty, at most 2048; the encodings `float` and `base64`.
    #[must_use]
    pub fn embeddings(&self) -> Schema {
        self.compiled("embeddings")
    }

    /// What is to be answered, as `POST /v1/responses` takes it.
    ///
    /// One of `input`, `prompt`, `previous_response_id` and `conversation`. Messages, function
    /// calls, their outputs and references are looked into; items, parts and tools of other types
    /// pass unseen, because their number grows. The profile of OpenAI adds the bounds of
    /// [`BuiltInSchemas::chat_completion`].
    #[must_use]
    pub fn responses(&self) -> Schema {
        self.compiled("responses")
    }

    /// A chat, as Anthropic's `POST /v1/messages` takes it, also that of vLLM, llama.cpp and LiteLLM.
    ///
    /// `max_tokens` may be missing, because a layer further in may put it in. Text, images,
    /// documents, calls of tools and their results are looked into; blocks and tools of other types
    /// pass unseen. The profile of Anthropic adds its bounds: a model, the roles `user` and
    /// `assistant`, a `temperature` to 1, at least one token.
    #[must_use]
    pub fn messages(&self) -> Schema {
        self.compiled("messages")
    }

    /// A query, and what to rank by it: `texts`, as TEI's `/rerank` takes them, or `documents`, as
    /// those of vLLM, llama.cpp, Cohere and Jina do.
    #[must_use]
    pub fn rerank(&self) -> Schema {
        self.compiled("rerank")
    }

    /// What `/generate` takes: with `inputs`, [`BuiltInSchemas::tgi_generate`]; else SGLang's `text`,
    /// `input_ids` or `input_embeds`, or the `prompt` of vLLM's demo server.
    #[must_use]
    pub fn generate(&self) -> Schema {
        self.compiled("generate")
    }

    // === Hugging Face's tasks ===

    /// A text to go on from: `inputs`, `parameters`, `stream`.
    ///
    /// From the task's specification, with the ranges that TGI states; a `seed` of 0 and a
    /// `frequency_penalty` of -2 pass, as in TGI. [`BuiltInSchemas::tgi_generate`] is for TGI's own route,
    /// and stricter.
    #[must_use]
    pub fn text_generation(&self) -> Schema {
        self.compiled("text_generation")
    }

    /// A text to embed, or several; TEI's parameters beside `inputs`, as `huggingface_hub` sends
    /// them.
    ///
    /// From the task's specification. `truncation_direction` may begin with a capital, as TEI's
    /// first versions want it.
    #[must_use]
    pub fn feature_extraction(&self) -> Schema {
        self.compiled("feature_extraction")
    }

    /// A text to label.
    ///
    /// Parameters: `top_k`, `function_to_apply`. From the task's specification.
    #[must_use]
    pub fn text_classification(&self) -> Schema {
        self.compiled("text_classification")
    }

    /// A text whose words are to be labelled.
    ///
    /// Parameters: `aggregation_strategy`, `ignore_labels`, `stride`. From the task's
    /// specification.
    #[must_use]
    pub fn token_classification(&self) -> Schema {
        self.compiled("token_classification")
    }

    /// A text, and the labels to choose from: `candidate_labels` is required.
    ///
    /// Other parameters: `hypothesis_template`, `multi_label`. From the task's specification.
    #[must_use]
    pub fn zero_shot_classification(&self) -> Schema {
        self.compiled("zero_shot_classification")
    }

    /// A question, and the context that answers it.
    ///
    /// Parameters: `top_k`, the lengths of answer, question and window, `handle_impossible_answer`,
    /// `align_to_words`. From the task's specification.
    #[must_use]
    pub fn question_answering(&self) -> Schema {
        self.compiled("question_answering")
    }

    /// A question, and a table: columns of strings, no numbers.
    ///
    /// Parameters: `padding`, `sequential`, `truncation`. From the task's specification.
    #[must_use]
    pub fn table_question_answering(&self) -> Schema {
        self.compiled("table_question_answering")
    }

    /// A question, and the image of a document as base64 text or URL.
    ///
    /// Parameters: those of [`BuiltInSchemas::question_answering`], `lang`, and `word_boxes`, of four
    /// numbers each. From the task's specification, which leaves the type of the image open.
    #[must_use]
    pub fn document_question_answering(&self) -> Schema {
        self.compiled("document_question_answering")
    }

    /// A text to summarize.
    ///
    /// Parameters: `truncation`, `clean_up_tokenization_spaces`, `generate_parameters`, which is
    /// not looked into. From the task's specification.
    #[must_use]
    pub fn summarization(&self) -> Schema {
        self.compiled("summarization")
    }

    /// A text to translate.
    ///
    /// Parameters: `src_lang`, `tgt_lang`, and those of [`BuiltInSchemas::summarization`]. From the task's
    /// specification.
    #[must_use]
    pub fn translation(&self) -> Schema {
        self.compiled("translation")
    }

    /// A text with a mask in it.
    ///
    /// Parameters: `top_k`, `targets`. From the task's specification. How the mask is written
    /// depends on the model: it is not looked for.
    #[must_use]
    pub fn fill_mask(&self) -> Schema {
        self.compiled("fill_mask")
    }

    /// A sentence, and those to compare it with.
    ///
    /// From the task's specification. [`BuiltInSchemas::tei_similarity`] is for TEI's own route, and
    /// stricter.
    #[must_use]
    pub fn sentence_similarity(&self) -> Schema {
        self.compiled("sentence_similarity")
    }

    /// Speech as base64 text.
    ///
    /// Parameters: `return_timestamps`, also `"word"` or `"char"` as in Transformers, and
    /// `generation_parameters`. From the task's specification.
    #[must_use]
    pub fn automatic_speech_recognition(&self) -> Schema {
        self.compiled("automatic_speech_recognition")
    }

    /// Sound to label, as base64 text.
    ///
    /// Parameters: those of [`BuiltInSchemas::text_classification`]. From the task's specification.
    #[must_use]
    pub fn audio_classification(&self) -> Schema {
        self.compiled("audio_classification")
    }

    /// An image to label, as base64 text.
    ///
    /// Parameters: those of [`BuiltInSchemas::text_classification`]. From the task's specification.
    #[must_use]
    pub fn image_classification(&self) -> Schema {
        self.compiled("image_classification")
    }

    /// An image to cut into segments, as base64 text.
    ///
    /// Parameters: `subtask` and three thresholds. From the task's specification.
    #[must_use]
    pub fn image_segmentation(&self) -> Schema {
        self.compiled("image_segmentation")
    }

    /// An image whose objects are to be found, as base64 text.
    ///
    /// Parameter: `threshold`. From the task's specification.
    #[must_use]
    pub fn object_detection(&self) -> Schema {
        self.compiled("object_detection")
    }

    /// An image to describe, as base64 text or URL.
    ///
    /// Parameters: `max_new_tokens`, `generation_parameters`. From the task's specification, which
    /// leaves the type open.
    #[must_use]
    pub fn image_to_text(&self) -> Schema {
        self.compiled("image_to_text")
    }

    /// A text to draw.
    ///
    /// Parameters: `negative_prompt`, `guidance_scale`, `num_inference_steps`, `width`, `height`,
    /// `scheduler`, `seed`. From the task's specification, which states no ranges.
    #[must_use]
    pub fn text_to_image(&self) -> Schema {
        self.compiled("text_to_image")
    }

    /// A text to speak.
    ///
    /// Parameters: `generation_parameters`. From the task's specification.
    #[must_use]
    pub fn text_to_speech(&self) -> Schema {
        self.compiled("text_to_speech")
    }

    /// Any body that an endpoint takes at its own routes (`/`, `/invocations`, `/vertex`), or a model
    /// at `/models/{model}`: judged by its form.
    ///
    /// A body with `messages` is held to [`BuiltInSchemas::chat_completion`], one with a `prompt` to
    /// [`BuiltInSchemas::completion`], and one with `inputs` to the tasks of Hugging Face and TEI, of which it
    /// must fit one. `parameters` of text generation are held to [`BuiltInSchemas::text_generation`]. A body
    /// that fits several forms must satisfy each. Of `instances`, 128 at most, each is held to the
    /// same. A body of another form passes.
    #[must_use]
    pub fn any_task(&self) -> Schema {
        self.compiled("any_task")
    }

    // === Text Embeddings Inference ===

    /// Texts to embed, as TEI's `/embed`, `/embed_all` and `/embed_sparse` take them: a string, or
    /// an array of strings and arrays of token ids, or token ids.
    ///
    /// What is empty is refused, as by TEI. How many texts a request may hold is for the server's
    /// operator to say.
    #[must_use]
    pub fn tei_embed(&self) -> Schema {
        self.compiled("tei_embed")
    }

    /// A query, and the texts to rank by it, at least one, as TEI's `/rerank` takes them.
    #[must_use]
    pub fn tei_rerank(&self) -> Schema {
        self.compiled("tei_rerank")
    }

    /// Texts to classify, as TEI's `/predict` takes them: a string, a pair of strings, or an array
    /// of arrays of one or two.
    #[must_use]
    pub fn tei_predict(&self) -> Schema {
        self.compiled("tei_predict")
    }

    /// A sentence, and those to compare it with, at least one, none empty, as TEI's `/similarity`
    /// takes them.
    #[must_use]
    pub fn tei_similarity(&self) -> Schema {
        self.compiled("tei_similarity")
    }

    /// Texts to tokenize, as TEI's `/tokenize` takes them: one or several, none empty.
    #[must_use]
    pub fn tei_tokenize(&self) -> Schema {
        self.compiled("tei_tokenize")
    }

    // === Text Generation Inference ===

    /// A text to go on from, as TGI's `/generate` and `/generate_stream` take it.
    ///
    /// What TGI's own validation refuses is refused: an empty text, no token to generate, a `top_p`
    /// or `typical_p` of 1, a grammar of the wrong kind. What the server's operator sets is not
    /// known here: the greatest length, `best_of`, `top_n_tokens`. Four `stop` strings are its
    /// default, and the most here.
    #[must_use]
    pub fn tgi_generate(&self) -> Schema {
        self.compiled("tgi_generate")
    }

    // === responses ===

    /// The whole answer to a chat, not the events of a stream.
    ///
    /// From OpenAI's reference, but for what compatible upstreams are known to leave out: `object`,
    /// `usage`, `system_fingerprint` and `logprobs` need not be there. No choices are an answer.
    #[must_use]
    pub fn chat_completion_response(&self) -> Schema {
        self.compiled("chat_completion_response")
    }

    /// Embeddings, as numbers or as base64 text.
    ///
    /// From OpenAI's reference; `object` and `usage` need not be there.
    #[must_use]
    pub fn embeddings_response(&self) -> Schema {
        self.compiled("embeddings_response")
    }
}
