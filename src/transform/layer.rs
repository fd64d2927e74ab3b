use std::ops::RangeInclusive;

use tower_layer::Layer;

use super::{
    edit::{
        Clamp, Edit, EditableHeader, EditableQuery, HeaderEdit, JsonEdit, ModelAliases, PathEdit,
        PathTemplate, QueryEdit, SystemMessage, SystemMessageEdit,
    },
    service::Transform,
    settings::Settings,
    value::ValueSource,
};
use crate::{
    generation::{IncludeUsage, OutputTokens},
    model::Profile,
    payload::{Literal, Pointer},
    rejection::RejectionFormat,
    skip::Skip,
};

/// Makes [`Transform`] services. See the [module docs](super) for an example.
///
/// The edits run in the order of the calls, each on the result of the ones before.
#[derive(Clone, Debug, Default)]
pub struct TransformLayer {
    settings: Settings,
}

impl TransformLayer {
    /// Creates a layer without edits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the profile of the upstream. Defaults to [`Profile::compatible`].
    ///
    /// It decides the form of each body, the name of the output limit and whether a stream is asked for
    /// its usage.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.settings.profile = profile.into();
        self
    }

    /// Sets the format of rejections. Defaults to [`RejectionFormat::Problem`].
    #[must_use]
    pub const fn rejections(mut self, format: RejectionFormat) -> Self {
        self.settings.format = format;
        self
    }

    /// Returns whether an edit would write another name or member for the upstream of `profile`.
    #[cfg(feature = "hf")]
    pub(crate) fn contradicts(&self, profile: &Profile) -> bool {
        self.settings.contradicts(profile)
    }

    fn edit(mut self, edit: Edit) -> Self {
        self.settings.push(edit);
        self
    }

    fn edit_json(mut self, edit: JsonEdit) -> Self {
        self.settings.push_json(edit);
        self
    }
}

/// Edits of headers.
///
/// Before the first of them the headers that `connection` names are removed. A client could otherwise
/// have the next hop remove an edited header.
impl TransformLayer {
    /// Sets a header and replaces the client's values.
    #[must_use]
    pub fn set_header(self, name: EditableHeader, value: impl Into<ValueSource>) -> Self {
        self.edit(Edit::Header(HeaderEdit::Set(name.into(), value.into())))
    }

    /// Adds a value after the present values of a header.
    #[must_use]
    pub fn append_header(self, name: EditableHeader, value: impl Into<ValueSource>) -> Self {
        self.edit(Edit::Header(HeaderEdit::Append(name.into(), value.into())))
    }

    /// Removes all values of a header.
    #[must_use]
    pub fn remove_header(self, name: EditableHeader) -> Self {
        self.edit(Edit::Header(HeaderEdit::Remove(name.into())))
    }

    /// Moves all values of a header to another name and replaces the values there.
    ///
    /// Nothing changes when the request has no header `from`.
    #[must_use]
    pub fn rename_header(self, from: EditableHeader, to: EditableHeader) -> Self {
        self.edit(Edit::Header(HeaderEdit::Rename(from.into(), to.into())))
    }
}

/// Edits of the query.
///
/// Other parameters keep their bytes. Names are compared decoded. A plus sign matches both a plus sign
/// and a space, because upstreams differ there.
impl TransformLayer {
    /// Sets a query parameter and replaces the client's values.
    ///
    /// It takes the place of the first parameter of this name or else the end of the query.
    #[must_use]
    pub fn set_query(self, name: EditableQuery, value: impl Into<ValueSource>) -> Self {
        self.edit(Edit::Query(QueryEdit::Set(name.into(), value.into())))
    }

    /// Adds a parameter at the end of the query.
    #[must_use]
    pub fn append_query(self, name: EditableQuery, value: impl Into<ValueSource>) -> Self {
        self.edit(Edit::Query(QueryEdit::Append(name.into(), value.into())))
    }

    /// Removes all query parameters of this name.
    #[must_use]
    pub fn remove_query(self, name: impl Into<Box<str>>) -> Self {
        self.edit(Edit::Query(QueryEdit::Remove(name.into())))
    }

