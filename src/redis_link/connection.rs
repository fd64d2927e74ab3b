use std::{fmt, time::Duration};

use redis::{
    Client, Cmd, ConnectionAddr, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};

use super::{CONNECTING, places::Places};

/// How often a broken connection is made again before it is given up: the link begins anew then.
const TRIES: usize = 1;
const BETWEEN: Duration = Duration::from_millis(50);

/// To one server or to all of a cluster. Clones share it.
#[derive(Clone)]
pub(crate) enum Connection {
    Single(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Places {
    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        let addresses = self.read();
        let encrypted =
            addresses.iter().any(|info| matches!(info.addr(), ConnectionAddr::TcpTls { .. }));
        if encrypted && CryptoProvider::get_default().is_none() {
            // The client takes the process' provider, and panics where there is none and the features
            // of rustls leave a choice. Lost only to one who was quicker.
            let _quicker = aws_lc_rs::default_provider().install_default();
        }
        let certificates = self.certificates().filter(|_| encrypted);
        if self.is_cluster() {
            let mut builder = ClusterClientBuilder::new(addresses)
                .connection_timeout(CONNECTING)
                .response_timeout(CONNECTING);
            if let Some(certificates) = certificates {
                builder = builder.certs(certificates);
            }
            return Ok(Connection::Cluster(builder.build()?.get_async_connection().await?));
        }
        let address = addresses.into_iter().next();
        let none = || RedisError::from((ErrorKind::InvalidClientConfig, "no address"));
        let address = address.ok_or_else(none)?;
        let client = match certificates {
            Some(certificates) => Client::build_with_tls(address, certificates)?,
            None => Client::open(address)?,
        };
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECTING))
            .set_response_timeout(Some(CONNECTING))
            .set_number_of_retries(TRIES)
            .set_min_delay(BETWEEN);
        Ok(Connection::Single(ConnectionManager::new_with_config(client, config).await?))
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

impl fmt::Debug for Connection {
    // The client's own would print where it leads to.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single(_) => "Single(..)",
            Self::Cluster(_) => "Cluster(..)",
        })
    }
}
