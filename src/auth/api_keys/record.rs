use std::time::SystemTime;

/// What is known about an API key: the caller whose key it is and its state.
///
/// ```
/// use tower_inference::auth::ApiKeyRecord;
///
/// let record = ApiKeyRecord::new("acme-ci").tenant("acme").scopes(["infer"]).plan("gold");
/// # let _ = record;
/// ```
///
/// Two keys may have one id, so that a client can change its key without a pause. Both keys are the
/// same principal to limits, caches and budgets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApiKeyRecord {
    pub(super) id: Box<str>,
    pub(super) tenant: Option<Box<str>>,
    pub(super) scopes: Box<[Box<str>]>,
    pub(super) roles: Box<[Box<str>]>,
    pub(super) plan: Option<Box<str>>,
    pub(super) expires_at: Option<SystemTime>,
    pub(super) disabled: bool,
}

impl ApiKeyRecord {
    /// Creates the record of a key that does not expire. `id` names the caller and becomes the
    /// [subject](crate::identity::Identity::subject) of its identity.
    ///
    /// An id has 1 to 256 bytes and no control characters. It is not secret.
    pub fn new(id: impl Into<Box<str>>) -> Self {
        Self {
            id: id.into(),
            tenant: None,
            scopes: Box::default(),
            roles: Box::default(),
            plan: None,
            expires_at: None,
            disabled: false,
        }
    }

    /// Sets the tenant, of 1 to 256 bytes. All keys of one id need the same.
    #[must_use]
    pub fn tenant(mut self, tenant: impl Into<Box<str>>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Sets the scopes that the key grants, at most 64 of at most 128 bytes each.
    #[must_use]
    pub fn scopes<T: Into<Box<str>>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the roles, at most 64 of at most 128 bytes each.
    #[must_use]
    pub fn roles<T: Into<Box<str>>>(mut self, roles: impl IntoIterator<Item = T>) -> Self {
        self.roles = roles.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the plan, of 1 to 64 bytes. `Limit::by_plan` reads it.
    #[must_use]
    pub fn plan(mut self, plan: impl Into<Box<str>>) -> Self {
        self.plan = Some(plan.into());
        self
    }

    /// Sets the time from which the key is not accepted. By default it does not expire.
    #[must_use]
    pub const fn expires_at(mut self, at: SystemTime) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// Refuses the key.
    #[must_use]
    pub const fn disabled(mut self) -> Self {
        self.disabled = true;
        self
    }
}
