use std::sync::Arc;

use aws_sdk_secretsmanager::{Client, config, operation::get_secret_value::GetSecretValueOutput};
use bytes::Bytes;
use zeroize::Zeroizing;

use super::{
    connection::{Connection, Place},
    fault::AwsFault,
};
use crate::{
    payload::Document,
    secret::Secret,
    stages::{
        origin::Origin,
        token::{fetched::FetchedToken, source::TokenSource},
    },
};

/// A secret in AWS Secrets Manager and the way to read it.
///
/// [`TokenSource::aws_secret`] describes the credentials and the permissions.
///
/// ```
/// use tower_inference::hf::{AwsSecret, TokenSource};
///
/// let secret = AwsSecret::new("gateway/huggingface").region("eu-west-1").json_member("token");
/// let source = TokenSource::aws_secret(secret);
/// ```
#[derive(Clone, Debug)]
pub struct AwsSecret {
    id: Box<str>,
    member: Option<Box<str>>,
    place: Place,
}

impl AwsSecret {
    /// Names the secret by its name or its ARN.
    ///
    /// The ARN also names the region. A secret of another account needs its ARN.
    #[must_use]
    pub fn new(id: impl Into<Box<str>>) -> Self {
        let id = id.into();
        let place = Place { region: region_of(&id).map(Into::into), endpoint: None };
        Self { id, member: None, place }
    }

    /// Sets the region.
    ///
    /// Defaults to the region of the ARN. For a name it defaults to the region of AWS's default chain:
    /// `AWS_REGION`, the profile, the metadata of the instance.
    #[must_use]
    pub fn region(mut self, region: impl Into<Box<str>>) -> Self {
        self.place.region = Some(region.into());
        self
    }

    /// Sets the endpoint of Secrets Manager, for a VPC endpoint or a test.
    ///
    /// Defaults to the endpoint that AWS's default chain configures, else to the endpoint of the region.
    /// A configured endpoint without TLS is refused unless it is this machine.
    #[must_use]
    pub fn endpoint(mut self, endpoint: Origin) -> Self {
        self.place.endpoint = Some(endpoint);
        self
    }

    /// Reads the secret as a JSON object and takes the string that it has under `name`.
    ///
    /// By default the whole secret is the token. The console of AWS stores JSON.
    #[must_use]
    pub fn json_member(mut self, name: impl Into<Box<str>>) -> Self {
        self.member = Some(name.into());
        self
    }

    /// Returns the token in the text of a secret.
    fn token(&self, text: Secret) -> Result<Secret, AwsFault> {
        let trimmed = text.expose().trim();
        if trimmed.is_empty() {
            return Err(AwsFault::Empty);
        }
        let Some(name) = &self.member else {
            // No token begins with a brace, and the console of AWS stores JSON.
            return if trimmed.starts_with('{') { Err(AwsFault::IsJson) } else { Ok(text) };
        };
        // Wiped with its last owner.
        let json = Bytes::from_owner(Zeroizing::new(trimmed.as_bytes().to_vec()));
        let document = Document::parse(json).map_err(|_| AwsFault::NotJson)?;
        let member = document.root().get(name).ok_or_else(|| AwsFault::NoMember(name.clone()))?;
        let token = member.as_str().ok_or_else(|| AwsFault::NotAString(name.clone()))?;
        if token.trim().is_empty() {
            return Err(AwsFault::Empty);
        }
        Ok(Secret::new(token))
    }
}

/// Returns the region of an ARN (`arn:partition:service:region:account:resource`).
fn region_of(id: &str) -> Option<&str> {
    let mut parts = id.split(':');
    (parts.next()? == "arn").then(|| parts.nth(2)).flatten().filter(|region| !region.is_empty())
}

