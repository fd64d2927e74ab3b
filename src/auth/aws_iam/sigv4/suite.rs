//! The signing suite of AWS (aws-c-auth), which this project does not carry.

use std::{fs, path::Path, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

use super::{
    super::timestamp::Timestamp,
    canonical::{PathForm, SignedParts},
    check::{PayloadHash, Unverified},
    credential::{KnownCredential, SigningCredential},
    presented::{CredentialScope, PresentedSignature},
};
use crate::{secret::Secret, sha256::Digest};

struct RawRequest {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: String,
}

/// Reads a request. Its target may have characters that no HTTP/1.1 request has.
fn read(text: &str) -> RawRequest {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    // A line that starts with space continues the one before (RFC 9112 section 5.2).
    let head = head.trim_end().replace("\n ", " ");
    let mut lines = head.lines();
    let line = lines.next().unwrap();
    let (method, rest) = line.split_once(' ').unwrap();
    let target = rest.trim_end_matches("HTTP/1.1").trim_end().to_owned();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        let name = HeaderName::try_from(name.trim()).unwrap();
        headers.append(name, HeaderValue::try_from(value.trim()).unwrap());
    }
    RawRequest { method: method.parse().unwrap(), target, headers, body: body.to_owned() }
}

struct Case {
    folder: std::path::PathBuf,
    context: Value,
}

impl Case {
    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap()
    }

    fn str(&self, name: &str) -> &str {
        self.context[name].as_str().unwrap()
    }

    fn credential(&self) -> Arc<KnownCredential> {
        let of = |name: &str| self.context["credentials"][name].as_str();
        let secret = Secret::new(of("secret_access_key").unwrap());
        let mut credential = SigningCredential::new(of("access_key_id").unwrap(), secret).unwrap();
        if let Some(token) = of("token") {
            credential = credential.session_token(Secret::new(token));
        }
        Arc::new(KnownCredential::new(credential, "suite"))
    }

    fn form(&self) -> PathForm {
        if self.context["normalize"] == true { PathForm::Normalized } else { PathForm::Encoded }
    }

    /// Returns whether the client has added the session token to the query after it has signed. Some
    /// services of AWS accept that. We accept no unsigned parameter.
    fn has_unsigned_token(&self, form: &str) -> bool {
        form == "query" && self.folder.ends_with("post-sts-header-after")
    }

    /// Compares the canonical request, the string to sign and the signature of one form.
    fn canonicalises(&self, form: &str) {
        let expected = self.text(&format!("{form}-canonical-request.txt"));
        let lines: Vec<&str> = expected.lines().collect();
        let (hash, signed_headers) = (lines[lines.len() - 1], lines[lines.len() - 2]);
        let signed_headers: Vec<&str> = signed_headers.split(';').collect();
        let mut request = read(&self.text(&format!("{form}-signed-request.txt")));
        request.headers.remove("authorization");
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let unsigned = if self.has_unsigned_token(form) { "X-Amz-Security-Token=" } else { "none" };
        let query = query.split('&').filter(|pair| !pair.starts_with(unsigned));
        let query = &query.collect::<Vec<_>>().join("&");
        let host = request.headers["host"].to_str().unwrap();
        let parts = SignedParts {
            method: &request.method,
            path,
            query,
            headers: &request.headers,
            host,
            signed_headers: &signed_headers,
        };
        let forms = parts.canonical_forms(&[self.form()]).unwrap();
        let texts = forms.iter().map(|form| [form, hash.as_bytes()].concat());
        let texts: Vec<_> = texts.map(|text| String::from_utf8(text).unwrap()).collect();
        assert!(texts.contains(&expected), "{}: {texts:#?}", self.folder.display());

        let time = self.str("timestamp").replace(['-', ':'], "");
        let time = Timestamp::from_amz_date(&time).unwrap();
        let scope = CredentialScope {
            date: time.date().to_owned().into(),
            region: self.str("region").to_owned().into(),
            service: self.str("service").to_owned().into(),
        };
        let string = format!(
            "AWS4-HMAC-SHA256\n{}\n{}/{}/{}/aws4_request\n{}",
            time.as_str(),
            scope.date,
            scope.region,
            scope.service,
            Digest::of(expected.as_bytes()).to_hex()
        );
        assert_eq!(string, self.text(&format!("{form}-string-to-sign.txt")));
        let signature = self.credential().signing_key(&scope).sign(string.as_bytes());
        assert_eq!(signature.to_hex(), self.text(&format!("{form}-signature.txt")));
    }

    /// Verifies the signed request of one form. Returns false if its target is no URI.
    fn verifies(&self, form: &str) -> bool {
        let request = read(&self.text(&format!("{form}-signed-request.txt")));
        let Ok(uri) = request.target.parse() else { return false };
        let presented = PresentedSignature::of(&uri, &request.headers).unwrap();
        let (method, headers) = (&request.method, &request.headers);
        let payload = match &presented.payload_hash {
            Some(hash) => Digest::from_hex(hash.as_bytes()).unwrap(),
            None if self.context["sign_body"] == true => Digest::of(request.body.as_bytes()),
            None => Digest::EMPTY,
        };
        let unverified = Unverified::new(presented, method, &uri, headers, &[self.form()]).unwrap();
        let known = self.credential();
        let verify = |payload| unverified.verify(Some(&known), &known, PayloadHash::Of(payload));
        if self.has_unsigned_token(form) {
            assert!(verify(payload).is_err());
            return false;
        }
        let texts = unverified.texts(payload);
        let canonical = self.text(&format!("{form}-canonical-request.txt"));
        let string = self.text(&format!("{form}-string-to-sign.txt"));
        assert!(texts.contains(&(canonical, string)), "{}", self.folder.display());
        assert!(verify(payload).is_ok(), "{}", self.folder.display());
        assert!(verify(Digest::of(b"another body")).is_err());
        true
    }
}

fn cases() -> Vec<Case> {
    #[expect(clippy::disallowed_methods, reason = "CONTRIBUTING.md names the variable")]
    let data = std::env::var_os("CONFORMANCE_DATA").expect("CONFORMANCE_DATA");
    let suite = Path::new(&data).join("sigv4-aws-c-auth/tests/aws-signing-test-suite/v4");
    let folders = fs::read_dir(suite).unwrap().map(|entry| entry.unwrap().path());
    let case = |folder: std::path::PathBuf| {
        let context = fs::read(folder.join("context.json")).unwrap();
        Case { context: serde_json::from_slice(&context).unwrap(), folder }
    };
    folders.map(case).collect()
}

#[test]
#[ignore = "needs CONFORMANCE_DATA"]
fn canonical_request_string_to_sign_and_signature_equal_those_of_the_suite() {
    let cases = cases();
    assert_eq!(cases.len(), 38);
    for case in cases {
        for form in ["header", "query"] {
            case.canonicalises(form);
        }
    }
}

#[test]
#[ignore = "needs CONFORMANCE_DATA"]
fn signed_requests_of_the_suite_are_verified() {
    let cases = cases();
    let verified = cases.iter().map(|case| ["header", "query"].map(|form| case.verifies(form)));
    let verified = verified.flatten().filter(|verified| *verified).count();
    // Two cases have a space in their target, which no URI has. One form has an unsigned token.
    assert_eq!(verified, 2 * 38 - 2 * 2 - 1, "of both forms");
}
