/// The role of a JSON object or array by its place in the document.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Container {
    /// Around the document.
    Outside,
    /// An array around the root.
    Batch,
    Root,
    Usage,
    /// An object in the root that is a part of the response: `response` of OpenAI's responses and
    /// of Cohere's first version, `message` and `delta` of Anthropic and Cohere, `x_groq` of Groq.
    Part,
    PartUsage,
    /// The details of the counts in a usage.
    UsageDetails,
    PartUsageDetails,
    /// `tokens` in the usage of Cohere.
    Tokens,
    /// `billed_units` in the usage of Cohere.
    BilledUnits,
    /// `meta` of Cohere's first version, rankings and embeddings.
    Meta,
    /// `details` of TGI.
    Details,
    /// The prompt tokens in the details of TGI.
    Prefill,
    /// `meta_info` of SGLang.
    MetaInfo,
    /// `finish_reason` in the `meta_info` of SGLang.
    MetaInfoFinish,
    /// `usageMetadata` of Gemini.
    UsageMetadata,
    /// `timings` of llama.cpp.
    Timings,
    Choices,
    Choice,
    /// The `message` or `delta` of a choice.
    ChoiceMessage,
    /// A list of results: `data`, `predictions`, or an array in the array around the document.
    Items,
    /// An object in such a list.
    Item,
    /// `output` of OpenAI's responses.
    OutputItems,
    /// An object in that list.
    OutputItem,
    /// `base_resp` of MiniMax and `header` of Spark, which hold a status number.
    StatusHeader,
    /// `incomplete_details` of OpenAI's responses.
    IncompleteDetails,
    /// An array of errors.
    Errors,
    Other,
}

impl Container {
    /// Returns whether it may hold token counts, or an object that does.
    pub(super) const fn leads_to_counts(self) -> bool {
        matches!(
            self,
            Self::Batch
                | Self::Root
                | Self::Usage
                | Self::Part
                | Self::PartUsage
                | Self::UsageDetails
                | Self::PartUsageDetails
                | Self::Tokens
                | Self::BilledUnits
                | Self::Meta
                | Self::Details
                | Self::Prefill
                | Self::MetaInfo
                | Self::UsageMetadata
                | Self::Timings
        )
    }

    /// Returns whether each element of this array is a fact whatever its value.
    pub(super) const fn counts_elements(self) -> bool {
        matches!(self, Self::Prefill | Self::Errors)
    }
}
