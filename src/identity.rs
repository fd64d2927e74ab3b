//! Who calls, and how that was proved.
//!
//! ```
//! use tower_inference::identity::{Identity, Proof};
//!
//! let identity = Identity::new(Proof::Jwt, "https://issuer.example", "user-7")
//!     .with_tenant("acme")
//!     .with_scopes(["infer", "models:read"]);
//! assert!(identity.has_scope("infer"));
//! assert_eq!(identity.principal().to_string(), "jwt:https://issuer.example#user-7");
//! ```
//!
//! # Limits
//!
//! An identity says what was proved when it was made. Whether its credential has expired since is
//! for whoever holds it to ask, by [`Identity::expires_at`].

use std::{collections::BTreeMap, fmt, sync::OnceLock, time::SystemTime};

use serde_json::{Map, Value};

/// How an identity was proved. Part of the principal: the same subject proved in two ways is two
/// principals.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Proof {
    /// A signed JSON Web Token.
    Jwt,
    /// An API key.
    ApiKey,
    /// An AWS Signature Version 4.
    AwsIam,
    /// A way of the caller's own, by a name that is stable.
    Other(&'static str),
}

impl Proof {
    /// A short stable name, as logs and keys have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::ApiKey => "api-key",
            Self::AwsIam => "aws-iam",
            Self::Other(name) => name,
        }
    }
}

/// A caller whose credential held.
#[derive(Clone, Eq, PartialEq)]
pub struct Identity {
    proof: Proof,
    issuer: Box<str>,
    subject: Box<str>,
    tenant: Option<Box<str>>,
    scopes: Box<[Box<str>]>,
    claims: BTreeMap<Box<str>, Value>,
    credential: Option<CredentialClaims>,
    expires_at: Option<SystemTime>,
}

impl Identity {
    /// An identity without tenant, scopes, claims or expiry.
    pub fn new(proof: Proof, issuer: impl Into<Box<str>>, subject: impl Into<Box<str>>) -> Self {
        Self {
            proof,
            issuer: issuer.into(),
            subject: subject.into(),
            tenant: None,
            scopes: Box::default(),
            claims: BTreeMap::new(),
            credential: None,
            expires_at: None,
        }
    }

    /// Sets the tenant. It is one only together with the issuer: two issuers' tenants of the same
    /// name never meet.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<Box<str>>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Sets what the caller may ask for.
    #[must_use]
    pub fn with_scopes<T: Into<Box<str>>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a claim, replacing one of the same name.
    #[must_use]
    pub fn with_claim(mut self, name: impl Into<Box<str>>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// Sets the claims as the credential has them: a JSON object. They are parsed when one is first
    /// asked for.
    #[cfg(feature = "auth")]
    #[must_use]
    pub(crate) fn with_credential_claims(mut self, json: Vec<u8>) -> Self {
        self.credential = Some(CredentialClaims { json, parsed: OnceLock::new() });
        self
    }

    /// Sets when the credential stops to hold.
    #[must_use]
    pub const fn with_expiry(mut self, at: SystemTime) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// Returns about how many bytes of memory it takes, with its claims as they are once one was
    /// asked for.
    #[cfg(feature = "auth")]
    pub(crate) fn memory(&self) -> usize {
        // Of an allocation.
        const HEAD: usize = 16;
        let texts = [Some(&*self.issuer), Some(&*self.subject), self.tenant.as_deref()];
        let texts = texts.into_iter().flatten().chain(self.scopes());
        let texts: usize = texts.map(|text| text.len() + HEAD).sum();
        let credential = self.credential.as_ref().map_or(0, CredentialClaims::memory);
        size_of::<Self>() + HEAD + texts + size_of_val(&*self.scopes) + credential
    }

    /// How it was proved.
    #[must_use]
    pub const fn proof(&self) -> Proof {
        self.proof
    }

    /// Who vouches for it.
    #[must_use]
    pub const fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Who it is, among the issuer's.
    #[must_use]
    pub const fn subject(&self) -> &str {
        &self.subject
    }

    /// On whose behalf it calls, if its credential says so.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// What it may ask for.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scopes.iter().map(AsRef::as_ref)
    }

    /// Whether `scope` is one of its own, compared exactly (RFC 6749 section 3.3).
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes().any(|own| own == scope)
    }

    /// A claim of the credential, as JSON.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name).or_else(|| self.credential.as_ref()?.parsed().get(name))
    }

    /// When the credential stops to hold, if it ever does.
    #[must_use]
    pub const fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// What tells this caller from any other.
    #[must_use]
    pub const fn principal(&self) -> Principal<'_> {
        Principal { proof: self.proof, issuer: &self.issuer, subject: &self.subject }
    }
}

impl fmt::Debug for Identity {
    // Claims hold names and addresses of people, so they are counted, not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("proof", &self.proof)
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .field("tenant", &self.tenant)
            .field("scopes", &self.scopes)
            .field(
                "claims",
                &(self.claims.len() + self.credential.as_ref().map_or(0, |c| c.parsed().len())),
            )
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

/// The claims of a credential, kept as they came: most requests ask for none of them.
#[derive(Clone)]
struct CredentialClaims {
    json: Vec<u8>,
    parsed: OnceLock<Map<String, Value>>,
}

impl CredentialClaims {
    fn parsed(&self) -> &Map<String, Value> {
        self.parsed.get_or_init(|| serde_json::from_slice(&self.json).unwrap_or_default())
    }

    /// Bytes of the text, and of the tree that it is parsed into, at most about: a map has nodes with
    /// places for eleven members, of which a split leaves half empty; an array grows by doubling.
    #[cfg(feature = "auth")]
    fn memory(&self) -> usize {
        const OF_MAP: usize = 640;
        const OF_ARRAY: usize = 128;
        const OF_VALUE: usize = 160;
        const OF_NAME: usize = 16;
        let tree = |byte: &u8| match byte {
            b'{' => OF_MAP,
            b'[' => OF_ARRAY,
            b',' => OF_VALUE,
            b':' => OF_NAME,
            _ => 0,
        };
        // All text stands in the tree once more.
        self.json.capacity() + self.json.len() + self.json.iter().map(tree).sum::<usize>()
    }
}

impl Eq for CredentialClaims {}

impl PartialEq for CredentialClaims {
    // Whether they were parsed yet makes no difference.
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

/// (how proved, issuer, subject): what tells one caller from another in keys and logs.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Principal<'a> {
    /// How it was proved.
    pub proof: Proof,
    /// Who vouches for it.
    pub issuer: &'a str,
    /// Who it is, among the issuer's.
    pub subject: &'a str,
}

/// `proof:issuer#subject`, for people. Not a key: an issuer may hold a `#`.
impl fmt::Display for Principal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}#{}", self.proof.name(), self.issuer, self.subject)
    }
}
