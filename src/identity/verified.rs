use std::{
    collections::BTreeMap,
    fmt,
    hash::{Hash, Hasher},
    sync::OnceLock,
    time::SystemTime,
};

use serde_json::{Map, Value};

use super::{claim_path::ClaimPath, proof::Proof};

/// A caller whose credential was verified.
#[derive(Clone, Eq, PartialEq)]
pub struct Identity {
    proof: Proof,
    issuer: Box<str>,
    subject: Box<str>,
    tenant: Option<Box<str>>,
    scopes: Box<[Box<str>]>,
    facts: Option<Box<Facts>>,
    claims: BTreeMap<Box<str>, Value>,
    credential: Option<CredentialClaims>,
    expires_at: Option<SystemTime>,
}

impl Identity {
    /// Creates an identity without tenant, scopes, claims or expiry.
    pub fn new(proof: Proof, issuer: impl Into<Box<str>>, subject: impl Into<Box<str>>) -> Self {
        Self {
            proof,
            issuer: issuer.into(),
            subject: subject.into(),
            tenant: None,
            scopes: Box::default(),
            facts: None,
            claims: BTreeMap::new(),
            credential: None,
            expires_at: None,
        }
    }

    /// Sets the tenant.
    ///
    /// A tenant belongs to its issuer. Tenants of the same name at two issuers are different.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<Box<str>>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Sets the scopes that the caller was granted.
    #[must_use]
    pub fn with_scopes<T: Into<Box<str>>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the client: the program that acts for the subject (`client_id`, `azp`).
    #[must_use]
    pub fn with_client(mut self, client: impl Into<Box<str>>) -> Self {
        self.facts_mut().client = Some(client.into());
        self
    }

    /// Sets the roles.
    #[must_use]
    pub fn with_roles<T: Into<Box<str>>>(mut self, roles: impl IntoIterator<Item = T>) -> Self {
        self.facts_mut().roles = roles.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the groups.
    #[must_use]
    pub fn with_groups<T: Into<Box<str>>>(mut self, groups: impl IntoIterator<Item = T>) -> Self {
        self.facts_mut().groups = groups.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the plan, by which limits choose their allowance.
    #[must_use]
    pub fn with_plan(mut self, plan: impl Into<Box<str>>) -> Self {
        self.facts_mut().plan = Some(plan.into());
        self
    }

    /// Sets the public id of the credential, such as that of an API key. Logs show it.
    #[must_use]
    pub fn with_credential_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.facts_mut().credential_id = Some(id.into());
        self
    }

    fn facts_mut(&mut self) -> &mut Facts {
        self.facts.get_or_insert_default()
    }

    /// Adds a claim. Replaces one of the same name.
    #[must_use]
    pub fn with_claim(mut self, name: impl Into<Box<str>>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// Sets the claims of the credential, a JSON object. The first read parses them.
    #[cfg(feature = "auth")]
    #[must_use]
    pub(crate) fn with_credential_claims(mut self, json: Vec<u8>) -> Self {
        self.credential = Some(CredentialClaims { json, parsed: OnceLock::new() });
        self
    }

    /// Sets when the credential expires.
    #[must_use]
    pub const fn with_expires_at(mut self, at: SystemTime) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// Returns about how many bytes of memory it takes once its claims are parsed.
    #[cfg(feature = "auth")]
    pub(crate) fn memory(&self) -> usize {
        // The overhead of an allocation.
        const HEAD: usize = 16;
        let texts = [Some(&*self.issuer), Some(&*self.subject), self.tenant.as_deref()];
        let texts = texts.into_iter().flatten().chain(self.scopes());
        let texts: usize = texts.map(|text| text.len() + HEAD).sum();
        let texts = texts + self.facts.as_ref().map_or(0, |facts| facts.memory(HEAD));
        let credential = self.credential.as_ref().map_or(0, CredentialClaims::memory);
        let claims = if self.claims.is_empty() {
            0
        } else {
            serde_json::to_vec(&self.claims).map_or(0, |json| tree_memory(&json))
        };
        size_of::<Self>() + HEAD + texts + size_of_val(&*self.scopes) + credential + claims
    }

    /// Returns how the identity was proved.
    #[must_use]
    pub const fn proof(&self) -> Proof {
        self.proof
    }

    /// Returns the issuer that vouches for the identity.
    #[must_use]
    pub const fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns the subject. It is unique within the issuer.
    #[must_use]
    pub const fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns the tenant. `None` if the credential names none.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// Returns the granted scopes.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scopes.iter().map(AsRef::as_ref)
    }

    /// Returns whether `scope` was granted. Scopes are compared exactly (RFC 6749 section 3.3).
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes().any(|own| own == scope)
    }

    /// Returns the client: the program that acts for the subject.
    #[must_use]
    pub fn client(&self) -> Option<&str> {
        self.facts.as_ref()?.client.as_deref()
    }

