//! Name resolution within the limits of a request.

use std::{
    error::Error as StdError,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

use crate::address_reach::{AddressRefused, Reach};

type BoxError = Box<dyn StdError + Send + Sync>;

/// The system's resolver, less the addresses that requests must not reach. The connector connects to
/// the addresses that were checked, so that a second look-up cannot change them (DNS rebinding).
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    system: GaiResolver,
    /// `None` allows every address.
    reach: Option<Reach>,
}

impl Resolver {
    pub(super) fn new(reach: Option<Reach>) -> Self {
        Self { system: GaiResolver::new(), reach }
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.system.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (resolving, reach) = (self.system.call(name), self.reach);
        Box::pin(async move { Ok(allowed(resolving.await?, reach)?.into_iter()) })
    }
}

/// Returns the addresses that the request may go to. It fails if there are others only.
fn allowed(
    addresses: impl Iterator<Item = SocketAddr>,
    reach: Option<Reach>,
) -> Result<Vec<SocketAddr>, AddressRefused> {
    let Some(reach) = reach else { return Ok(addresses.collect()) };
    let mut refused = false;
    let allowed = addresses.filter(|address| {
        let allows = reach.allows(address.ip());
        refused |= !allows;
        allows
    });
    let allowed: Vec<_> = allowed.collect();
    if allowed.is_empty() && refused { Err(AddressRefused { reach }) } else { Ok(allowed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_allowed_addresses_of_a_name_are_tried() {
        let of = |hosts: &[&str], reach| {
            let addresses = hosts.iter().map(|host| SocketAddr::new(host.parse().unwrap(), 443));
            let allowed = allowed(addresses.collect::<Vec<_>>().into_iter(), reach);
            allowed.map(|allowed| allowed.len()).map_err(|refused| refused.reach)
        };
        let (link_local, public) = (Some(Reach::NotLinkLocal), Some(Reach::Public));
        assert_eq!(of(&["169.254.169.254", "10.0.0.1"], None), Ok(2));
        assert_eq!(of(&["169.254.169.254", "10.0.0.1"], link_local), Ok(1));
        assert_eq!(of(&["169.254.169.254", "fe80::1"], link_local), Err(Reach::NotLinkLocal));
        assert_eq!(of(&["10.0.0.1", "127.0.0.1", "fd00::1"], public), Err(Reach::Public));
        assert_eq!(of(&["10.0.0.1", "1.1.1.1"], public), Ok(1));
        assert_eq!(of(&[], public), Ok(0));
    }
}
