//! Reads the mapped claims of a token with a valid signature.

use std::{cell::OnceCell, fmt};

use serde_json::{Map, Value};

use super::{
    mapping::{ClaimMapping, PlanRule},
    typed::TokenClaims,
};
use crate::identity::{ClaimPath, Identity, Proof};

/// The claims of a token. The JSON becomes a tree only if a claim needs it.
pub(crate) struct ClaimReader<'a> {
    typed: &'a TokenClaims<'a>,
    json: &'a [u8],
    tree: OnceCell<Map<String, Value>>,
}

/// A claim and what is wrong with it. `Display` shows both.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ClaimProblem {
    path: ClaimPath,
    problem: &'static str,
}

impl ClaimProblem {
    pub(super) fn of(path: &ClaimPath, problem: &'static str) -> Self {
        Self { path: path.clone(), problem }
    }
}

impl fmt::Display for ClaimProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "claim `{}` {}", self.path, self.problem)
    }
}

/// The parts of an identity.
pub(crate) struct MappedClaims<'a> {
    pub(crate) subject: &'a str,
    pub(crate) tenant: Option<&'a str>,
    pub(crate) client: Option<&'a str>,
    pub(crate) roles: Vec<&'a str>,
    pub(crate) groups: Vec<&'a str>,
    pub(crate) plan: Option<&'a str>,
}

impl MappedClaims<'_> {
    /// Returns an identity with these parts.
    pub(crate) fn identity(&self, proof: Proof, issuer: &str) -> Identity {
        let mut identity = Identity::new(proof, issuer, self.subject);
        if let Some(tenant) = self.tenant {
            identity = identity.with_tenant(tenant);
        }
        if let Some(client) = self.client {
            identity = identity.with_client(client);
        }
        if !self.roles.is_empty() {
            identity = identity.with_roles(self.roles.iter().copied());
        }
        if !self.groups.is_empty() {
            identity = identity.with_groups(self.groups.iter().copied());
        }
        if let Some(plan) = self.plan {
            identity = identity.with_plan(plan);
        }
        identity
    }
}

const MISSING: &str = "is missing or empty";

impl<'a> ClaimReader<'a> {
    /// `json` is the text that `typed` was parsed from.
    pub(crate) const fn new(typed: &'a TokenClaims<'a>, json: &'a [u8]) -> Self {
        Self { typed, json, tree: OnceCell::new() }
    }

