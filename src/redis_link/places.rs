use std::{fmt, sync::Arc};

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    bounds::Bounds,
    error::RedisError,
    node::{self, Dialer},
};
use crate::{
    lookalike::{lookalike, without_byte_order_mark},
    secret::Secret,
};

/// The addresses of the servers and the certificates to trust.
#[derive(Clone)]
pub(crate) struct Places {
    addresses: Vec<Secret>,
    cluster: bool,
    // As PEM, in place of the system's.
    roots: Option<Arc<[u8]>>,
}

impl Places {
    pub(crate) fn single(address: Secret) -> Result<Self, RedisError> {
        Self::new(vec![address], false)
    }

    pub(crate) fn cluster(addresses: Vec<Secret>) -> Result<Self, RedisError> {
        Self::new(addresses, true)
    }

    pub(crate) fn trust(&mut self, pem: &[u8]) -> Result<(), RedisError> {
        let pem = without_byte_order_mark(pem);
        let mut certificates = CertificateDer::pem_slice_iter(pem).peekable();
        if certificates.peek().is_none() {
            let form = lookalike(pem).unwrap_or("expected PEM with -----BEGIN CERTIFICATE-----");
            return Err(RedisError::Certificate(form));
        }
        if certificates.any(|certificate| certificate.is_err()) {
            return Err(RedisError::Certificate("one of them cannot be read"));
        }
        self.roots = Some(pem.into());
        Ok(())
    }

    fn new(addresses: Vec<Secret>, cluster: bool) -> Result<Self, RedisError> {
        if addresses.is_empty() {
            return Err(RedisError::Address("there is none"));
        }
        for address in &addresses {
            match *read(address).ok_or_else(|| unreadable(address))?.addr() {
                ConnectionAddr::Tcp(..) | ConnectionAddr::TcpTls { insecure: false, .. } => {}
                ConnectionAddr::TcpTls { .. } => return Err(RedisError::Insecure),
                _ => return Err(RedisError::Address("only TCP is supported, not a socket file")),
            }
        }
        Ok(Self { addresses, cluster, roots: None })
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.cluster
    }

    pub(super) fn read(&self) -> Vec<ConnectionInfo> {
        self.addresses.iter().filter_map(read).collect()
    }

    pub(super) fn dialer(&self, bounds: Bounds) -> Dialer {
        let encrypted =
            |info: &ConnectionInfo| matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        let tls = self.read().iter().any(encrypted).then(|| node::trusting(self.roots.as_deref()));
        // Without certificates, each connection says that there are none.
        let tls = tls.and_then(Result::ok);
        Dialer::new(bounds.max_reply as u64, bounds.max_waiting, tls)
    }
}

/// Returns the error for an address that cannot be read. It holds none of it, because an address may
/// have a password.
fn unreadable(address: &Secret) -> RedisError {
    let schemes = ["redis://", "rediss://"];
    RedisError::Address(if schemes.iter().any(|scheme| address.expose().starts_with(scheme)) {
        "expected redis://[user:password@]host[:port][/database]; escape special characters of a \
         password with %"
    } else {
        "expected redis://host:port, or rediss://host:port for TLS"
    })
}

fn read(address: &Secret) -> Option<ConnectionInfo> {
    address.expose().into_connection_info().ok()
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places")
            .field("addresses", &self.addresses.len())
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}
