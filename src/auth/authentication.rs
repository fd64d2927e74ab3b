//! The methods of one layer.

use std::{fmt, sync::Arc};

use http::{Extensions, HeaderMap, HeaderValue, Request, Uri, header::AUTHORIZATION};

use super::{
    access::AccessRules,
    credential::{Credential, CredentialKind},
    failure::{ChallengeParameters, Failure},
    method::{AuthMethod, Facts, Places, Verdict, Waited, Waiting},
    token::TokenVerifier,
};
use crate::{
    context::{RequestContext, RequestHead},
    identity::Identity,
    rejection::{Refusal, Rejection},
};

/// Finds the URI as the client sent it.
pub(super) type OriginalUri = fn(&Extensions) -> Option<&Uri>;

/// The methods of a layer and what they share.
#[derive(Clone, Default)]
pub(super) struct Authentication {
    /// The one verifier of the tokens of all issuers. It is also one of the methods, at this position.
    tokens: Option<(usize, Arc<TokenVerifier>)>,
    methods: Vec<Arc<dyn AuthMethod>>,
    pub(super) anonymous: Option<Arc<Identity>>,
    pub(super) rules: Option<AccessRules>,
    pub(super) original_uri: Option<OriginalUri>,
    pub(super) challenge: ChallengeParameters,
}

impl Authentication {
    pub(super) fn add(&mut self, credential: Credential) {
        match credential.0 {
            CredentialKind::Jwt(jwt) => {
                let (position, verifier) = match &self.tokens {
                    Some((position, tokens)) => (*position, tokens.with(*jwt)),
                    None => (self.methods.len(), TokenVerifier::new([*jwt])),
                };
                let verifier = Arc::new(verifier);
                let method = Arc::clone(&verifier) as Arc<dyn AuthMethod>;
                match self.methods.get_mut(position) {
                    Some(previous) => *previous = method,
                    None => self.methods.push(method),
                }
                self.tokens = Some((position, verifier));
            }
            CredentialKind::Other(method) => self.methods.push(method),
        }
    }

    /// Returns the verifier of tokens.
    pub(super) fn tokens(&self) -> Option<&TokenVerifier> {
        self.tokens.as_ref().map(|(_, verifier)| &**verifier)
    }

    /// Lets the method that recognises the credential decide.
    pub(super) fn authenticate(&self, head: &RequestHead<'_>, waited: bool) -> Decision {
        let verdict = match &*self.methods {
            [only] if only.judges_authorization() => only.verify(head, waited),
            methods => match choose(methods, head) {
                Choice::Method(method) => method.verify(head, waited),
                Choice::Missing => Verdict::Missing,
                Choice::Reject(failure) => Verdict::Reject(failure),
            },
        };
        match verdict {
            Verdict::Missing => self.missing(head),
            Verdict::Allow(identity) => self.authorize(head, identity),
            Verdict::Reject(failure) => self.reject(failure),
            Verdict::Wait(waiting) => Decision::Wait(waiting),
        }
    }

    /// Decides on a request that has waited.
    pub(super) fn resume(&self, head: &RequestHead<'_>, waited: Waited) -> Decision {
        match waited {
            Waited::VerifyAgain => self.authenticate(head, true),
            Waited::Allow(identity) => self.authorize(head, identity),
            Waited::Reject(failure) => self.reject(failure),
        }
    }

    /// Asks the rules whether the caller may use the route.
    fn authorize(&self, head: &RequestHead<'_>, identity: Arc<Identity>) -> Decision {
        let Some(rules) = &self.rules else { return Decision::Allow(identity) };
        match rules.check(&identity, head.method(), head.uri().path()) {
            Ok(()) => Decision::Allow(identity),
            Err(failure) => self.reject(failure),
        }
    }

    fn reject(&self, failure: Failure) -> Decision {
        Decision::Reject(self.challenge.complete(failure))
    }