    /// Renames all query parameters of this name and removes those that had the new name before.
    ///
    /// Values keep their bytes. Nothing changes when the query has no parameter `from`.
    #[must_use]
    pub fn rename_query(self, from: impl Into<Box<str>>, to: EditableQuery) -> Self {
        self.edit(Edit::Query(QueryEdit::Rename(from.into(), to.into())))
    }
}

/// Edits of the path. The query stays.
///
/// A client's path with a dot segment in any encoding can be replaced. Stripping and prefixing reject
/// it, because an upstream that resolves the segment would leave the prefix.
impl TransformLayer {
    /// Replaces the path.
    #[must_use]
    pub fn set_path(self, path: PathTemplate) -> Self {
        self.edit(Edit::Path(PathEdit::Set(path)))
    }

    /// Removes segments from the start of the path. `/hf` turns `/hf/v1/models` into `/v1/models`.
    ///
    /// A path that does not start with these segments byte for byte is rejected with `not-found`. A
    /// prefix with the tenant in it is therefore open to that tenant only. A slash at the end of the
    /// prefix has no meaning.
    #[must_use]
    pub fn strip_path_prefix(self, prefix: PathTemplate) -> Self {
        self.edit(Edit::Path(PathEdit::StripPrefix(prefix)))
    }

    /// Adds segments before the path. A slash at the end of the prefix has no meaning.
    #[must_use]
    pub fn add_path_prefix(self, prefix: PathTemplate) -> Self {
        self.edit(Edit::Path(PathEdit::AddPrefix(prefix)))
    }
}

/// Edits of the JSON body.
///
/// Bytes that no edit changes stay as they are. A request without a body passes and a streamed body is
/// rejected with 415. `null` counts as missing. An edit creates missing objects on the way of its
/// pointer and no array elements.
///
/// Rejected with `invalid-payload` and the pointer are a body or a value on the way that is not an
/// object. So is a name that differs only in case from a name on the way, because some readers (Go's
/// `encoding/json`) take one for the other. An edit beyond the payload's bounds of depth and nodes is
/// rejected with `payload-too-large`. The bound in bytes applies to the client's body only.
impl TransformLayer {
    /// Sets a value where the body has none.
    #[must_use]
    pub fn default_json(self, pointer: Pointer, value: impl Into<Literal>) -> Self {
        self.edit_json(JsonEdit::Default(pointer, value.into()))
    }

    /// Sets a value and replaces the client's.
    #[must_use]
    pub fn override_json(self, pointer: Pointer, value: impl Into<Literal>) -> Self {
        self.edit_json(JsonEdit::Override(pointer, value.into()))
    }

    /// Removes the member or array element at a pointer.
    #[must_use]
    pub fn remove_json(self, pointer: Pointer) -> Self {
        self.edit_json(JsonEdit::Remove(pointer))
    }

    /// Moves a number into a range. A smaller number becomes the minimum and a greater one the maximum.
    ///
    /// A missing number stays missing. Call [`default_json`](Self::default_json) first to add it. A
    /// value that is not a number, such as `"5"`, is rejected. A range from 1 also excludes `-1`, which
    /// some upstreams read as "without limit".
    #[must_use]
    pub fn clamp_json(self, pointer: Pointer, range: RangeInclusive<i64>) -> Self {
        self.edit_json(JsonEdit::Clamp(Clamp::new(pointer, range)))
    }

