use crate::context::server_of;

/// Hosts of well-known providers (`gen_ai.provider.name`), by the end of the name.
const PROVIDERS: &[(&str, &str)] = &[
    ("huggingface.co", "huggingface"),
    ("huggingface.cloud", "huggingface"),
    ("hf.space", "huggingface"),
    ("openai.azure.com", "azure.ai.openai"),
    ("openai.com", "openai"),
    ("anthropic.com", "anthropic"),
    ("cohere.com", "cohere"),
    ("mistral.ai", "mistral_ai"),
    ("groq.com", "groq"),
    ("perplexity.ai", "perplexity"),
    ("deepseek.com", "deepseek"),
    ("x.ai", "x_ai"),
    ("moonshot.ai", "moonshot_ai"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
];

/// The provider of an upstream that nothing tells. The conventions require a name.
pub(crate) const OTHER_PROVIDER: &str = "_OTHER";

/// Returns the provider of an origin such as `https://router.huggingface.co`.
pub(crate) fn provider_of_origin(origin: &str) -> &'static str {
    let (host, _) = server_of(origin);
    let is_of = |domain: &str| {
        let before = host.strip_suffix(domain);
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    PROVIDERS.iter().find(|(domain, _)| is_of(domain)).map_or(OTHER_PROVIDER, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::{OTHER_PROVIDER, provider_of_origin};

    #[test]
    fn providers_are_told_by_their_hosts() {
        for (upstream, expected) in [
            ("https://router.huggingface.co", "huggingface"),
            ("https://x.us-east-1.aws.endpoints.huggingface.cloud", "huggingface"),
            ("https://api.openai.com", "openai"),
            ("https://me.openai.azure.com", "azure.ai.openai"),
            ("https://api.x.ai:8443", "x_ai"),
            // Only whole labels count.
            ("https://box.ai", OTHER_PROVIDER),
            ("http://127.0.0.1:8000", OTHER_PROVIDER),
            ("http://[::1]:8000", OTHER_PROVIDER),
            ("", OTHER_PROVIDER),
        ] {
            assert_eq!(provider_of_origin(upstream), expected, "{upstream}");
        }
    }
}
