//! Connecting to one server.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo, Pipeline, RedisError, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster_async::Connect,
    io::AsyncDNSResolver,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    net::TcpStream,
    task::AbortHandle,
    time::{error::Elapsed, timeout},
};
use tokio_rustls::TlsConnector;

use super::{
    bounded::{Bounded, LastBreach, Socket},
    bounds::CONNECT_TIMEOUT,
};
use crate::causes::causes;

/// The timeout for one address of a host. The next address is tried after it.
const ADDRESS_TIMEOUT: Duration = Duration::from_millis(700);

/// Opens connections. Clones open the same.
#[derive(Clone, Debug)]
pub(super) struct Dialer(Arc<Settings>);

struct Settings {
    max_reply: u64,
    max_waiting: usize,
    // Where an address has TLS.
    tls: Option<Arc<ClientConfig>>,
    breach: Arc<LastBreach>,
}

/// A connection to one server. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    connection: MultiplexedConnection,
    driver: Arc<Driver>,
}

/// The task of a connection. It ends with the connection.
#[derive(Debug)]
struct Driver {
    task: AbortHandle,
    broken: AtomicBool,
}

impl Dialer {
    /// Allows `max_reply` bytes in each reply and `max_waiting` outstanding replies.
    pub(super) fn new(max_reply: u64, max_waiting: usize, tls: Option<ClientConfig>) -> Self {
        let (tls, breach) = (tls.map(Arc::new), Arc::default());
        Self(Arc::new(Settings { max_reply, max_waiting, tls, breach }))
    }

    /// How the last connection exceeded its bounds since the last call.
    pub(super) fn breach(&self) -> Option<&'static str> {
        self.0.breach.take().map(super::replies::Breach::as_str)
    }

    pub(super) async fn dial(&self, info: &ConnectionInfo) -> RedisResult<Node> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(CONNECT_TIMEOUT));
        timeout(CONNECT_TIMEOUT, self.connect(info, config)).await.map_err(too_slow)?
    }

    async fn connect(
        &self,
        info: &ConnectionInfo,
        config: AsyncConnectionConfig,
    ) -> RedisResult<Node> {
        let stream: Pin<Box<dyn Socket>> = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Box::pin(connect_tcp(host, *port).await?),
            ConnectionAddr::TcpTls { host, port, insecure: false, .. } => {
                let tls = self.0.tls.clone().ok_or_else(|| unusable("no certificates"))?;
                let name = ServerName::try_from(host.clone())?;
                let stream = connect_tcp(host, *port).await?;
                Box::pin(TlsConnector::from(tls).connect(name, stream).await?)
            }
            _ => return Err(unusable("an address of another kind")),
        };
        let Settings { max_reply, max_waiting, breach, .. } = &*self.0;
        let stream = Bounded::new(stream, *max_reply, Arc::clone(breach));
        let config = config.set_concurrency_limit(*max_waiting);
        let settings = info.redis_settings();
        let (connection, driver) =
            MultiplexedConnection::new_with_config(settings, stream, config).await?;
        #[expect(
            clippy::disallowed_methods,
            reason = "its owner is the driver, whose drop stops it"
        )]
        let task = tokio::spawn(driver).abort_handle();
        let driver = Arc::new(Driver { task, broken: AtomicBool::new(false) });
        Ok(Node { connection, driver })
    }
}

async fn connect_tcp(host: &str, port: u16) -> RedisResult<TcpStream> {
    let mut last = None;
    for address in tokio::net::lookup_host((host, port)).await? {
        match timeout(ADDRESS_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = Some(error.into()),
            Err(elapsed) => last = Some(too_slow(elapsed)),
        }
    }
    Err(last.unwrap_or_else(|| unusable("a name without an address")))
}

/// Trusts the roots in this PEM text or else those of the system.
pub(super) fn trusting(pem: Option<&[u8]>) -> RedisResult<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match pem {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots
                    .add(certificate.map_err(|_| unusable("certificates that cannot be read"))?)?;
            }
        }
        None => {
            let _those_that_can_be_read =
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(config?.with_root_certificates(roots).with_no_client_auth())
}

fn unusable(what: &'static str) -> RedisError {
    RedisError::from((ErrorKind::InvalidClientConfig, what))
}

fn too_slow(elapsed: Elapsed) -> RedisError {
    RedisError::from(std::io::Error::from(elapsed))
}

// === impl Node ===

impl Node {
    /// Whether the connection is usable as far as is known.
    pub(super) fn is_alive(&self) -> bool {
        !self.driver.broken.load(Relaxed) && !self.driver.task.is_finished()
    }

    fn note<T>(&self, result: RedisResult<T>) -> RedisResult<T> {
        if result.as_ref().is_err_and(RedisError::is_unrecoverable_error) {
            self.driver.broken.store(true, Relaxed);
        }
        result
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ConnectionLike for Node {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let result = self.connection.send_packed_command(command).await;
            self.note(result)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let result = self.connection.send_packed_commands(pipeline, offset, count).await;
            self.note(result)
        })
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}

// === A cluster's nodes ===

/// The cluster client opens connections with a function that gets the client's settings. A name
/// resolver is the only value of ours that these settings carry. The dialer is therefore the resolver
/// and identifies itself.
impl Connect for Node {
    fn connect_with_config<'a, T>(info: T, config: AsyncConnectionConfig) -> RedisFuture<'a, Self>
    where
        T: IntoConnectionInfo + Send + 'a,
    {
        Box::pin(async move {
            let info = info.into_connection_info()?;
            let dialer = Dialer::of(&config).await.ok_or_else(|| unusable("no dialer"))?;
            timeout(CONNECT_TIMEOUT, dialer.connect(&info, config)).await.map_err(too_slow)?
        })
    }
}

impl Dialer {
    /// The dialer in these settings.
    async fn of(config: &AsyncConnectionConfig) -> Option<Self> {
        let nowhere = ConnectionAddr::Tcp(String::new(), 0).into_connection_info().ok()?;
        let client = Client::open(nowhere).ok()?;
        let error = client.get_multiplexed_async_connection_with_config(config).await.err()?;
        causes(&error).find_map(|cause| cause.downcast_ref::<Self>()).cloned()
    }
}

impl AsyncDNSResolver for Dialer {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        _host: &'b str,
        _port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = std::net::SocketAddr> + Send + 'a>> {
        let dialer = std::io::Error::other(Caused(self.clone()));
        Box::pin(std::future::ready(Err(dialer.into())))
    }
}

/// An error caused by the dialer.
#[derive(Debug)]
struct Caused(Dialer);

impl fmt::Display for Caused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection resolves no names")
    }
}

impl std::error::Error for Caused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl fmt::Display for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a dialer")
    }
}

impl std::error::Error for Dialer {}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("max_reply", &self.max_reply).finish_non_exhaustive()
    }
}
