use std::{sync::Arc, time::Duration};

use aws_sdk_sts::{Client, config};

use super::{
    connection::{Connection, Place},
    fault::AwsFault,
};
use crate::{
    secret::Secret,
    stages::{origin::Origin, token::exchange::SubjectToken},
};

/// The identity of a workload of AWS, for which STS issues OpenID Connect tokens.
///
/// [`SubjectToken::aws_web_identity`] describes the credentials and the permissions.
#[derive(Clone, Debug)]
pub struct AwsWebIdentity {
    audience: Box<str>,
    place: Place,
    duration: Duration,
    algorithm: &'static str,
}

impl AwsWebIdentity {
    /// Requests tokens for `audience`, which becomes their `aud`.
    ///
    /// Hugging Face requires `https://huggingface.co`.
    #[must_use]
    pub fn new(audience: impl Into<Box<str>>) -> Self {
        Self {
            audience: audience.into(),
            place: Place::default(),
            duration: DEFAULT_DURATION,
            algorithm: "RS256",
        }
    }

    /// Sets the region. Only regional endpoints of STS issue these tokens.
    ///
    /// Defaults to the region of AWS's default chain: `AWS_REGION`, the profile, the metadata of the
    /// instance.
    #[must_use]
    pub fn region(mut self, region: impl Into<Box<str>>) -> Self {
        self.place.region = Some(region.into());
        self
    }

    /// Sets the endpoint of STS, for a VPC endpoint or a test.
    ///
    /// Defaults to the endpoint that AWS's default chain configures, else to the endpoint of the region.
    /// A configured endpoint without TLS is refused unless it is this machine.
    #[must_use]
    pub fn endpoint(mut self, endpoint: Origin) -> Self {
        self.place.endpoint = Some(endpoint);
        self
    }

    /// Sets the time until a token expires, between 1 minute and 1 hour in whole seconds. Another time
    /// becomes the nearest allowed one.
    ///
    /// Defaults to 5 minutes, because each token is exchanged at once.
    #[must_use]
    pub fn duration(mut self, duration: Duration) -> Self {
        self.duration = duration.clamp(Duration::from_secs(60), Duration::from_secs(60 * 60));
        self
    }

    /// Signs tokens with ES384. Defaults to RS256, which every verifier knows.
    #[must_use]
    pub const fn es384(mut self) -> Self {
        self.algorithm = "ES384";
        self
    }
}

impl SubjectToken {
    /// Gets the token from AWS STS by `GetWebIdentityToken`, so that no secret is stored anywhere.
    ///
    /// The credentials are those of AWS's default chain, as for
    /// [`TokenSource::aws_secret`](crate::hf::TokenSource::aws_secret), with the same bounds. To choose
    /// this subject is to let the chain look for them.
    ///
    /// # Permissions
    ///
    /// An administrator enables [outbound identity federation] once for the account with
    /// `iam:EnableOutboundWebIdentityFederation`. The identity needs this policy.
    ///
    /// ```json
    /// {
    ///   "Version": "2012-10-17",
    ///   "Statement": [{
    ///     "Effect": "Allow",
    ///     "Action": "sts:GetWebIdentityToken",
    ///     "Resource": "*",
    ///     "Condition": {
    ///       "ForAllValues:StringEquals": {"sts:IdentityTokenAudience": "https://huggingface.co"},
    ///       "NumericLessThanEquals": {"sts:DurationSeconds": 300}
    ///     }
    ///   }]
    /// }
    /// ```
    ///
    /// The tests use an endpoint that is built from AWS's documentation. The real service has not been
    /// used.
    ///
    /// ```
    /// use tower_inference::hf::{AwsWebIdentity, SubjectToken};
    ///
    /// let identity = AwsWebIdentity::new("https://huggingface.co").region("eu-west-1");
    /// let subject = SubjectToken::aws_web_identity(identity);
    /// assert!(format!("{subject:?}").starts_with("SubjectToken"));
    /// ```
    ///
    /// [outbound identity federation]: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound.html
    #[must_use]
    pub fn aws_web_identity(identity: AwsWebIdentity) -> Self {
        let fetcher = Arc::new(WebIdentityFetcher::new(identity));
        Self::fetch(move || {
            let fetcher = Arc::clone(&fetcher);
            async move { fetcher.fetch().await }
        })
    }
}

/// As in AWS's documentation of `GetWebIdentityToken`.
const DEFAULT_DURATION: Duration = Duration::from_secs(5 * 60);

/// A web identity and the client that requests its tokens.
struct WebIdentityFetcher {
    identity: AwsWebIdentity,
    connection: Connection<Client>,
}

impl WebIdentityFetcher {
    fn new(identity: AwsWebIdentity) -> Self {
        let connection = Connection::new(identity.place.clone());
        Self { identity, connection }
    }

    /// Requests a token.
    async fn fetch(&self) -> Result<Secret, AwsFault> {
        let seconds = i32::try_from(self.identity.duration.as_secs()).unwrap_or(i32::MAX);
        let response = self.connection.send(
            |config, only_encrypted| {
                let config = config::Builder::from(config).interceptor(only_encrypted);
                Client::from_conf(config.build())
            },
            |client| async move {
                let request = client.get_web_identity_token().audience(&*self.identity.audience);
                let request = request.signing_algorithm(self.identity.algorithm);
                let response = request.duration_seconds(seconds).send().await;
                response.map_err(|error| AwsFault::of(&error))
            },
        );
        let token = response.await?.web_identity_token.ok_or(AwsFault::Garbled)?;
        if token.is_empty() { Err(AwsFault::Garbled) } else { Ok(Secret::new(token)) }
    }
}
