//! `rediss://` and users of an access list. TLS before Redis alone: the Valkey at hand has none.

use std::fs;

use http::StatusCode;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tower_inference::limits::{OutagePolicy, RedisError, RedisStore};

use super::{
    gateway::{Gateway, HASHING, NAMESPACE, burst, patient, secret},
    logged,
    server::{Brand, Server, free_port},
};

/// A server with a certificate for `name`; its port for TLS, and the root that signed, as PEM.
fn with_tls(brand: Brand, name: &str) -> Option<(Server, u16, String)> {
    let mut of_root = CertificateParams::new(Vec::new()).unwrap();
    of_root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = KeyPair::generate().unwrap();
    let root = of_root.self_signed(&root_key).unwrap().pem();
    let issuer = Issuer::new(of_root, root_key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    let port = free_port();
    let server = brand.start_with(|folder| {
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let mut arguments = ["--tls-port", &port.to_string()].map(str::to_owned).to_vec();
        for (option, value) in [
            ("--tls-cert-file", file("certificate", &certificate)),
            ("--tls-key-file", file("key", &key.serialize_pem())),
            ("--tls-ca-cert-file", file("root", &root)),
            ("--tls-auth-clients", "no".to_owned()),
        ] {
            arguments.extend([option.to_owned(), value]);
        }
        arguments
    })?;
    Some((server, port, root))
}

fn store(port: u16) -> RedisStore {
    let address = secret(&format!("rediss://localhost:{port}"));
    patient(RedisStore::single(address, secret(HASHING)).unwrap())
        .outage_policy(OutagePolicy::Reject)
}

/// Asserts a rejection, and that nothing readable was sent.
async fn is_away(store: RedisStore, server: &Server) {
    let (status, body) = Gateway::new(burst(5), store).ask("a").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert_eq!((server.scripts(), server.keys().len()), (0, 0));
}

#[tokio::test]
async fn an_unknown_certificate_is_rejected() {
    let Some((server, port, _root)) = with_tls(Brand::Redis, "localhost") else { return };
    is_away(store(port), &server).await;
}

#[tokio::test]
async fn custom_roots_are_trusted_for_their_names_alone() {
    let Some((server, port, root)) = with_tls(Brand::Redis, "localhost") else { return };
    let own = store(port).root_certificates(root.as_bytes()).unwrap();
    assert_eq!(Gateway::new(burst(3), own.clone()).passing("a", 5).await, 3);
    assert_eq!(server.keys().len(), 1);
    server.wire().must("FLUSHALL");
    server.wire().must("CONFIG RESETSTAT");
    // Another root than the one that signed.
    let Some((_, _, stranger)) = with_tls(Brand::Redis, "localhost") else { return };
    is_away(store(port).root_certificates(stranger.as_bytes()).unwrap(), &server).await;
    // The right root, but for another name.
    let Some((server, port, root)) = with_tls(Brand::Redis, "elsewhere.example") else { return };
    is_away(store(port).root_certificates(root.as_bytes()).unwrap(), &server).await;
}

#[test]
fn invalid_addresses_and_certificates_are_errors() {
    let single = |address: &str| RedisStore::single(secret(address), secret(HASHING)).map(drop);
    for address in ["", "localhost", "http://localhost", "redis://", "unix:///tmp/socket"] {
        assert!(matches!(single(address), Err(RedisError::Address(_))), "{address}");
    }
    assert_eq!(single("rediss://localhost:1/#insecure"), Err(RedisError::Insecure));
    let none = RedisStore::cluster([], secret(HASHING)).map(drop);
    assert_eq!(none, Err(RedisError::Address("there is none")));
    let store = RedisStore::single(secret("rediss://localhost"), secret(HASHING)).unwrap();
    for pem in ["", "x", "-----BEGIN CERTIFICATE-----\n%%\n-----END CERTIFICATE-----\n"] {
        let made = store.clone().root_certificates(pem.as_bytes()).map(drop);
        assert!(matches!(made, Err(RedisError::Certificate(_))), "{pem}");
    }
}

#[tokio::test]
async fn a_server_without_tls_gets_no_plain_text() {
    let Some(server) = Brand::Redis.start() else { return };
    is_away(store(server.port), &server).await;
}

/// The commands that the docs of `RedisStore` list are enough.
const ENOUGH: &str = "+eval +evalsha +script|load +time +get +set +del";

#[tokio::test]
async fn a_user_needs_few_commands_and_the_keys_of_the_namespace() {
    let Some(server) = Brand::Redis.start() else { return };
    logged::listen();
    let rule =
        format!("ACL SETUSER gateway reset on >password-in-clear ~{{{NAMESPACE}}}:* {ENOUGH}");
    let mut wire = server.wire();
    wire.must(&rule);
    wire.must("ACL SETUSER default off");
    let address = format!("redis://gateway:password-in-clear@127.0.0.1:{}", server.port);
    let store = patient(RedisStore::single(secret(&address), secret(HASHING)).unwrap());
    let printed = format!("{store:?}");
    let gateway = Gateway::new(burst(5), store);
    assert_eq!(gateway.passing("a", 10).await, 5);
    // By the administrator's connection, which the default user would not get any more.
    let counted = wire.must("KEYS *").list();
    assert_eq!(counted.len(), 1, "{counted:?}");
    let seen = format!("{printed} {gateway:?} {}", logged::taken().concat());
    for hidden in ["password-in-clear", HASHING] {
        assert!(!seen.contains(hidden), "{seen}");
    }
}