    /// Decides on a request without a credential.
    fn missing(&self, head: &RequestHead<'_>) -> Decision {
        // A credential of another kind was meant to prove something.
        if !head.headers().contains_key(AUTHORIZATION)
            && let Some(anonymous) = &self.anonymous
            // A guest that the rules deny is asked for a credential.
            && let Decision::Allow(identity) = self.authorize(head, Arc::clone(anonymous))
        {
            return Decision::Allow(identity);
        }
        let mut hints = Vec::new();
        for hint in self.methods.iter().map(|method| method.hint()) {
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        let rejection = Rejection::new(Refusal::MissingCredentials)
            .with_detail(format!("send {}", hints.join(" or ")));
        let mut schemes = Vec::new();
        for scheme in self.methods.iter().flat_map(|method| method.schemes()) {
            if !schemes.contains(scheme) {
                schemes.push(*scheme);
            }
        }
        // Clients that read one challenge read the first. Bearer is the one that most know.
        schemes.sort_by_key(|scheme| *scheme != "Bearer");
        let mut schemes = schemes.into_iter();
        let first = schemes.next().unwrap_or("Bearer");
        // Without an error code (RFC 6750 section 3.1).
        self.reject(Failure::challenge(rejection, first, None).or(schemes))
    }

    /// Returns the head of a request as the client sent it.
    pub(super) fn head<'a, B>(
        &self,
        request: &'a Request<B>,
        context: &'a RequestContext,
    ) -> RequestHead<'a> {
        let head = RequestHead::new(request, context);
        match self.original_uri.and_then(|find| find(request.extensions())) {
            Some(uri) => head.with_uri(uri),
            None => head,
        }
    }

    /// Returns what the methods' identities may have.
    pub(super) fn facts(&self) -> Facts {
        let facts = self.methods.iter().map(|method| method.facts());
        facts.fold(Facts::default(), Facts::or)
    }

    /// Keeps the credentials of a request out of the `Debug` output of inner services.
    pub(super) fn conceal(&self, headers: &mut HeaderMap) {
        // The first one is enough unless a method lets a request with several pass.
        if let Some(credentials) = headers.get_mut(AUTHORIZATION) {
            credentials.set_sensitive(true);
        }
        for method in &self.methods {
            method.conceal(headers);
            if method.ignores_authorization() {
                let credentials = headers.iter_mut().filter(|(name, _)| **name == AUTHORIZATION);
                credentials.for_each(|(_, value)| value.set_sensitive(true));
            }
        }
    }

    /// Removes the credentials that no inner service may see.
    pub(super) fn remove_credentials<B>(&self, request: &mut Request<B>) {
        for method in &self.methods {
            method.remove_credential_from_headers(request.headers_mut());
            method.remove_credential_from_query(request.uri_mut());
        }
    }
}

/// What becomes of a request.
pub(super) enum Decision {
    Allow(Arc<Identity>),
    Reject(Rejection),
    Wait(Waiting),
}

enum Choice<'a> {
    Method(&'a dyn AuthMethod),
    Missing,
    Reject(Failure),
}

/// Chooses the method for a request. The first one that recognises a credential wins. A credential at
/// another place is a second one.
fn choose<'a>(methods: &'a [Arc<dyn AuthMethod>], head: &RequestHead<'_>) -> Choice<'a> {
    let mut chosen: Option<(&dyn AuthMethod, Places)> = None;
    let mut bearer = None;
    for method in methods {
        let places = method.recognises(head);
        if places.is_none() {
            continue;
        }
        match chosen {
            None => chosen = Some((method.as_ref(), places)),
            Some((first, at)) if at.contains(places) && is_same_place(first, &**method, places) => {
            }
            Some(_) => return Choice::Reject(Failure::second_credential()),
        }
    }
    let mut authorization = head.headers().get_all(AUTHORIZATION).iter();
    if let Some(value) = authorization.next() {
        bearer = (!is_empty(value)).then(|| is_bearer(value));
        if authorization.next().is_some() {
            return Choice::Reject(Failure::second_credential());
        }
    }
    match (chosen, bearer) {
        (Some((method, places)), _) if places.contains(Places::AUTHORIZATION) => {
            Choice::Method(method)
        }
        (Some((method, _)), None) => Choice::Method(method),
        (Some(_), Some(_)) => Choice::Reject(Failure::second_credential()),
        // A bearer token of no known form.
        (None, Some(true)) => Choice::Reject(Failure::invalid_bearer()),
        (None, Some(false) | None) => Choice::Missing,
    }
}

/// Returns whether two methods that recognise a credential at these places read the same one.
fn is_same_place(first: &dyn AuthMethod, second: &dyn AuthMethod, places: Places) -> bool {
    !places.contains(Places::OTHER)
        && (!places.contains(Places::HEADER) || first.header() == second.header())
}

/// Returns whether a header holds nothing. SDKs without a key send `Bearer `.
fn is_empty(value: &HeaderValue) -> bool {
    let text = value.as_bytes().trim_ascii();
    text.is_empty() || text.eq_ignore_ascii_case(b"bearer")
}

fn is_bearer(value: &HeaderValue) -> bool {
    let scheme = value.as_bytes().split(|byte| *byte == b' ').next();
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"))
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.methods).finish()
    }
}
