use crate::identity::ClaimPath;

/// The claims that become the parts of an [`Identity`](crate::identity::Identity).
///
/// Identity providers put the tenant, the client, the roles, the groups and the plan of a caller into
/// claims of their own names.
///
/// ```
/// use tower_inference::auth::{ClaimMapping, Jwt, KeySource};
///
/// # let keys = KeySource::file("tests/data/jwks.json").unwrap();
/// let claims = ClaimMapping::new()
///     .tenant("org.id")
///     .roles("realm_access.roles")
///     .groups("groups")
///     .plan_if_contains("groups", "llm-pro", "pro")
///     .plan_if_equals("tier", "basic", "free");
/// let jwt = Jwt::new(keys, "https://issuer.example", "https://gateway.example").claims(claims);
/// # drop(jwt);
/// ```
///
/// By default `sub` is the subject and `client_id` or `azp` is the client. Nothing else is mapped.
/// Each call of a setter adds a place. For the subject, the tenant, the client and the plan the first
/// place with a claim counts. For the roles and the groups all places count.
///
/// The subject, the tenant, the client and a plan are non-empty strings. Roles and groups are an array
/// of strings or one string. A token is rejected if a claim at one of the places has another type. The
/// rejection names the claim.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClaimMapping {
    pub(crate) subject: Vec<ClaimPath>,
    pub(crate) tenant: Vec<ClaimPath>,
    pub(crate) tenant_required: bool,
    pub(crate) client: Vec<ClaimPath>,
    pub(crate) roles: Vec<ClaimPath>,
    pub(crate) groups: Vec<ClaimPath>,
    pub(crate) plan: Vec<PlanRule>,
}

/// How a claim selects a plan.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum PlanRule {
    Claim(ClaimPath),
    Equals { path: ClaimPath, value: Box<str>, plan: Box<str> },
    Contains { path: ClaimPath, value: Box<str>, plan: Box<str> },
}

impl ClaimMapping {
    /// Maps the subject and the client only.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a place of the subject. Defaults to `sub`.
    ///
    /// A token without a subject is rejected. For an issuer that leaves out `sub` for its clients add
    /// `sub` first and then `client_id` or `azp`. The issuer must then not use a client's name as the
    /// `sub` of someone else.
    #[must_use]
    pub fn subject(mut self, path: impl Into<ClaimPath>) -> Self {
        self.subject.push(path.into());
        self
    }

    /// Adds a place of the [tenant](crate::identity::Identity::tenant). Defaults to none.
    ///
    /// A token without the claim has no tenant. See [`tenant_required`](Self::tenant_required).
    #[must_use]
    pub fn tenant(mut self, path: impl Into<ClaimPath>) -> Self {
        self.tenant.push(path.into());
        self
    }

    /// Rejects tokens without a tenant.
    #[must_use]
    pub const fn tenant_required(mut self) -> Self {
        self.tenant_required = true;
        self
    }

    /// Adds a place of the OAuth client. Defaults to `client_id` and then `azp`.
    #[must_use]
    pub fn client(mut self, path: impl Into<ClaimPath>) -> Self {
        self.client.push(path.into());
        self
    }

    /// Adds a place of roles. Defaults to none.
    #[must_use]
    pub fn roles(mut self, path: impl Into<ClaimPath>) -> Self {
        self.roles.push(path.into());
        self
    }

    /// Adds a place of groups. Defaults to none.
    #[must_use]
    pub fn groups(mut self, path: impl Into<ClaimPath>) -> Self {
        self.groups.push(path.into());
        self
    }

    /// Adds a claim whose text is the plan. Defaults to none.
    #[must_use]
    pub fn plan(mut self, path: impl Into<ClaimPath>) -> Self {
        self.plan.push(PlanRule::Claim(path.into()));
        self
    }

    /// Selects `plan` if the claim is the string `value`.
    #[must_use]
    pub fn plan_if_equals(
        mut self,
        path: impl Into<ClaimPath>,
        value: impl Into<Box<str>>,
        plan: impl Into<Box<str>>,
    ) -> Self {
        let (path, value, plan) = (path.into(), value.into(), plan.into());
        self.plan.push(PlanRule::Equals { path, value, plan });
        self
    }

    /// Selects `plan` if the claim is an array of strings with `value` in it.
    ///
    /// The element equals `value` as a whole. One string counts as an array of it.
    #[must_use]
    pub fn plan_if_contains(
        mut self,
        path: impl Into<ClaimPath>,
        value: impl Into<Box<str>>,
        plan: impl Into<Box<str>>,
    ) -> Self {
        let (path, value, plan) = (path.into(), value.into(), plan.into());
        self.plan.push(PlanRule::Contains { path, value, plan });
        self
    }

    /// Fills each part without a place from `defaults`.
    pub(crate) fn or(mut self, defaults: &Self) -> Self {
        let fill = |own: &mut Vec<ClaimPath>, default: &Vec<ClaimPath>| {
            if own.is_empty() {
                own.clone_from(default);
            }
        };
        fill(&mut self.subject, &defaults.subject);
        fill(&mut self.tenant, &defaults.tenant);
        fill(&mut self.client, &defaults.client);
        fill(&mut self.roles, &defaults.roles);
        fill(&mut self.groups, &defaults.groups);
        if self.plan.is_empty() {
            self.plan.clone_from(&defaults.plan);
        }
        self.tenant_required |= defaults.tenant_required;
        self
    }
}