    /// Reads the claims that the identity has.
    pub(crate) fn map<'m>(
        &'m self,
        mapping: &'m ClaimMapping,
    ) -> Result<MappedClaims<'m>, ClaimProblem> {
        let missing = |paths: &[ClaimPath], default: &str| {
            let path = paths.first().cloned().unwrap_or_else(|| default.into());
            ClaimProblem { path, problem: MISSING }
        };
        let tenant = self.first_string(&mapping.tenant)?;
        if tenant.is_none() && mapping.tenant_required {
            return Err(missing(&mapping.tenant, "tenant"));
        }
        Ok(MappedClaims {
            subject: self.subject(mapping)?.ok_or_else(|| missing(&mapping.subject, "sub"))?,
            tenant,
            client: self.client(mapping)?,
            roles: self.all_strings(&mapping.roles)?,
            groups: self.all_strings(&mapping.groups)?,
            plan: self.plan(mapping)?,
        })
    }

    fn subject(&self, mapping: &ClaimMapping) -> Result<Option<&str>, ClaimProblem> {
        if mapping.subject.is_empty() {
            return Ok(self.typed.subject.as_deref().filter(|subject| !subject.is_empty()));
        }
        self.first_string(&mapping.subject)
    }

    fn client(&self, mapping: &ClaimMapping) -> Result<Option<&str>, ClaimProblem> {
        if mapping.client.is_empty() {
            let named = self.typed.client_id.as_deref().or(self.typed.authorized_party.as_deref());
            return Ok(named.filter(|client| !client.is_empty()));
        }
        self.first_string(&mapping.client)
    }

    fn plan<'m>(&'m self, mapping: &'m ClaimMapping) -> Result<Option<&'m str>, ClaimProblem> {
        for rule in &mapping.plan {
            let plan = match rule {
                PlanRule::Claim(path) => self.string(path)?,
                PlanRule::Equals { path, value, plan } => {
                    self.string(path)?.filter(|text| **text == **value).map(|_| &**plan)
                }
                PlanRule::Contains { path, value, plan } => {
                    self.strings(path)?.contains(&&**value).then_some(&**plan)
                }
            };
            if plan.is_some() {
                return Ok(plan);
            }
        }
        Ok(None)
    }

    /// Returns the claim at the first path that has one.
    pub(super) fn first_string(&self, paths: &[ClaimPath]) -> Result<Option<&str>, ClaimProblem> {
        for path in paths {
            if let Some(text) = self.string(path)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// Returns a claim that must be a non-empty string if it exists.
    pub(super) fn string(&self, path: &ClaimPath) -> Result<Option<&str>, ClaimProblem> {
        let text = match self.typed(path) {
            Some(typed) => typed,
            None => match self.find(path)? {
                None => None,
                Some(Value::String(text)) => Some(&**text),
                Some(_) => Some(""),
            },
        };
        match text {
            Some("") => Err(ClaimProblem::of(path, "is not a non-empty string")),
            text => Ok(text),
        }
    }

    fn all_strings(&self, paths: &[ClaimPath]) -> Result<Vec<&str>, ClaimProblem> {
        let mut all = Vec::new();
        for path in paths {
            all.extend(self.strings(path)?);
        }
        Ok(all)
    }

    /// Returns the strings of a claim that must be a string or an array of strings if it exists.
    fn strings(&self, path: &ClaimPath) -> Result<Vec<&str>, ClaimProblem> {
        let wrong = || ClaimProblem::of(path, "is not a string or an array of strings");
        let texts = match self.find(path)? {
            None => Vec::new(),
            Some(Value::String(text)) => vec![&**text],
            Some(Value::Array(texts)) => {
                let texts = texts.iter().map(|text| text.as_str().ok_or_else(wrong));
                texts.collect::<Result<_, _>>()?
            }
            Some(_) => return Err(wrong()),
        };
        Ok(texts.into_iter().filter(|text| !text.is_empty()).collect())
    }

    /// Returns a claim that is parsed already. The outer `None` means that it is not.
    fn typed(&self, path: &ClaimPath) -> Option<Option<&str>> {
        let typed = match path.first() {
            "sub" => &self.typed.subject,
            "client_id" => &self.typed.client_id,
            "azp" => &self.typed.authorized_party,
            "token_use" => &self.typed.token_use,
            _ => return None,
        };
        path.rest().is_empty().then_some(typed.as_deref())
    }

    fn find(&self, path: &ClaimPath) -> Result<Option<&Value>, ClaimProblem> {
        // The text was parsed before, so it is an object.
        let tree = self.tree.get_or_init(|| serde_json::from_slice(self.json).unwrap_or_default());
        let Some(mut value) = tree.get(path.first()) else { return Ok(None) };
        for name in path.rest() {
            let Value::Object(members) = value else {
                return Err(ClaimProblem::of(path, "is within a claim that is not an object"));
            };
            let Some(member) = members.get(&**name) else { return Ok(None) };
            value = member;
        }
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIMS: &str = r#"{"sub":"user-7","azp":"web","plan":"gold","org":{"id":"acme","n":1},
        "groups":["a","llm-pro",""],"one":"x","mixed":["a",1],"https://a.example/r":["r"]}"#;

    /// Returns the mapped claims as text or the problem.
    fn mapped(mapping: &ClaimMapping) -> String {
        let typed = TokenClaims::parse(CLAIMS.as_bytes()).unwrap();
        let reader = ClaimReader::new(&typed, CLAIMS.as_bytes());
        match reader.map(mapping) {
            Err(problem) => problem.to_string(),
            Ok(MappedClaims { subject, tenant, client, roles, groups, plan }) => {
                format!("{subject} {tenant:?} {client:?} {roles:?} {groups:?} {plan:?}")
            }
        }
    }

    #[test]
    fn only_subject_and_client_are_mapped_by_default() {
        assert_eq!(mapped(&ClaimMapping::new()), r#"user-7 None Some("web") [] [] None"#);
    }

    #[test]
    fn claims_are_found_by_their_paths() {
        let all = ClaimMapping::new()
            .subject("none")
            .subject("sub")
            .tenant("none.id")
            .tenant("org.id")
            .client("one")
            .roles("https://a.example/r")
            .roles("one")
            .groups("groups")
            .plan_if_equals("one", "y", "no")
            .plan_if_contains("groups", "llm", "no")
            .plan_if_contains("groups", "llm-pro", "pro")
            .plan("plan");
        let expected = r#"user-7 Some("acme") Some("x") ["r", "x"] ["a", "llm-pro"] Some("pro")"#;
        assert_eq!(mapped(&all), expected);
        assert!(mapped(&ClaimMapping::new().plan("plan")).ends_with(r#"Some("gold")"#));
        let exact = ClaimMapping::new().plan_if_equals("one", "x", "exact");
        assert!(mapped(&exact).ends_with(r#"Some("exact")"#));
    }

    #[test]
    fn claim_of_the_wrong_type_is_named() {
        let new = ClaimMapping::new;
        for (mapping, problem) in [
            (new().tenant("groups"), "claim `groups` is not a non-empty string"),
            (new().tenant("org.n"), "claim `org.n` is not a non-empty string"),
            (new().client("org"), "claim `org` is not a non-empty string"),
            (new().plan("mixed"), "claim `mixed` is not a non-empty string"),
            (new().plan_if_equals("org.n", "1", "p"), "claim `org.n` is not a non-empty string"),
            (new().roles("mixed"), "claim `mixed` is not a string or an array of strings"),
            (new().groups("org"), "claim `org` is not a string or an array of strings"),
            (
                new().plan_if_contains("org", "a", "p"),
                "claim `org` is not a string or an array of strings",
            ),
            (new().roles("one.x"), "claim `one.x` is within a claim that is not an object"),
            (new().subject("none"), "claim `none` is missing or empty"),
            (new().tenant("none").tenant_required(), "claim `none` is missing or empty"),
        ] {
            assert_eq!(mapped(&mapping), problem);
        }
    }
}
