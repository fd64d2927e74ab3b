//! A constructor for each built-in schema.

use super::bounds::BuiltInSchemas;
use crate::schema::compile::schema::Schema;

/// The schemas. The [module docs](crate::schema#built-in-schemas) list their routes and their
/// strictness. Each call compiles a schema, so call once and clone.
impl BuiltInSchemas {
    // === OpenAI's routes ===

    /// The schema of a chat request to `POST /v1/chat/completions`.
    ///
    /// There is at least one message of any role. Content is a string, an array of parts or `null`.
    /// Only the roles `user`, `system` and `developer` require it. Parts of the types `text`,
    /// `image_url`, `input_audio`, `video_url` and `audio_url` are checked. Parts of other types
    /// pass. `tool_choice` is any word or object. Members that OpenAI does not have (`top_k`,
    /// `guided_json`, `structured_outputs`, `chat_template_kwargs`) pass.
    ///
    /// The profile of OpenAI adds these bounds:
    ///
    /// - the known roles
    /// - the id of the call in a tool's response
    /// - a `temperature` of at most 2 and penalties from -2 to 2
    /// - four `stop` strings, 128 choices and 20 `top_logprobs`
    /// - at least one token
    /// - `metadata` of strings
    ///
    /// It also accepts TGI's own forms: `logit_bias` as an array, tool arguments as an object and
    /// the response formats `json` and `regex`.
    #[must_use]
    pub fn chat_completion(&self) -> Schema {
        self.compiled("chat_completion")
    }

    /// The schema of a completion request to `POST /v1/completions`.
    ///
    /// The prompt is a string or an array of strings, token ids and arrays of token ids. `null` is
    /// the start of a document. vLLM's `prompt_embeds` can replace the prompt. So can the
    /// `input_prefix` and `input_suffix` of llama.cpp's `/infill`. A `max_tokens` of 0 scores the
    /// prompt and passes.
    ///
    /// The profile of OpenAI adds the bounds of [`BuiltInSchemas::chat_completion`]. It also limits
    /// `best_of` to 20 and `logprobs` to 5 and rejects a mixed prompt.
    #[must_use]
    pub fn completion(&self) -> Schema {
        self.compiled("completion")
    }

    /// The schema of an embeddings request to `POST /v1/embeddings`, also TEI's.
    ///
    /// The input is a string or an array. Elements are strings, token ids, arrays of token ids and
    /// objects (texts and images of Jina, a turn of a chat). vLLM's `messages` can replace the
    /// input.
    ///
    /// The profile of OpenAI permits strings, token ids or arrays of token ids but no mixture. It
    /// permits at most 2048 elements and no empty one. The encodings are `float` and `base64`.
    #[must_use]
    pub fn embeddings(&self) -> Schema {
        self.compiled("embeddings")
    }

    /// The schema of a request to `POST /v1/responses`.
    ///
    /// One of `input`, `prompt`, `previous_response_id` and `conversation` is required. Messages,
    /// function calls, their outputs and references are checked. Items, parts and tools of other
    /// types pass, because OpenAI adds new ones. The profile of OpenAI adds the bounds of
    /// [`BuiltInSchemas::chat_completion`].
    #[must_use]
    pub fn responses(&self) -> Schema {
        self.compiled("responses")
    }

    /// The schema of a chat request to Anthropic's `POST /v1/messages`, also that of vLLM,
    /// llama.cpp and LiteLLM.
    ///
    /// `max_tokens` may be absent, because an inner layer may add it. Text, images, documents, tool
    /// calls and their results are checked. Blocks and tools of other types pass. The profile of
    /// Anthropic requires a model, the roles `user` and `assistant`, a `temperature` of at most 1
    /// and at least one token.
    #[must_use]
    pub fn messages(&self) -> Schema {
        self.compiled("messages")
    }

    /// The schema of a rerank request: a query and `texts` (TEI) or `documents` (vLLM, llama.cpp,
    /// Cohere, Jina).
    #[must_use]
    pub fn rerank(&self) -> Schema {
        self.compiled("rerank")
    }

    /// The schema of a request to `/generate`.
    ///
    /// A body with `inputs` must match [`BuiltInSchemas::tgi_generate`]. Other bodies have SGLang's
    /// `text`, `input_ids` or `input_embeds` or the `prompt` of vLLM's demo server.
    #[must_use]
    pub fn generate(&self) -> Schema {
        self.compiled("generate")
    }

    // === Hugging Face's tasks ===

