use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use http_body::Body;
use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{clients::Clients, connector::Connector, resolver::Resolver};
use crate::{
    address_reach::Reach,
    error_debug::debug_as_message,
    lookalike::{lookalike, without_byte_order_mark},
};

/// Below the five seconds of uvicorn (vLLM and SGLang) and llama.cpp.
const HTTP_IDLE: Duration = Duration::from_secs(4);
/// Below the 60 seconds of AWS load balancers and the 75 of nginx.
const HTTPS_IDLE: Duration = Duration::from_secs(50);

/// Settings of an [`HttpsClient`](super::HttpsClient).
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    roots_pem: Option<Vec<u8>>,
    connect_timeout: Duration,
    pool_idle_timeout: Option<Duration>,
    retry_window: Duration,
    prior_knowledge: bool,
    plain_http: bool,
}

impl Builder {
    pub(super) const fn new() -> Self {
        Self {
            roots_pem: None,
            connect_timeout: Duration::from_secs(5),
            pool_idle_timeout: None,
            retry_window: Duration::from_secs(1),
            prior_knowledge: false,
            plain_http: false,
        }
    }

    /// Trusts the certificates in this PEM text *instead of* Mozilla's roots. A public authority
    /// cannot then vouch for the names of a private one. Defaults to Mozilla's roots.
    pub fn root_certificates_pem(mut self, pem: &[u8]) -> Self {
        self.roots_pem = Some(pem.to_owned());
        self
    }

    /// Sets how long name resolution, TCP and TLS may take together. Defaults to 5 seconds.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long a connection may be idle and still be reused. Defaults to 4 seconds for `http`
    /// upstreams and to 50 seconds for `https` ones. A value replaces both defaults. Zero opens a
    /// connection for each request.
    ///
    /// Keep it a second below the keep-alive time of the upstream. A server closes an idle
    /// connection at its own time and a request on its way is then lost.
    pub const fn pool_idle_timeout(mut self, timeout: Duration) -> Self {
        self.pool_idle_timeout = Some(timeout);
        self
    }

    /// Sets how long after the call a request may be [sent once more](super#retries) when the
    /// upstream closed a reused connection without a byte of a response. Defaults to one second.
    /// Zero turns this retry off.
    ///
    /// An idle connection that has just been closed fails within a round trip. A server that fails
    /// later has probably begun to work on the request.
    pub const fn retry_window(mut self, window: Duration) -> Self {
        self.retry_window = window;
        self
    }

    /// Speaks HTTP/2 only, also without TLS. gRPC needs this because plain HTTP has no negotiation.
    pub const fn http2_prior_knowledge(mut self) -> Self {
        self.prior_knowledge = true;
        self
    }

    /// Allows plain `http` to other machines for all requests of the client. Anyone on the network
    /// path can then read and change requests and responses.
    ///
    /// It is not needed for an address that was given with a permission of its own:
    /// [`Origin::dangerous_plain_http`](crate::hf::Origin::dangerous_plain_http) and
    /// [`RemoteKeys::dangerous_plain_http`](crate::auth::RemoteKeys::dangerous_plain_http).
    pub const fn dangerous_plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    pub(super) fn clients<B>(&self) -> Result<Clients<B>, BuildError>
    where
        B: Body + Send,
        B::Data: Send,
    {
        let tls = self.tls()?;
        let connector = self.connector(tls.clone(), None);
        let client = |connector: &Connector, idle: Duration| {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .timer(TokioTimer::new())
                .pool_idle_timeout(idle)
                // Without room for an idle connection, hyper's client keeps no pool.
                .pool_max_idle_per_host(if idle.is_zero() { 0 } else { 256 })
                .http2_keep_alive_interval(Duration::from_secs(30))
                .http2_only(self.prior_knowledge)
                .build(connector.clone())
        };
        // A stale connection fails such a request, because it is sent once.
        let idle = self.pool_idle_timeout.unwrap_or(HTTP_IDLE).min(HTTP_IDLE);
        let limited = |reach| client(&self.connector(tls.clone(), Some(reach)), idle);
        Ok(Clients {
            http: client(&connector, self.pool_idle_timeout.unwrap_or(HTTP_IDLE)),
            https: client(&connector, self.pool_idle_timeout.unwrap_or(HTTPS_IDLE)),
            unpooled: client(&connector, Duration::ZERO),
            not_link_local: limited(Reach::NotLinkLocal),
            public: limited(Reach::Public),
            retry_window: self.retry_window,
            plain_http: self.plain_http,
        })
    }

    fn tls(&self) -> Result<ClientConfig, BuildError> {
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| BuildError::Tls)?;
        let tls = match &self.roots_pem {
            None => tls.with_webpki_roots(),
            Some(pem) => tls.with_root_certificates(roots(pem)?),
        };
        Ok(tls.with_no_client_auth())
    }

    fn connector(&self, tls: ClientConfig, reach: Option<Reach>) -> Connector {
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let mut tcp = HttpConnector::new_with_resolver(Resolver::new(reach));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        let https = if self.prior_knowledge {
            https.enable_http2().wrap_connector(tcp)
        } else {
            https.enable_all_versions().wrap_connector(tcp)
        };
        Connector {
            https: Arc::new(https),
            timeout: self.connect_timeout,
            prior_knowledge: self.prior_knowledge,
        }
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, BuildError> {
    let mut roots = RootCertStore::empty();
    let pem = without_byte_order_mark(pem);
    for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        let bad = BuildError::BadCertificate { number: index + 1 };
        roots.add(certificate.map_err(|_| bad)?).map_err(|_| bad)?;
    }
    if roots.is_empty() { Err(BuildError::NoCertificate(lookalike(pem))) } else { Ok(roots) }
}

/// Why the client cannot be built.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum BuildError {
    /// The PEM text has no certificate. The text in it says what the content is instead, if that is
    /// known.
    NoCertificate(Option<&'static str>),
    /// A certificate in the PEM text cannot be read or is no valid root.
    BadCertificate {
        /// The position among the certificates, counted from one.
        number: usize,
    },
    /// TLS has no cipher suite to offer.
    Tls,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate(form) => {
                f.write_str("the roots have no certificate")?;
                if let Some(form) = form {
                    write!(f, ": {form}")?;
                }
                f.write_str("; expected PEM with -----BEGIN CERTIFICATE-----")
            }
            Self::BadCertificate { number } => {
                write!(f, "certificate {number} of the roots cannot be used")
            }
            Self::Tls => f.write_str("tls has no cipher suite to offer"),
        }
    }
}

debug_as_message!(BuildError);

impl StdError for BuildError {}
