//! What each identity provider adds to the settings of its issuer.

use std::str::FromStr;

use super::{
    claims::{ClaimCheck, ClaimMapping},
    jwt_error::JwtError,
    provider::Provider,
};
use crate::identity::ClaimPath;

/// What a provider adds to the settings of its issuer.
#[derive(Clone, Debug, Default)]
pub(super) struct Preset {
    pub(super) issuer_aliases: Vec<Box<str>>,
    pub(super) client_id_as_audience: bool,
    pub(super) claims: ClaimMapping,
    pub(super) checks: Vec<ClaimCheck>,
}

impl Provider {
    /// Returns the preset for an issuer whose first audience is `audience`.
    pub(super) fn preset(self, issuer: &str, audience: &str) -> Result<Preset, JwtError> {
        let new = ClaimMapping::new;
        Ok(match self {
            Self::Oidc => Preset::default(),
            Self::Okta => Preset::of(new().client("cid").groups("groups")),
            Self::Cognito => Preset {
                client_id_as_audience: true,
                checks: vec![equals("token_use", "access")],
                ..Preset::of(new().client("client_id").groups("cognito:groups"))
            },
            Self::CognitoIdToken => Preset {
                checks: vec![equals("token_use", "id")],
                ..Preset::of(new().client("aud").groups("cognito:groups"))
            },
            Self::Entra => self.entra(issuer)?,
            Self::Auth0 => {
                self.require(issuer.ends_with('/'), "the domain with a slash at its end")?;
                Preset::of(new().client("azp").client("client_id").roles("permissions"))
            }
            Self::Keycloak => Preset {
                checks: vec![ClaimCheck::AbsentOrOneOf {
                    path: "typ".into(),
                    values: &["Bearer", "DPoP"],
                }],
                ..Preset::of(
                    new()
                        .client("azp")
                        .client("client_id")
                        .roles("realm_access.roles")
                        .roles(["resource_access", audience, "roles"])
                        .groups("groups"),
                )
            },
            Self::Google => self.google(issuer)?,
            Self::GitHubActions => Preset::of(new().tenant("repository_owner").tenant_required()),
            Self::Kubernetes => {
                let namespace = ClaimPath::from(["kubernetes.io", "namespace"]);
                Preset {
                    checks: vec![ClaimCheck::ServiceAccountOf(namespace.clone())],
                    ..Preset::of(new().tenant(namespace).tenant_required())
                }
            }
            Self::AwsIam => Preset::of(
                new().tenant(["https://sts.amazonaws.com/", "aws_account"]).tenant_required(),
            ),
        })
    }

    /// Both versions of the tokens of one tenant have the same keys:
    /// <https://learn.microsoft.com/entra/identity-platform/access-tokens>.
    fn entra(self, issuer: &str) -> Result<Preset, JwtError> {
        const CLOUDS: [(&str, &str); 3] = [
            ("https://login.microsoftonline.com/", "https://sts.windows.net/"),
            ("https://login.microsoftonline.us/", "https://sts.windows.net/"),
            ("https://login.partner.microsoftonline.cn/", "https://sts.chinacloudapi.cn/"),
        ];
        let tenant_of = |(second, first): (&str, &str)| {
            let tenant = issuer.strip_prefix(second).and_then(|rest| rest.strip_suffix("/v2.0"));
            let tenant = tenant
                .or_else(|| issuer.strip_prefix(first).and_then(|rest| rest.strip_suffix('/')))
                .filter(|tenant| is_uuid(tenant))?;
            let names = [format!("{second}{tenant}/v2.0"), format!("{first}{tenant}/")];
            Some((tenant, names.map(Into::into).to_vec()))
        };
        let found = CLOUDS.into_iter().find_map(tenant_of);
        let (tenant, issuer_aliases) = found.ok_or(JwtError::UnexpectedIssuer {
            provider: self,
            expected: "https://login.microsoftonline.com/TENANT/v2.0 or \
                       https://sts.windows.net/TENANT/ with the id of one tenant",
        })?;
        Ok(Preset {
            issuer_aliases,
            checks: vec![
                equals("tid", tenant),
                // Only access tokens name the client that they were issued to.
                ClaimCheck::Any(vec!["azp".into(), "appid".into()]),
            ],
            ..Preset::of(
                ClaimMapping::new()
                    .client("azp")
                    .client("appid")
                    .tenant("tid")
                    .tenant_required()
                    .roles("roles")
                    .groups("groups"),
            )
        })
    }

