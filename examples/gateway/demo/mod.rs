//! The demo: an upstream without a model and an issuer, each on a loopback port.

mod banner;
mod chat;
mod issuer;
mod upstream;
mod vectors;

use std::{env, net::Ipv4Addr, path::PathBuf};

use aws_lc_rs::rand;
use axum::Router;
use tokio::{net::TcpListener, task::JoinSet};
use tower_inference::secret::Secret;

pub(crate) use self::banner::Banner;
use self::issuer::{Client, Issuer};
use crate::{
    Error,
    args::{
        Callers,
        callers::{Issuer as IssuerFlags, KEYS_COOLDOWN, Keys, TENANT_CLAIM},
    },
};

const AUDIENCE: &str = "demo-gateway";
const SCOPE: &str = "infer";

/// Both servers. Dropping it ends them.
pub(crate) struct Demo {
    pub(crate) upstream: String,
    pub(crate) upstream_token: Secret,
    pub(crate) issuer: String,
    /// A token that the gateway accepts.
    pub(crate) token: String,
    /// A token without the scope.
    pub(crate) token_without_scope: String,
    /// The name and secret of a client of the issuer.
    pub(crate) client: (&'static str, String),
    /// Where its access log goes unless a flag says otherwise.
    pub(crate) log_file: PathBuf,
    _servers: JoinSet<()>,
}

impl Demo {
    pub(crate) async fn start() -> Result<Self, Error> {
        let upstream_token = Secret::new(format!("demo-{}", random_hex()?));
        let upstream_listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let issuer_listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let upstream = format!("http://{}", upstream_listener.local_addr()?);
        let issuer = format!("http://{}", issuer_listener.local_addr()?);

        let caller = Client {
            id: "demo-caller",
            secret: random_hex()?,
            scope: Some(SCOPE),
            tenant: "demo-tenant",
        };
        let visitor = Client {
            id: "demo-visitor",
            secret: random_hex()?,
            scope: None,
            tenant: "demo-tenant",
        };
        let client = (caller.id, caller.secret.clone());
        let keys = Issuer::new(issuer.clone(), AUDIENCE, [caller, visitor])?;
        let (token, token_without_scope) = keys.tokens()?;

        let mut servers = JoinSet::new();
        serve(&mut servers, upstream_listener, upstream::router(upstream_token.clone()));
        serve(&mut servers, issuer_listener, keys.router());
        Ok(Self {
            upstream,
            upstream_token,
            issuer,
            token,
            token_without_scope,
            client,
            log_file: env::temp_dir().join(format!("gateway-demo-{}.log", random_hex()?)),
            _servers: servers,
        })
    }

    /// Returns the settings that authenticate the demo's callers.
    pub(crate) fn callers(&self) -> Callers {
        let issuer = IssuerFlags {
            url: self.issuer.clone(),
            preset: None,
            keys: Keys::Discovered,
            keys_cooldown: KEYS_COOLDOWN,
            audiences: vec![AUDIENCE.to_owned()],
            scopes: vec![SCOPE.to_owned()],
            tenant_claim: Some(TENANT_CLAIM.to_owned()),
            leeway: None,
        };
        Callers { issuers: vec![issuer], ..Callers::default() }
    }
}

fn serve(servers: &mut JoinSet<()>, listener: TcpListener, router: Router) {
    servers.spawn(async move {
        // It fails only when the listener is lost. The gateway then reports the failed requests.
        let _ended = axum::serve(listener, router).await;
    });
}

/// Returns 128 random bits in hexadecimal.
fn random_hex() -> Result<String, Error> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