    /// The schema of text generation: `inputs`, `parameters` and `stream`.
    ///
    /// It follows the task's specification with the ranges of TGI. As in TGI, a `seed` of 0 and a
    /// `frequency_penalty` of -2 pass. [`BuiltInSchemas::tgi_generate`] is stricter and for TGI's
    /// own route.
    #[must_use]
    pub fn text_generation(&self) -> Schema {
        self.compiled("text_generation")
    }

    /// The schema of feature extraction: one text or several, with the parameters of TEI next to
    /// `inputs` as `huggingface_hub` sends them.
    ///
    /// It follows the task's specification. `truncation_direction` may start with a capital, as
    /// early versions of TEI require.
    #[must_use]
    pub fn feature_extraction(&self) -> Schema {
        self.compiled("feature_extraction")
    }

    /// The schema of text classification.
    ///
    /// It follows the task's specification. Parameters: `top_k`, `function_to_apply`.
    #[must_use]
    pub fn text_classification(&self) -> Schema {
        self.compiled("text_classification")
    }

    /// The schema of token classification.
    ///
    /// It follows the task's specification. Parameters: `aggregation_strategy`, `ignore_labels`,
    /// `stride`.
    #[must_use]
    pub fn token_classification(&self) -> Schema {
        self.compiled("token_classification")
    }

    /// The schema of zero-shot classification: a text and the required `candidate_labels`.
    ///
    /// It follows the task's specification. Other parameters: `hypothesis_template`, `multi_label`.
    #[must_use]
    pub fn zero_shot_classification(&self) -> Schema {
        self.compiled("zero_shot_classification")
    }

    /// The schema of question answering: a question and its context.
    ///
    /// It follows the task's specification. Parameters: `top_k`, `handle_impossible_answer`,
    /// `align_to_words`, `max_answer_len`, `max_question_len`, `max_seq_len` and `doc_stride`.
    #[must_use]
    pub fn question_answering(&self) -> Schema {
        self.compiled("question_answering")
    }

    /// The schema of table question answering: a question and a table with columns of strings.
    ///
    /// It follows the task's specification. Numbers in the table are invalid. Parameters:
    /// `padding`, `sequential`, `truncation`.
    #[must_use]
    pub fn table_question_answering(&self) -> Schema {
        self.compiled("table_question_answering")
    }

    /// The schema of document question answering: a question and an image as base64 text or URL.
    ///
    /// It follows the task's specification, which does not define the type of the image.
    /// Parameters: those of [`BuiltInSchemas::question_answering`], `lang` and `word_boxes` of four
    /// numbers each.
    #[must_use]
    pub fn document_question_answering(&self) -> Schema {
        self.compiled("document_question_answering")
    }

    /// The schema of summarization.
    ///
    /// It follows the task's specification. Parameters: `truncation`,
    /// `clean_up_tokenization_spaces` and `generate_parameters`, whose content is not checked.
    #[must_use]
    pub fn summarization(&self) -> Schema {
        self.compiled("summarization")
    }

    /// The schema of translation.
    ///
    /// It follows the task's specification. Parameters: `src_lang`, `tgt_lang` and those of
    /// [`BuiltInSchemas::summarization`].
    #[must_use]
    pub fn translation(&self) -> Schema {
        self.compiled("translation")
    }

    /// The schema of fill-mask.
    ///
    /// It follows the task's specification. Parameters: `top_k`, `targets`. The mask depends on the
    /// model and is not checked.
    #[must_use]
    pub fn fill_mask(&self) -> Schema {
        self.compiled("fill_mask")
    }

    /// The schema of sentence similarity: a sentence and the sentences to compare it with.
    ///
    /// It follows the task's specification. [`BuiltInSchemas::tei_similarity`] is stricter and for
    /// TEI's own route.
    #[must_use]
    pub fn sentence_similarity(&self) -> Schema {
        self.compiled("sentence_similarity")
    }

    /// The schema of automatic speech recognition: audio as base64 text.
    ///
    /// It follows the task's specification. Parameters: `generation_parameters` and
    /// `return_timestamps`, which may be `"word"` or `"char"` as in Transformers.
    #[must_use]
    pub fn automatic_speech_recognition(&self) -> Schema {
        self.compiled("automatic_speech_recognition")
    }

    /// The schema of audio classification: audio as base64 text.
    ///
    /// It follows the task's specification. Parameters: those of
    /// [`BuiltInSchemas::text_classification`].
    #[must_use]
    pub fn audio_classification(&self) -> Schema {
        self.compiled("audio_classification")
    }

    /// The schema of image classification: an image as base64 text.
    ///
    /// It follows the task's specification. Parameters: those of
    /// [`BuiltInSchemas::text_classification`].
    #[must_use]
    pub fn image_classification(&self) -> Schema {
        self.compiled("image_classification")
    }

