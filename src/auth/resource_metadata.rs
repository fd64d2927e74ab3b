//! Tells clients how to get a token (RFC 9728).
//!
//! A client that knows only the address of the gateway has to find the issuer of its tokens. The
//! challenge of a rejection leads to a document that names it. MCP clients and others follow it.
//!
//! ```
//! use http::Request;
//! use tower::ServiceExt;
//! use tower_inference::auth::ResourceMetadata;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let metadata = ResourceMetadata::new("https://gateway.example")
//!     .unwrap()
//!     .authorization_servers(["https://issuer.example"])
//!     .scopes(["infer"]);
//! assert_eq!(metadata.path(), "/.well-known/oauth-protected-resource");
//!
//! let response = metadata.service().oneshot(Request::new(())).await.unwrap();
//! assert_eq!(response.headers()["content-type"], "application/json");
//! # }
//! ```
//!
//! Serve it without authentication at its path, and give it to
//! [`AuthLayer::resource_metadata`](super::AuthLayer::resource_metadata).

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::Full;
use serde_json::{Map, Value};
use tower_service::Service;

use super::error::AuthError;
use crate::loopback::is_loopback;

/// The part of the path before the resource's own (RFC 9728 section 3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The metadata of a protected resource (RFC 9728 section 2).
#[derive(Clone, Debug)]
pub struct ResourceMetadata {
    origin: String,
    path: String,
    members: Map<String, Value>,
}

impl ResourceMetadata {
    /// Describes the gateway by its public address, such as `https://gateway.example` or
    /// `https://example.com/inference`. Clients compare it with the address that they use.
    ///
    /// # Errors
    ///
    /// Returns [`AuthError::InvalidResource`] unless the address is an `https` URL without user
    /// information, query and fragment. Plain `http` is allowed for loopback hosts.
    pub fn new(resource: &str) -> Result<Self, AuthError> {
        let (origin, own_path) = split(resource).ok_or(AuthError::InvalidResource)?;
        let path = format!("{WELL_KNOWN}{}", own_path.trim_end_matches('/'));
        let mut members = Map::new();
        members.insert("resource".to_owned(), resource.into());
        members.insert("bearer_methods_supported".to_owned(), ["header"].as_slice().into());
        Ok(Self { origin, path, members })
    }

    /// Sets the issuers of the tokens that the gateway accepts. Defaults to none.
    #[must_use]
    pub fn authorization_servers<T: Into<String>>(
        self,
        issuers: impl IntoIterator<Item = T>,
    ) -> Self {
        self.list("authorization_servers", issuers)
    }

    /// Sets the scopes that clients may request. Defaults to none.
    #[must_use]
    pub fn scopes<T: Into<String>>(self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.list("scopes_supported", scopes)
    }

    /// Sets the name of the gateway for people. Defaults to none.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        self.member("resource_name", name.into())
    }

    /// Sets another member of the document, such as `resource_documentation` or
    /// `dpop_bound_access_tokens_required`.
    #[must_use]
    pub fn member(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.members.insert(name.into(), value.into());
        self
    }

    /// Returns the path at which clients look for the document.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the address of the document, for the challenges.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}{}", self.origin, self.path)
    }

    /// Returns the document as JSON.
    #[must_use]
    pub fn document(&self) -> Bytes {
        Value::Object(self.members.clone()).to_string().into()
    }

    /// Returns the service that sends the document to each GET request, whatever its path.
    #[must_use]
    pub fn service(&self) -> ResourceMetadataService {
        ResourceMetadataService { document: self.document() }
    }

    /// Sets a list. An empty one is left out (RFC 9728 section 3.2).
    fn list<T: Into<String>>(mut self, name: &str, items: impl IntoIterator<Item = T>) -> Self {
        let items: Vec<_> = items.into_iter().map(|item| Value::String(item.into())).collect();
        if items.is_empty() {
            self.members.remove(name);
            return self;
        }
        self.member(name, Value::Array(items))
    }
}

/// Returns the origin and the path of a resource's identifier.
fn split(resource: &str) -> Option<(String, String)> {
    let uri: Uri = resource.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?.as_str());
    let is_safe = scheme == "https" || scheme == "http" && is_loopback(uri.host()?);
    if !is_safe || authority.contains('@') || resource.contains(['?', '#', '"', '\\']) {
        return None;
    }
    Some((format!("{scheme}://{authority}"), uri.path().to_owned()))
}

/// Sends the document of a [`ResourceMetadata`]. Made by [`ResourceMetadata::service`].
#[derive(Clone, Debug)]
pub struct ResourceMetadataService {
    document: Bytes,
}

impl<B> Service<Request<B>> for ResourceMetadataService {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut response = Response::new(Full::default());
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
            *response.body_mut() = Full::new(self.document.clone());
        } else {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_at_the_well_known_path_before_the_own_one() {
        for (resource, url) in [
            ("https://a.example", "https://a.example/.well-known/oauth-protected-resource"),
            ("https://a.example/", "https://a.example/.well-known/oauth-protected-resource"),
            (
                "https://a.example:8443/t/1",
                "https://a.example:8443/.well-known/oauth-protected-resource/t/1",
            ),
            ("http://127.0.0.1:80", "http://127.0.0.1:80/.well-known/oauth-protected-resource"),
        ] {
            assert_eq!(ResourceMetadata::new(resource).unwrap().url(), url);
        }
        for resource in [
            "",
            "a.example",
            "http://a.example",
            "https://a.example?x=1",
            "https://a.example#x",
            "https://user@a.example",
            "ftp://a.example",
        ] {
            let rejected = ResourceMetadata::new(resource).map(|_| ());
            assert_eq!(rejected, Err(AuthError::InvalidResource), "{resource}");
        }
    }

    #[test]
    fn the_document_has_the_members_of_the_standard() {
        let metadata = ResourceMetadata::new("https://a.example/t")
            .unwrap()
            .authorization_servers(["https://issuer.example"])
            .scopes(["infer"])
            .name("Inference");
        let empty = metadata.clone().scopes([""; 0]).authorization_servers([""; 0]).document();
        let empty: Value = serde_json::from_slice(&empty).unwrap();
        assert!(empty.get("scopes_supported").is_none());
        assert!(empty.get("authorization_servers").is_none());
        let document: Value = serde_json::from_slice(&metadata.document()).unwrap();
        assert_eq!(
            document,
            serde_json::json!({
                "resource": "https://a.example/t",
                "authorization_servers": ["https://issuer.example"],
                "scopes_supported": ["infer"],
                "resource_name": "Inference",
                "bearer_methods_supported": ["header"],
            })
        );
    }
}
