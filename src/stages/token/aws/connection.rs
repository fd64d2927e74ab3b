use std::{fmt, time::Duration};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig, timeout::TimeoutConfig,
};
use aws_sdk_secretsmanager::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextRef,
    },
    error::BoxError,
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use http::Uri;

use super::fault::AwsFault;
use crate::{lock::Lock, plain_http::PlainHttpTo, stages::origin::Origin};

/// The time for one fetch with its credentials and its retry. It is below the default of
/// `TokenSource::fetch_timeout`, so that the fault says which wait was too long.
const FETCH_TIMEOUT: Duration = Duration::from_millis(4_500);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_ATTEMPTS: u32 = 2;
const MAX_BACKOFF: Duration = Duration::from_millis(250);

/// The place of a service of AWS.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub(super) region: Option<Box<str>>,
    pub(super) endpoint: Option<Origin>,
}

/// A client of the SDK. It exists from the first fetch on.
pub(super) struct Connection<C> {
    place: Place,
    client: Lock<Option<C>>,
}

impl<C: Clone> Connection<C> {
    pub(super) const fn new(place: Place) -> Self {
        Self { place, client: Lock::new(None) }
    }

    /// Sends one request with the client that `make` makes.
    pub(super) async fn send<T, F>(
        &self,
        make: impl FnOnce(&SdkConfig, OnlyEncrypted) -> C,
        request: impl FnOnce(C) -> F,
    ) -> Result<T, AwsFault>
    where
        F: Future<Output = Result<T, AwsFault>>,
    {
        let exchange = async { request(self.client(make).await?).await };
        let response = tokio::time::timeout(FETCH_TIMEOUT, exchange).await;
        let response = response.unwrap_or(Err(AwsFault::TimedOut));
        if response.is_err() {
            // The SDK reads profiles once for each client. Mended credentials need another client.
            *self.client.lock() = None;
        }
        response
    }

    async fn client(
        &self,
        make: impl FnOnce(&SdkConfig, OnlyEncrypted) -> C,
    ) -> Result<C, AwsFault> {
        if let Some(client) = &*self.client.lock() {
            return Ok(client.clone());
        }
        let config = self.place.load().await?;
        let allowed = self.place.endpoint.as_ref().and_then(Origin::plain_http);
        let client = make(&config, OnlyEncrypted { allowed });
        *self.client.lock() = Some(client.clone());
        Ok(client)
    }
}

impl<C> fmt::Debug for Connection<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl Place {
    async fn load(&self) -> Result<SdkConfig, AwsFault> {
        let retries = RetryConfig::standard()
            .with_max_attempts(MAX_ATTEMPTS)
            .with_initial_backoff(MAX_BACKOFF)
            .with_max_backoff(MAX_BACKOFF);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT);
        // No idle connections, so that no task of the client outlives a fetch.
        let client = Builder::new()
            .pool_max_idle_per_host(0)
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(client)
            .timeout_config(timeouts.build())
            .retry_config(retries)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(String::from(region.as_ref())));
        }
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint.with_prefix());
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return Err(AwsFault::NoRegion);
        }
        Ok(config)
    }
}

/// Refuses to send a request without TLS to another machine.
///
/// `AWS_ENDPOINT_URL` and profiles also name endpoints.
#[derive(Debug)]
pub(super) struct OnlyEncrypted {
    allowed: Option<PlainHttpTo>,
}

impl Intercept for OnlyEncrypted {
    fn name(&self) -> &'static str {
        "OnlyEncrypted"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let uri: Uri = context.request().uri().parse()?;
        let authority = uri.authority().ok_or(AwsFault::PlainHttp)?;
        let needed = PlainHttpTo::needed(uri.scheme(), authority);
        if needed.is_some() && needed != self.allowed {
            return Err(AwsFault::PlainHttp.into());
        }
        Ok(())
    }
}
