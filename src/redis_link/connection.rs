use std::{fmt, sync::Arc};

use redis::{
    Cmd, ConnectionInfo, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value,
    aio::ConnectionLike, cluster::ClusterClientBuilder, cluster_async::ClusterConnection,
};
use tokio::sync::Mutex;

use super::{
    bounds::CONNECT_TIMEOUT,
    node::{Dialer, Node},
    places::Places,
};
use crate::lock::Lock;

/// A connection to one server or to a cluster. Clones share it.
#[derive(Clone)]
pub(crate) enum Connection {
    Single(Single),
    Cluster(ClusterConnection<Node>),
}

/// A connection to one server. It connects again after a loss, because the server or a load balancer
/// may close an idle connection.
#[derive(Clone)]
pub(crate) struct Single(Arc<Redialed>);

struct Redialed {
    dialer: Dialer,
    info: ConnectionInfo,
    node: Lock<Node>,
    dialing: Mutex<()>,
}

impl Places {
    pub(super) async fn connect(&self, dialer: &Dialer) -> RedisResult<Connection> {
        let addresses = self.read();
        if self.is_cluster() {
            let client = ClusterClientBuilder::new(addresses)
                .connection_timeout(CONNECT_TIMEOUT)
                .response_timeout(CONNECT_TIMEOUT)
                .async_dns_resolver(dialer.clone())
                .build()?;
            return Ok(Connection::Cluster(client.get_async_generic_connection().await?));
        }
        let info = addresses.into_iter().next();
        let none = || RedisError::from((ErrorKind::InvalidClientConfig, "no address"));
        let info = info.ok_or_else(none)?;
        let node = Lock::new(dialer.dial(&info).await?);
        let (dialer, dialing) = (dialer.clone(), Mutex::new(()));
        Ok(Connection::Single(Single(Arc::new(Redialed { dialer, info, node, dialing }))))
    }
}

impl Single {
    async fn node(&self) -> RedisResult<Node> {
        let alive = || Some(self.0.node.lock().clone()).filter(Node::is_alive);
        if let Some(node) = alive() {
            return Ok(node);
        }
        let _others_wait = self.0.dialing.lock().await;
        if let Some(node) = alive() {
            return Ok(node);
        }
        let node = self.0.dialer.dial(&self.0.info).await?;
        *self.0.node.lock() = node.clone();
        Ok(node)
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(single) => {
                Box::pin(async move { single.node().await?.req_packed_command(command).await })
            }
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(single) => Box::pin(async move {
                single.node().await?.req_packed_commands(pipeline, offset, count).await
            }),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(single) => single.0.info.redis_settings().db(),
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
