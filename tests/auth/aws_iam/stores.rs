//! Files and stores of signing credentials.

use std::{
    error::Error,
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tower_inference::{
    auth::{
        AuthLayer,
        aws_iam::{
            CredentialFile, CredentialLookup, CredentialStore, SigV4, SigningCredential,
            SigningCredentialError, SigningCredentials, SigningKey, SigningScope,
        },
    },
    rejection::Refusal,
    secret::Secret,
};

use super::sign::{ID, NOW, SECRET, Signing, clock_at, credential, send};

#[derive(Default)]
struct Vault {
    asked: Arc<AtomicUsize>,
    fails: bool,
    hangs: bool,
}

impl CredentialStore for Vault {
    async fn find(
        &self,
        access_key_id: &str,
        scope: &SigningScope,
    ) -> Result<Option<SigningCredential>, Box<dyn Error + Send + Sync>> {
        self.asked.fetch_add(1, SeqCst);
        assert_eq!((scope.date(), scope.region()), ("20270115", "us-east-1"));
        if self.hangs {
            std::future::pending::<()>().await;
        }
        if self.fails {
            return Err("no connection".into());
        }
        if access_key_id != ID {
            return Ok(None);
        }
        let secret = Secret::new(SECRET);
        let key = SigningKey::derive(&secret, scope.date(), scope.region(), scope.service());
        Ok(Some(SigningCredential::derived(access_key_id, key)?.tenant("acme")))
    }
}

fn layer_of(vault: Vault) -> (AuthLayer, Arc<AtomicUsize>) {
    let asked = Arc::clone(&vault.asked);
    let settings = SigV4::new("us-east-1", SigningCredentials::store(vault)).unwrap();
    (AuthLayer::new(settings.clock(clock_at(NOW).shared())), asked)
}

#[tokio::test]
async fn store_with_derived_keys_is_asked_once_for_a_credential() {
    let (layer, asked) = layer_of(Vault::default());
    for body in ["{}", "[]", ""] {
        let outcome = send(&layer, Signing::default().request("POST", "/", body)).await;
        assert_eq!(outcome.seen.unwrap().identity.tenant(), Some("acme"));
    }
    let outcome = send(&layer, Signing::default().declared("/", "{}")).await;
    assert_eq!((outcome.status.as_u16(), asked.load(SeqCst)), (200, 1));
    for _ in 0..3 {
        let mut unknown = Signing::default().request("GET", "/", "");
        let value = unknown.headers()["authorization"].to_str().unwrap().replace(ID, "AKID2");
        unknown.headers_mut().insert("authorization", value.parse().unwrap());
        let outcome = send(&layer, unknown).await;
        assert_eq!(outcome.detail(), "the signature does not match");
    }
    assert_eq!(asked.load(SeqCst), 2);
    // No credential has such an id.
    let mut odd = Signing::default().request("GET", "/", "");
    let value = odd.headers()["authorization"].to_str().unwrap().replace(ID, "'or'1");
    odd.headers_mut().insert("authorization", value.parse().unwrap());
    assert_eq!(send(&layer, odd).await.detail(), "the signature does not match");
    assert_eq!(asked.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn failing_store_rejects_and_is_not_asked_at_once_again() {
    for (fails, hangs) in [(true, false), (false, true)] {
        let (layer, asked) = layer_of(Vault { fails, hangs, ..Vault::default() });
        for _ in 0..2 {
            let outcome = send(&layer, Signing::default().declared("/", "{}")).await;
            assert_eq!(outcome.refusal(), Some(Refusal::IdentityProviderUnavailable));
            assert_eq!(outcome.calls, 0);
        }
        assert_eq!(asked.load(SeqCst), 1);
    }
}

#[tokio::test]
async fn file_is_read_again_after_a_change_and_keeps_its_last_good_content() {
    let name = format!("tower-inference-{}-credentials.json", std::process::id());
    let path = std::env::temp_dir().join(name);
    let entry = |tenant: &str| {
        format!(
            r#"[{{"access_key_id":"{ID}","secret_access_key":"{SECRET}","tenant":"{tenant}"}}]"#
        )
    };
    fs::write(&path, entry("one")).unwrap();
    let clock = clock_at(NOW);
    let settings = SigV4::new("us-east-1", SigningCredentials::file(&path)).unwrap();
    let layer = AuthLayer::new(settings.clock(clock.shared()));
    let tenant = async || {
        let outcome = send(&layer, Signing::default().request("GET", "/", "")).await;
        outcome.seen.unwrap().identity.tenant().unwrap().to_owned()
    };
    assert_eq!(tenant().await, "one");
    for (content, expected) in [(entry("two"), "two"), ("[{".to_owned(), "two"), (entry("3"), "3")]
    {
        fs::write(&path, content).unwrap();
        clock.advance(Duration::from_secs(1));
        assert_eq!(tenant().await, expected);
    }
    fs::write(&path, "[]").unwrap();
    clock.advance(Duration::from_secs(1));
    let outcome = send(&layer, Signing::default().request("GET", "/", "")).await;
    assert_eq!(outcome.refusal(), Some(Refusal::InvalidSignature));
    fs::remove_file(path).unwrap();
}

#[test]
fn mistakes_are_found_when_the_settings_are_built() {
    let error = |credentials| SigV4::new("us-east-1", credentials).unwrap_err();
    assert_eq!(
        error(SigningCredentials::new([credential(), credential()])),
        SigningCredentialError::Repeated(ID.into())
    );
    let missing = error(SigningCredentials::file("/nonexistent/credentials.json"));
    assert!(matches!(missing, SigningCredentialError::Unreadable(_)), "{missing}");
}

#[cfg(unix)]
#[test]
fn file_that_others_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let name = format!("tower-inference-{}-writable.json", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, "[]").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
    let file = CredentialFile::new(&path);
    let error = SigV4::new("r", SigningCredentials::file(file.clone())).unwrap_err();
    assert!(matches!(error, SigningCredentialError::RefusedFile(_)), "{error}");
    SigV4::new("r", SigningCredentials::file(file.dangerous_writable())).unwrap();
    fs::remove_file(path).unwrap();
}

#[tokio::test(start_paused = true)]
async fn bounds_of_a_store_are_kept() {
    let clock = clock_at(NOW);
    let vault = Vault::default();
    let asked = Arc::clone(&vault.asked);
    let lookup = CredentialLookup::new(vault).ttl(Duration::from_secs(20));
    let settings = SigV4::new("us-east-1", SigningCredentials::store(lookup)).unwrap();
    let layer = AuthLayer::new(settings.clock(clock.shared()));
    for (seconds, count) in [(0, 1), (19, 1), (1, 2)] {
        clock.advance(Duration::from_secs(seconds));
        assert_eq!(send(&layer, Signing::default().declared("/", "{}")).await.status, 200);
        assert_eq!(asked.load(SeqCst), count);
    }
    let none_waits = CredentialLookup::new(Vault::default()).max_waiting(0);
    let settings = SigV4::new("us-east-1", SigningCredentials::store(none_waits)).unwrap();
    let layer = AuthLayer::new(settings.clock(clock.shared()));
    let outcome = send(&layer, Signing::default().declared("/", "{}")).await;
    assert_eq!(outcome.refusal(), Some(Refusal::IdentityProviderUnavailable));
}
