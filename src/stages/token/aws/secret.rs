use aws_sdk_secretsmanager::{
    Client, config,
    operation::get_secret_value::GetSecretValueOutput,
};
use bytes::Bytes;
use zeroize::Zeroizing;

use super::{
    connection::{Connection, Place},
    fault::AwsFault,
};
use crate::{payload::Document, secret::Secret, stages::Origin};

/// The name of a secret in AWS Secrets Manager and the way to read it.
///
/// [`TokenSource::aws_secret`](super::super::TokenSource::aws_secret) explains the credentials and the
/// permissions.
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

/// A secret and the client that fetches it.
#[derive(Debug)]
pub(in super::super) struct SecretFetcher {
    secret: AwsSecret,
    connection: Connection<Client>,
}

impl SecretFetcher {
    pub(in super::super) fn new(secret: AwsSecret) -> Self {
        let connection = Connection::new(secret.place.clone());
        Self { secret, connection }
    }

    /// Fetches the current version.
    pub(in super::super) async fn fetch(&self) -> Result<Secret, AwsFault> {
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