    /// Limits the tokens that the upstream generates to `max`, at least 1.
    ///
    /// The path and the [profile](Self::profile) decide the form of a body. Where a route takes several
    /// forms, the body decides. [`Profile::route`](crate::model::Profile::route) names the form of a
    /// route of your own.
    ///
    /// | path ends with | form of the body | limit that is added where it is missing |
    /// |---|---|---|
    /// | `/chat/completions` | chat | `max_tokens` or `max_completion_tokens`, as the profile says, unless either is present |
    /// | `/completions`, `/completion`, `/infill` | completion | `max_tokens` |
    /// | `/responses` | response | `max_output_tokens` |
    /// | `/messages` | message of Anthropic | `max_tokens` |
    /// | `/generate`, `/generate_stream` | TGI's, or with `text` or `input_ids` SGLang's, or with `prompt` a completion | `parameters.max_new_tokens`; `sampling_params.max_new_tokens`; `max_tokens` |
    /// | `/`, `/invocations`, `/vertex`, `/models/{model}`, `/pipeline/{task}` | with `messages` a chat, with `prompt` a completion, with text in `inputs` TGI's; with `instances` one of these for each | as above |
    /// | `/predict` | the same when the body has `parameters` | as above |
    ///
    /// A body that fits several forms gets the limit of each. In a body of a known form, every output
    /// limit of any known API is lowered to `max`, also in objects such as `parameters`, `options` and
    /// `generationConfig`. A number within the limit keeps its bytes.
    ///
    /// A chat's `max_completion_tokens` is renamed to `max_tokens` when the profile's name is that one.
    /// Older servers ignore the newer name, and TGI rejects both at once.
    ///
    /// The limit holds for each completion: `n` of them may have `n` times as many tokens. A limit of zero
    /// passes where it generates nothing for certain: `max_tokens` of a completion with `echo`,
    /// `n_predict` of a completion and SGLang's `sampling_params.max_new_tokens`.
    ///
    /// A limit of -1 means no limit to llama.cpp and Ollama, so it is lowered to `max` as well. Rejected
    /// with 422 `invalid-payload` are any other limit below 1, a limit that is not a number, a body that is not an object, `parameters` that are not an
    /// object and more than 128 `instances`.
    ///
    /// A body of an unknown form is not edited. It is rejected when it has a known output limit above
    /// `max` at any depth. Without one the upstream's own default applies. A limit in the query above `max` is
    /// rejected with 400 `invalid-parameters`.
    ///
    /// Routes that generate no text, such as `/embeddings` and `/rerank`, pass unchanged. So does a body
    /// with `inputs` when the model [generates nothing](crate::model::Profile::generates_nothing).
    ///
    /// A `max` of 0 counts as 1. To generate nothing, close the route instead.
    ///
    /// An upstream ignores a limit under a name that it does not know. [Remove](Self::remove_json) such
    /// a name first.
    #[must_use]
    pub fn max_output_tokens(self, max: u32) -> Self {
        self.edit_json(JsonEdit::OutputTokens(OutputTokens::new(max)))
    }

    /// Replaces the `model` of the body by its name in a table.
    ///
    /// [`RequestContext::model`](crate::context::RequestContext::model) keeps the client's name. The
    /// upstream's response has the upstream's name.
    #[must_use]
    pub fn model_aliases(self, aliases: ModelAliases) -> Self {
        self.edit_json(JsonEdit::Aliases(aliases))
    }

    /// Adds a message before all `messages`. A body without this array is rejected.
    #[must_use]
    pub fn system_message(self, message: SystemMessage) -> Self {
        self.edit_json(JsonEdit::System(SystemMessageEdit::new(message)))
    }

    /// Lets bodies that are neither JSON nor text pass unedited, such as images, sounds and files.
    ///
    /// It is for routes that take either, below a
    /// [`PayloadLayer::bytes`](crate::payload::PayloadLayer::bytes). Text other than JSON is rejected
    /// with 415. By default every body other than JSON is rejected.
    #[must_use]
    pub const fn binary_bodies(mut self) -> Self {
        self.settings.binary_bodies = true;
        self
    }

    /// Requests the usage of a stream (`stream_options.include_usage`) and hides the usage chunk from a
    /// client that did not request it.
    ///
    /// It applies to chats and completions with `stream: true`, whose form is decided as in
    /// [`max_output_tokens`](Self::max_output_tokens). The [profile](Self::profile) can turn it off.
    /// OpenAI's responses report their usage without this member and reject it. A value that is neither
    /// a boolean nor `null` is rejected, because some upstreams read `1` or `"true"` as `true`.
    #[must_use]
    pub fn include_usage(self) -> Self {
        self.edit_json(JsonEdit::IncludeUsage(IncludeUsage::new()))
    }
}

impl<S> Layer<S> for TransformLayer {
    type Service = Transform<S>;

    fn layer(&self, inner: S) -> Transform<S> {
        Transform::from_parts(inner, Some(self.settings.clone()))
    }
}

impl<S> Skip<S> for TransformLayer {
    fn skip(inner: S) -> Transform<S> {
        Transform::from_parts(inner, None)
    }
}
