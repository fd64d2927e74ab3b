use super::{
    flags::DocumentFlags, member_role::MemberRole, token_counts::CountKind,
    words::names_known_error,
};

/// What the name of a member of the root says.
pub(super) struct RootMember {
    pub(super) role: MemberRole,
    pub(super) flags: DocumentFlags,
}

impl RootMember {
    pub(super) fn of(name: &[u8]) -> Self {
        use DocumentFlags as Flags;
        use MemberRole as Role;

        let (role, flags) = match name {
            // First because almost each document has them, and the names are compared in turn.
            b"model" => (Role::Other, Flags::OTHER_MEMBER),
            b"id" | b"created" => (Role::Other, Flags::MEMBERS),
            b"object" => (Role::Object, Flags::MEMBERS),
            b"choices" | b"candidates" => (Role::Choices, Flags::DELTA_MEMBER),
            b"delta" => (Role::Delta, Flags::DELTA_MEMBER),
            b"token" => (Role::Token, Flags::DELTA_MEMBER),
            b"usage" => (Role::Usage, Flags::EVENT_MEMBER),
            b"error" => (Role::Error, Flags::ERROR_EVENT),
            b"type" => (Role::Type, Flags::TYPE_MEMBER),
            b"event_type" => (Role::Type, Flags::OTHER_TYPE_MEMBER),
            b"usageMetadata" => (Role::UsageMetadata, Flags::SERVER_MEMBER),
            b"generated_text" => (Role::GeneratedText, Flags::SERVER_MEMBER),
            b"meta_info" => (Role::MetaInfo, Flags::SERVER_MEMBER),
            b"response" => (Role::Response, Flags::SERVER_MEMBER),
            b"Response" => (Role::Response, Flags::OTHER_MEMBER),
            b"output" => (Role::Output, Flags::SERVER_MEMBER),
            b"result" => (Role::Output, Flags::OTHER_MEMBER),
            b"done" | b"stop" => (Role::Done, Flags::SERVER_MEMBER),
            b"timings" => (Role::Timings, Flags::SERVER_MEMBER),
            b"x_groq" => (Role::XGroq, Flags::SERVER_MEMBER),
            b"text" | b"content" => (Role::text(name), Flags::SERVER_MEMBER),
            b"text_output" => (Role::Other, Flags::SERVER_MEMBER),
            // An error without an `error` object may have these members. An object with any other
            // member holds more than an error.
            b"errors" => (Role::Errors, Flags::MEMBERS),
            b"status" => (Role::Status, Flags::MEMBERS),
            b"message" => (Role::Message, Flags::MEMBERS),
            b"success" => (Role::Success, Flags::MEMBERS),
            b"code" | b"status_code" | b"statusCode" => (Role::Code, Flags::MEMBERS),
            b"title" | b"param" | b"request_id" | b"requestId" | b"trace_id" | b"instance"
            | b"timestamp" | b"path" | b"stackTrace" | b"documentation_url" => {
                (Role::Other, Flags::MEMBERS)
            }
            // The words of an error in FastAPI, DashScope and others.
            b"detail" | b"msg" => (Role::Explanation, Flags::MEMBERS),
            _ if names_known_error(name) => (Role::NamedError, Flags::MEMBERS),
            _ => (Self::other_role(name), Flags::OTHER_MEMBER),
        };
        Self { role, flags }
    }

    /// Returns the role of a member that no error has.
    fn other_role(name: &[u8]) -> MemberRole {
        use MemberRole as Role;

        match name {
            b"state" => Role::Status,
            b"details" => Role::Details,
            b"meta" => Role::Meta,
            b"incomplete_details" => Role::IncompleteDetails,
            b"finish_reason" | b"stop_reason" | b"stopReason" | b"done_reason" | b"stop_type" => {
                Role::FinishReason
            }
            b"truncated" => Role::Truncated,
            b"stopped_limit" => Role::StoppedAtLimit,
            b"stopped_eos" | b"stopped_word" => Role::StoppedByItself,
            b"ok" => Role::Success,
            b"prompt_eval_count" | b"tokens_evaluated" => Role::Count(CountKind::Prompt),
            b"eval_count" | b"tokens_predicted" => Role::Count(CountKind::Completion),
            b"base_resp" | b"header" => Role::StatusHeader,
            b"data" | b"results" | b"predictions" | b"outputs" => Role::List,
            // A server may repeat the input of the request here.
            b"input" | b"args" => Role::Other,
            _ => Role::text(name),
        }
    }
}