    /// <https://developers.google.com/identity/openid-connect/openid-connect#validatinganidtoken>
    fn google(self, issuer: &str) -> Result<Preset, JwtError> {
        const NAMES: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];
        self.require(NAMES.contains(&issuer), "https://accounts.google.com")?;
        Ok(Preset {
            issuer_aliases: NAMES.map(Into::into).to_vec(),
            ..Preset::of(ClaimMapping::new().client("azp"))
        })
    }

    const fn require(self, condition: bool, expected: &'static str) -> Result<(), JwtError> {
        if condition {
            Ok(())
        } else {
            Err(JwtError::UnexpectedIssuer { provider: self, expected })
        }
    }
}

impl Preset {
    fn of(claims: ClaimMapping) -> Self {
        Self { claims, ..Self::default() }
    }
}

fn equals(path: &str, value: &str) -> ClaimCheck {
    ClaimCheck::Equals { path: path.into(), value: value.into() }
}

/// Returns whether the text is a UUID in small letters, as Entra ID writes the ids of tenants.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

impl FromStr for Provider {
    type Err = JwtError;

    /// # Errors
    ///
    /// Returns [`JwtError::UnknownProvider`] unless the text is the [name](Self::as_str) of a provider.
    fn from_str(name: &str) -> Result<Self, JwtError> {
        let found = Self::ALL.iter().copied().find(|provider| provider.as_str() == name);
        found.ok_or_else(|| JwtError::UnknownProvider(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for provider in Provider::ALL {
            assert_eq!(provider.as_str().parse::<Provider>(), Ok(*provider));
        }
        let error = "Cognito".parse::<Provider>().unwrap_err();
        assert!(error.to_string().contains("cognito, cognito-id-token"), "{error}");
    }

    #[test]
    fn entra_needs_the_id_of_a_tenant() {
        const TENANT: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
        for (issuer, other) in [
            (
                format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
                format!("https://sts.windows.net/{TENANT}/"),
            ),
            (
                format!("https://sts.windows.net/{TENANT}/"),
                format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
            ),
            (
                format!("https://login.partner.microsoftonline.cn/{TENANT}/v2.0"),
                format!("https://sts.chinacloudapi.cn/{TENANT}/"),
            ),
        ] {
            let preset = Provider::Entra.preset(&issuer, "").unwrap();
            assert!(preset.issuer_aliases.contains(&other.into()), "{issuer}");
        }
        for issuer in [
            "https://login.microsoftonline.com/common/v2.0".to_owned(),
            "https://login.microsoftonline.com/organizations/v2.0".to_owned(),
            "https://login.microsoftonline.com/consumers/v2.0".to_owned(),
            "https://login.microsoftonline.com/{tenantid}/v2.0".to_owned(),
            "https://login.microsoftonline.com/acme.onmicrosoft.com/v2.0".to_owned(),
            format!("https://login.microsoftonline.com/{TENANT}/v2.0/"),
            format!("https://login.microsoftonline.com/{TENANT}"),
            format!("https://sts.windows.net/{TENANT}"),
            format!("http://sts.windows.net/{TENANT}/"),
            format!("https://sts.windows.net.evil.example/{TENANT}/"),
        ] {
            assert!(Provider::Entra.preset(&issuer, "").is_err(), "{issuer}");
        }
    }

    #[test]
    fn issuers_of_other_providers_are_rejected() {
        for (provider, issuer) in [
            (Provider::Auth0, "https://acme.auth0.com"),
            (Provider::Google, "https://accounts.google.com/"),
        ] {
            let error = provider.preset(issuer, "").unwrap_err();
            assert!(error.to_string().contains(provider.as_str()), "{error}");
        }
    }
}
