//! The forms of request bodies that layers with output limits distinguish.

/// A form of a request body. It decides the members of the prompt and of the output limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Form {
    /// `messages` of chat completions (OpenAI, vLLM, SGLang, TGI and llama.cpp).
    Chat,
    /// `prompt` of completions (OpenAI, vLLM and llama.cpp).
    Completion,
    /// `input` of OpenAI's responses.
    Responses,
    /// `messages` of Anthropic's messages.
    Messages,
    /// Text in `inputs` of TGI's `/generate` and of Hugging Face's tasks that generate text.
    Generate,
    /// `text` or `input_ids` beside `sampling_params` of SGLang's `/generate`.
    Sampling,
    /// An object in `inputs` of a Hugging Face task whose output has a fixed length.
    Task,
    /// `instances` in which Vertex AI wraps requests for TGI and TEI.
    Instances,
    /// Embeddings, rankings, classes or tokens. No text is generated.
    Reads,
    /// Images and sound. No text is generated.
    Media,
}

/// A set of forms. A body of several forms gets the limit of each.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Forms(u16);

/// The forms that a route takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Takes {
    /// Always this form.
    One(Form),
    /// TGI's form unless the body has marks of SGLang or of vLLM's demo server.
    Sampled,
    /// TEI's classification. With `parameters` any task of Hugging Face's inference toolkit.
    Predict { generates: bool },
    /// The form that the body shows. The own routes of an endpoint or a model take any form. `inputs` are
    /// not a prompt when the model generates nothing.
    Any { generates: bool },
    /// Unknown.
    Unknown,
}

impl Forms {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn of(form: Form) -> Self {
        Self(1 << form as u8)
    }

    pub(crate) const fn and(self, form: Form) -> Self {
        Self(self.0 | Self::of(form).0)
    }

    pub(crate) const fn without(self, form: Form) -> Self {
        Self(self.0 & !Self::of(form).0)
    }

    pub(crate) const fn has(self, form: Form) -> bool {
        self.0 & Self::of(form).0 != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn among(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }
}

impl Takes {
    /// Returns whether text in `inputs` is a prompt.
    pub(crate) const fn generates(self) -> bool {
        !matches!(self, Self::Predict { generates: false } | Self::Any { generates: false })
    }

    /// Returns the forms of a body with these marks. Empty when the form is unknown.
    pub(crate) const fn forms(self, marks: Forms, has_parameters: bool) -> Forms {
        const ANY: Forms = Forms::of(Form::Chat)
            .and(Form::Completion)
            .and(Form::Generate)
            .and(Form::Task)
            .and(Form::Instances);
        const SAMPLED: Forms =
            Forms::of(Form::Completion).and(Form::Generate).and(Form::Task).and(Form::Sampling);
        match self {
            Self::One(form) => Forms::of(form),
            Self::Sampled => {
                let forms = marks.among(SAMPLED);
                if forms.is_empty() { Forms::of(Form::Generate) } else { forms }
            }
            // TEI's classification of `inputs`, unless a member is of another form.
            Self::Predict { generates }
                if !has_parameters
                    && (!marks.is_empty() || !generates)
                    && marks.without(Form::Generate).without(Form::Task).is_empty() =>
            {
                Forms::of(Form::Reads)
            }
            Self::Predict { generates: true } | Self::Any { generates: true } => marks.among(ANY),
            Self::Predict { .. } | Self::Any { .. } => {
                let forms = marks.among(ANY).without(Form::Generate).without(Form::Task);
                let inputs = marks.has(Form::Generate) || marks.has(Form::Task);
                if inputs { forms.and(Form::Reads) } else { forms }
            }
            Self::Unknown => Forms::NONE,
        }
    }
}