    /// The schema of image segmentation: an image as base64 text.
    ///
    /// It follows the task's specification. Parameters: `subtask` and three thresholds.
    #[must_use]
    pub fn image_segmentation(&self) -> Schema {
        self.compiled("image_segmentation")
    }

    /// The schema of object detection: an image as base64 text.
    ///
    /// It follows the task's specification. Parameter: `threshold`.
    #[must_use]
    pub fn object_detection(&self) -> Schema {
        self.compiled("object_detection")
    }

    /// The schema of image to text: an image as base64 text or URL.
    ///
    /// It follows the task's specification, which does not define the type of the image.
    /// Parameters: `max_new_tokens`, `generation_parameters`.
    #[must_use]
    pub fn image_to_text(&self) -> Schema {
        self.compiled("image_to_text")
    }

    /// The schema of text to image.
    ///
    /// It follows the task's specification, which has no ranges. Parameters: `negative_prompt`,
    /// `guidance_scale`, `num_inference_steps`, `width`, `height`, `scheduler`, `seed`.
    #[must_use]
    pub fn text_to_image(&self) -> Schema {
        self.compiled("text_to_image")
    }

    /// The schema of text to speech.
    ///
    /// It follows the task's specification. Parameters: `generation_parameters`.
    #[must_use]
    pub fn text_to_speech(&self) -> Schema {
        self.compiled("text_to_speech")
    }

    /// The schema of any body at an endpoint's own routes (`/`, `/invocations`, `/vertex`) or at
    /// `/models/{model}`. The form of the body decides.
    ///
    /// | form | rule |
    /// |---|---|
    /// | `messages` | [`BuiltInSchemas::chat_completion`] |
    /// | `prompt` | [`BuiltInSchemas::completion`] |
    /// | `inputs` | at least one task of Hugging Face or TEI |
    /// | `parameters` of text generation | [`BuiltInSchemas::text_generation`] |
    /// | `instances` | at most 128, each by the same rules |
    /// | other | passes |
    ///
    /// A body with several forms must match each.
    #[must_use]
    pub fn any_task(&self) -> Schema {
        self.compiled("any_task")
    }

    // === Text Embeddings Inference ===

    /// The schema of TEI's `/embed`, `/embed_all` and `/embed_sparse`: a string, token ids, or an
    /// array of strings and arrays of token ids.
    ///
    /// As in TEI, empty texts are invalid. The number of texts is limited by the server's settings
    /// and not here.
    #[must_use]
    pub fn tei_embed(&self) -> Schema {
        self.compiled("tei_embed")
    }

    /// The schema of TEI's `/rerank`: a query and at least one text.
    #[must_use]
    pub fn tei_rerank(&self) -> Schema {
        self.compiled("tei_rerank")
    }

    /// The schema of TEI's `/predict`: a string, a pair of strings, or an array of arrays of one or
    /// two strings.
    #[must_use]
    pub fn tei_predict(&self) -> Schema {
        self.compiled("tei_predict")
    }

    /// The schema of TEI's `/similarity`: a sentence and at least one sentence to compare it with.
    /// Empty texts are invalid.
    #[must_use]
    pub fn tei_similarity(&self) -> Schema {
        self.compiled("tei_similarity")
    }

    /// The schema of TEI's `/tokenize`: one text or several. Empty texts are invalid.
    #[must_use]
    pub fn tei_tokenize(&self) -> Schema {
        self.compiled("tei_tokenize")
    }

    // === Text Generation Inference ===

    /// The schema of TGI's `/generate` and `/generate_stream`.
    ///
    /// It rejects requests that TGI's validation rejects: an empty text, no token to generate, a
    /// `top_p` or `typical_p` of 1 and a grammar of the wrong kind. Bounds in the server's settings
    /// are not known here: the maximum length, `best_of` and `top_n_tokens`. At most four `stop`
    /// strings are valid, which is TGI's default.
    #[must_use]
    pub fn tgi_generate(&self) -> Schema {
        self.compiled("tgi_generate")
    }

    // === responses ===

    /// The schema of a complete chat response. Events of a stream are not covered.
    ///
    /// It follows OpenAI's reference. Compatible upstreams may omit `object`, `usage`,
    /// `system_fingerprint` and `logprobs`. An empty list of choices is valid.
    #[must_use]
    pub fn chat_completion_response(&self) -> Schema {
        self.compiled("chat_completion_response")
    }

    /// The schema of an embeddings response with numbers or base64 text.
    ///
    /// It follows OpenAI's reference. `object` and `usage` may be absent.
    #[must_use]
    pub fn embeddings_response(&self) -> Schema {
        self.compiled("embeddings_response")
    }
}
