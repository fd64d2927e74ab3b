//! Credentials in a query, as in presigned URLs (SigV4) and from clients that cannot set headers.

use crate::stripped_query::is_credentials;

/// Returns the query without credentials, or `None` when it has none. The other parameters keep their
/// bytes.
pub(super) fn without_credentials(query: &str) -> Option<String> {
    let credentials = |parameter: &&str| is_credentials(parameter.split('=').next().unwrap_or(""));
    query.split('&').find(credentials)?;
    let kept: Vec<_> = query.split('&').filter(|parameter| !credentials(parameter)).collect();
    Some(kept.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_signature_of_a_presigned_query_is_removed() {
        let query = "a=%2F&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20261123&b\
            &X-Amz-Security-Token=t&X-Amz-Signature=s&x-amz-date=1&X%2damz%2DExpires=9&&c==";
        assert_eq!(without_credentials(query).unwrap(), "a=%2F&b&&c==");
    }

    #[test]
    fn tokens_and_keys_are_removed_in_every_spelling() {
        for name in [
            "access_token",
            "access-token[]",
            "API_KEY",
            "api%5fkey",
            "%61pikey",
            "token",
            "id_token",
            "subscription-key",
            "key",
        ] {
            assert_eq!(without_credentials(&format!("{name}=x")).unwrap(), "", "{name}");
            assert_eq!(without_credentials(&format!("{name}&a=1")).unwrap(), "a=1", "{name}");
        }
    }

    #[test]
    fn other_queries_are_unchanged() {
        for query in
            ["", "a=1", "a=access_token", "max_tokens=5", "page_token=3", "%", "%6=%zz", "="]
        {
            assert_eq!(without_credentials(query), None, "{query}");
        }
        // As long as the longest known name, and longer.
        assert_eq!(without_credentials("authorization123=1&authorizationauthorization=1"), None);
    }
}
