//! What the methods of authentication have in common.
//!
//! A method knows one kind of credential, such as a JSON Web Token or an API key. A layer has several
//! methods. The one that recognises the credential of a request decides.

use std::{fmt, future::Future, ops::BitOr, pin::Pin, sync::Arc};

use http::{HeaderMap, HeaderName, Uri};

use super::failure::Failure;
use crate::{context::RequestHead, identity::Identity};

/// A kind of credential and the requirements for it. `Debug` prints the settings without secrets.
pub(super) trait AuthMethod: fmt::Debug + Send + Sync {
    /// Returns where the request has a credential of this kind. Looks at its place and its form alone.
    fn recognises(&self, head: &RequestHead<'_>) -> Places;

    /// Returns the header of [`Places::HEADER`], by which a layer tells two such places apart.
    fn header(&self) -> Option<&HeaderName> {
        None
    }

    /// Verifies the credential. A request that has `waited` does not wait again for the same reason.
    fn verify(&self, head: &RequestHead<'_>, waited: bool) -> Verdict;

    /// Returns what a client without credentials should send, such as "a key in the header
    /// `x-api-key`".
    fn hint(&self) -> &str;

    /// Returns the schemes of the challenges to a client without credentials (RFC 9110 section 11.1).
    fn schemes(&self) -> &'static [&'static str] {
        &["Bearer"]
    }

    /// Returns whether [`verify`](Self::verify) judges each `authorization` header. Otherwise a request
    /// may have a second credential there.
    fn judges_authorization(&self) -> bool {
        true
    }

    /// Returns whether a request passes whatever its `authorization` headers are.
    fn ignores_authorization(&self) -> bool {
        false
    }

    /// Returns the facts that this method's identities may have beside subject and scopes.
    fn facts(&self) -> Facts;

    /// Marks the headers with a credential as sensitive. The layer does so for `authorization`.
    fn conceal(&self, _headers: &mut HeaderMap) {}

    /// Removes a credential that no inner service may see. Runs on each request that is let in.
    fn remove_credential_from_headers(&self, _headers: &mut HeaderMap) {}

    /// Removes a credential that no inner service may see. Runs on each request that is let in.
    fn remove_credential_from_query(&self, _uri: &mut Uri) {}
}

/// The result for a request.
pub(super) enum Verdict {
    /// The request has no credential of this kind.
    Missing,
    Allow(Arc<Identity>),
    Reject(Failure),
    Wait(Waiting),
}

/// The wait of one request. Dropping it ends the wait.
pub(super) type Waiting = Pin<Box<dyn Future<Output = Waited> + Send>>;

/// The end of a wait.
pub(super) enum Waited {
    /// The request is verified again.
    VerifyAgain,
    Allow(Arc<Identity>),
    Reject(Failure),
}

/// The places of a request that hold credentials.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Places(u8);

impl Places {
    pub(super) const NONE: Self = Self(0);
    /// The header `authorization`.
    pub(super) const AUTHORIZATION: Self = Self(1);
    /// Another header. [`AuthMethod::header`] names it.
    pub(super) const HEADER: Self = Self(2);
    /// The query.
    pub(super) const QUERY: Self = Self(4);
    /// A place that a user's own method knows. No two of them are the same.
    pub(super) const OTHER: Self = Self(8);

    pub(super) const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Returns whether each place of `other` is one of these.
    pub(super) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Places {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Facts of an identity that a rule may ask for. A rule over a fact that no method knows would never
/// hold.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Facts {
    pub(super) tenant: bool,
    pub(super) client: bool,
    pub(super) roles: bool,
    pub(super) groups: bool,
    pub(super) plan: bool,
}

impl Facts {
    /// The facts of a method whose identities may have any of them.
    pub(super) const ALL: Self =
        Self { tenant: true, client: true, roles: true, groups: true, plan: true };

    pub(super) const fn or(self, other: Self) -> Self {
        Self {
            tenant: self.tenant || other.tenant,
            client: self.client || other.client,
            roles: self.roles || other.roles,
            groups: self.groups || other.groups,
            plan: self.plan || other.plan,
        }
    }
}