impl TokenSource {
    /// Fetches the token from AWS Secrets Manager with AWS's own SDK.
    ///
    /// The source always fetches the version with the stage `AWSCURRENT`. It fetches as
    /// [`TokenSource::fetch`] does: every 60 seconds, or as [`refresh_interval`](Self::refresh_interval)
    /// says, and at once when the upstream rejects the token. A rotation therefore needs no restart. A
    /// binary secret is read as UTF-8 text. Blank space around the token, as a line break at its end, is
    /// ignored.
    ///
    /// # Credentials
    ///
    /// To choose this source is to let AWS's default chain look for credentials and the region: the
    /// variables of AWS in the environment, the profiles in the files of AWS, a web identity token (EKS),
    /// and the metadata of the container (ECS, EKS) or the instance (EC2). Profiles with `sso_*` or
    /// `credential_process` are not supported. No other variable is read. The variables of proxies are
    /// ignored.
    ///
    /// # Permissions
    ///
    /// The identity needs this policy with the ARN of the one secret. The suffix `-??????` stands for
    /// the six characters that AWS appends to its name.
    ///
    /// ```json
    /// {
    ///   "Version": "2012-10-17",
    ///   "Statement": [{
    ///     "Effect": "Allow",
    ///     "Action": "secretsmanager:GetSecretValue",
    ///     "Resource": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:gateway/huggingface-??????"
    ///   }]
    /// }
    /// ```
    ///
    /// A secret under a customer managed key also needs `kms:Decrypt` on the ARN of that key. A secret of
    /// another account is always under one and has a resource policy that allows this identity.
    ///
    /// # Bounds
    ///
    /// A fetch takes at most 4.5 seconds: two attempts of 2 seconds with 1 second to connect. A longer
    /// [`fetch_timeout`](Self::fetch_timeout) does not extend it. Each fetch closes its connections, so
    /// no task of the SDK outlives it. The SDK does not wipe its own copies of the response.
    ///
    /// # Faults
    ///
    /// A secret that is missing, denied, empty, not text, without the member, throttled or unreachable is
    /// a failed fetch. The last good token serves within the [`grace`](Self::grace). The WARN event says
    /// what to do.
    ///
    /// ```
    /// use tower_inference::hf::{AwsSecret, HfTokenLayer, Origin, TokenSource};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let origin: Origin = "https://router.huggingface.co".parse()?;
    /// let secret = AwsSecret::new("gateway/huggingface").region("eu-west-1");
    /// let layer = HfTokenLayer::new(origin, TokenSource::aws_secret(secret));
    /// assert_eq!(layer.token_age(), None); // the first request starts the first fetch
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn aws_secret(secret: AwsSecret) -> Self {
        let fetcher = Arc::new(SecretFetcher::new(secret));
        Self::fetch(move || {
            let fetcher = Arc::clone(&fetcher);
            async move { fetcher.fetch().await.map(FetchedToken::new) }
        })
    }
}

/// A secret and the client that fetches it.
#[derive(Debug)]
struct SecretFetcher {
    secret: AwsSecret,
    connection: Connection<Client>,
}

impl SecretFetcher {
    fn new(secret: AwsSecret) -> Self {
        let connection = Connection::new(secret.place.clone());
        Self { secret, connection }
    }

    /// Fetches the current version.
    async fn fetch(&self) -> Result<Secret, AwsFault> {
        let response = self.connection.send(
            |config, only_encrypted| {
                let config = config::Builder::from(config).interceptor(only_encrypted);
                Client::from_conf(config.build())
            },
            |client| async move {
                let request = client.get_secret_value().secret_id(&*self.secret.id);
                // Named, because moto without it returns an old version after a move of the stage.
                let response = request.version_stage("AWSCURRENT").send().await;
                response.map_err(|error| AwsFault::of(&error))
            },
        );
        self.secret.token(text(response.await?)?)
    }
}

fn text(response: GetSecretValueOutput) -> Result<Secret, AwsFault> {
    if let Some(text) = response.secret_string {
        return Ok(Secret::new(text));
    }
    let bytes = response.secret_binary.ok_or(AwsFault::Empty)?;
    String::from_utf8(bytes.into_inner()).map(Secret::new).map_err(|_| AwsFault::NotText)
}
