use std::{error::Error, fmt, path::PathBuf, sync::Arc};

use super::fault::ExchangeFault;
use crate::{
    fetch::BoxFuture,
    lookalike::without_byte_order_mark,
    secret::{Scrubber, Secret},
    secret_file::{FileRules, SecretFile},
    stages::token::{
        log_text::log_text,
        value::{TokenError, TokenFault, shown_path},
    },
};

const RULES: FileRules = FileRules::new("subject token file", 16 * 1_024);

/// The OpenID Connect token of the workload, which a
/// [`TokenExchange`](crate::hf::TokenExchange) exchanges. It is read for each exchange.
#[derive(Clone)]
pub struct SubjectToken(Kind);

#[derive(Clone)]
enum Kind {
    File(Arc<SecretFile<Secret, TokenFault>>),
    Fetch(Arc<Fetch>),
}

type Fetch = dyn Fn() -> BoxFuture<Result<Secret, ExchangeFault>> + Send + Sync;

impl SubjectToken {
    /// Reads the token from the file at `path`, such as the projected service-account token of
    /// Kubernetes.
    ///
    /// The rules are those of [`TokenSource::file`](crate::hf::TokenSource::file): a file that has become
    /// invalid keeps its last good token.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`TokenSource::file`](crate::hf::TokenSource::file).
    pub fn file(path: impl Into<PathBuf>) -> Result<Self, TokenError> {
        let path = path.into();
        let parse = |content: &[u8]| {
            let text = without_byte_order_mark(content).trim_ascii_end();
            let text = str::from_utf8(text).map_err(|_| TokenFault::Malformed)?;
            checked(Secret::new(text))
        };
        let file = SecretFile::open(&path, RULES, parse)
            .map_err(|fault: TokenFault| fault.at(shown_path(&path)))?;
        Ok(Self(Kind::File(Arc::new(file))))
    }

    /// Gets the token by calling `fetch`, such as a call of AWS STS `GetWebIdentityToken`.
    ///
    /// The text of an error is logged in at most 200 characters. It must not contain a secret.
    pub fn fetch<F, Fut, E>(fetch: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Secret, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        // An error may repeat an earlier token.
        let scrubber = Scrubber::new([]);
        let fetch = move || {
            let (fetched, scrubber) = (fetch(), scrubber.clone());
            Box::pin(async move {
                match fetched.await {
                    Ok(token) => {
                        let token = Secret::new(token.expose().trim_ascii());
                        let token = checked(token).map_err(ExchangeFault::SubjectToken)?;
                        scrubber.rotate(token.clone());
                        Ok(token)
                    }
                    Err(error) => Err(ExchangeFault::Subject(log_text(&error.into(), &scrubber))),
                }
            }) as BoxFuture<_>
        };
        Self(Kind::Fetch(Arc::new(fetch)))
    }

    pub(super) async fn read(&self) -> Result<Secret, ExchangeFault> {
        match &self.0 {
            Kind::File(file) => {
                file.check();
                Ok(Secret::clone(&file.last()))
            }
            Kind::Fetch(fetch) => fetch().await,
        }
    }
}

fn checked(token: Secret) -> Result<Secret, TokenFault> {
    TokenFault::of(token.expose()).map_or(Ok(token), Err)
}

impl fmt::Debug for SubjectToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::File(file) => f.debug_tuple("SubjectToken").field(file).finish(),
            Kind::Fetch(_) => f.write_str("SubjectToken(..)"),
        }
    }
}