    /// Returns the roles.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.facts.iter().flat_map(|facts| facts.roles.iter().map(AsRef::as_ref))
    }

    /// Returns the groups.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.facts.iter().flat_map(|facts| facts.groups.iter().map(AsRef::as_ref))
    }

    /// Returns the plan.
    #[must_use]
    pub fn plan(&self) -> Option<&str> {
        self.facts.as_ref()?.plan.as_deref()
    }

    /// Returns the public id of the credential.
    #[must_use]
    pub fn credential_id(&self) -> Option<&str> {
        self.facts.as_ref()?.credential_id.as_deref()
    }

    /// Returns a claim of the credential as JSON.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name).or_else(|| self.credential.as_ref()?.parsed().get(name))
    }

    /// Returns the claim at a path as JSON.
    #[must_use]
    pub fn claim_at(&self, path: &ClaimPath) -> Option<&Value> {
        path.rest().iter().try_fold(self.claim(path.first())?, |claim, name| claim.get(&**name))
    }

    /// Returns when the credential expires. `None` if it does not.
    #[must_use]
    pub const fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// Returns the principal. It distinguishes this caller from every other.
    #[must_use]
    pub const fn principal(&self) -> Principal<'_> {
        Principal { proof: self.proof, issuer: &self.issuer, subject: &self.subject }
    }
}

impl fmt::Debug for Identity {
    // Claims contain personal data, so only their number is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("proof", &self.proof)
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .field("tenant", &self.tenant)
            .field("scopes", &self.scopes)
            .field("facts", &self.facts)
            .field(
                "claims",
                &(self.claims.len() + self.credential.as_ref().map_or(0, |c| c.parsed().len())),
            )
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

/// What few credentials have.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Facts {
    client: Option<Box<str>>,
    roles: Box<[Box<str>]>,
    groups: Box<[Box<str>]>,
    plan: Option<Box<str>>,
    credential_id: Option<Box<str>>,
}

#[cfg(feature = "auth")]
impl Facts {
    fn memory(&self, overhead: usize) -> usize {
        let texts = [&self.client, &self.plan, &self.credential_id].into_iter().flatten();
        let texts = texts.chain(&self.roles).chain(&self.groups);
        let texts: usize = texts.map(|text| text.len() + overhead).sum();
        size_of::<Self>() + size_of_val(&*self.roles) + size_of_val(&*self.groups) + texts
    }
}

/// The claims of a credential, unparsed because most requests read none of them.
#[derive(Clone)]
struct CredentialClaims {
    json: Vec<u8>,
    parsed: OnceLock<Map<String, Value>>,
}

impl CredentialClaims {
    fn parsed(&self) -> &Map<String, Value> {
        self.parsed.get_or_init(|| serde_json::from_slice(&self.json).unwrap_or_default())
    }

    /// Returns an upper estimate of the bytes of the text and of its parsed tree.
    #[cfg(feature = "auth")]
    fn memory(&self) -> usize {
        self.json.capacity() + tree_memory(&self.json)
    }
}

/// Returns an upper estimate of the bytes of a parsed tree, which has a copy of all text.
///
/// A node of a map has room for eleven members and a split leaves half of it empty. An array grows by
/// doubling.
#[cfg(feature = "auth")]
fn tree_memory(json: &[u8]) -> usize {
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
    json.len() + json.iter().map(tree).sum::<usize>()
}

impl Eq for CredentialClaims {}

impl PartialEq for CredentialClaims {
    // Two values are equal whether they are parsed or not.
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

/// Proof, issuer and subject: the name of a caller in keys and logs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Principal<'a> {
    /// How the identity was proved.
    pub proof: Proof,
    /// The issuer that vouches for the identity.
    pub issuer: &'a str,
    /// The subject. It is unique within the issuer.
    pub subject: &'a str,
}

// In few writes, each of which SipHash pays for. The lengths tell where a part ends.
impl Hash for Principal<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { proof, issuer, subject } = self;
        let (proof, name) = match *proof {
            Proof::Jwt => (0, None),
            Proof::ApiKey => (1, None),
            Proof::AwsIam => (2, None),
            Proof::Introspection => (3, None),
            Proof::Anonymous => (4, None),
            Proof::Other(name) => (5, Some(name)),
        };
        let lengths = (issuer.len() as u64) << 32 | (subject.len() as u64 & 0xff_ffff) << 8;
        state.write_u64(lengths | proof);
        if let Some(name) = name {
            name.hash(state);
        }
        state.write(issuer.as_bytes());
        state.write(subject.as_bytes());
    }
}

/// Formats `proof:issuer#subject` for people. It is not a key because an issuer may contain `#`.
impl fmt::Display for Principal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}#{}", self.proof.as_str(), self.issuer, self.subject)
    }
}
