//! API keys from a file.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use tower_inference::{
    auth::{ApiKey, ApiKeyFile, ApiKeys, ApiKeysFault, AuthLayer},
    clock::FakeClock,
};

use super::{
    api_keys::{KEY, try_key},
    fake_clock, seconds,
};

const NEW: &str = "the-second-key-of-acme-0002";

/// A path. Dropping it removes the file.
struct TestFile(PathBuf);

impl TestFile {
    fn new(name: &str) -> Self {
        let name = format!("tower-inference-{}-keys-{name}.json", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn write(&self, keys: &Value) {
        self.write_text(&keys.to_string());
    }

    fn write_text(&self, text: &str) {
        fs::write(&self.0, text).unwrap();
        self.permit(0o600);
    }

    fn permit(&self, mode: u32) {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&self.0, fs::Permissions::from_mode(mode)).unwrap();
        }
        let _ = mode;
    }

    fn layer(&self) -> (AuthLayer, FakeClock) {
        let clock = fake_clock();
        (AuthLayer::new(ApiKeys::file(&self.0).unwrap().clock(clock.shared())), clock)
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

fn fault(file: impl Into<ApiKeyFile>) -> String {
    let Err(error) = ApiKeys::file(file) else { return "ok".to_owned() };
    let fault = format!("{:?}", error.fault);
    fault.split(['(', ' ']).next().unwrap().to_owned()
}

#[tokio::test]
async fn a_file_has_keys_or_digests_and_is_reloaded() {
    let file = TestFile::new("reload");
    let digest = ApiKey::new(NEW).unwrap().digest().to_string();
    file.write(
        &json!([{ "id": "acme", "key": KEY, "tenant": "t", "scopes": ["infer"], "plan": "gold" }]),
    );
    let (layer, clock) = file.layer();
    let identity = try_key(&layer, KEY).await.identity.unwrap();
    assert_eq!(
        (identity.subject(), identity.tenant(), identity.plan()),
        ("acme", Some("t"), Some("gold"))
    );
    assert!(identity.has_scope("infer"));

    // The new key comes, and later the old one goes.
    let new = json!({ "id": "acme", "digest": digest, "tenant": "t" });
    file.write(&json!([{ "id": "acme", "key": KEY, "tenant": "t" }, new]));
    assert!(!try_key(&layer, NEW).await.passed());
    clock.advance(seconds(1));
    assert!(try_key(&layer, NEW).await.passed());
    assert!(try_key(&layer, KEY).await.passed());
    file.write(&json!([new]));
    clock.advance(seconds(1));
    assert!(!try_key(&layer, KEY).await.passed());
    assert!(try_key(&layer, NEW).await.passed());
    // The last key may go too.
    file.write(&json!([]));
    clock.advance(seconds(1));
    assert!(!try_key(&layer, NEW).await.passed());
}

#[tokio::test]
async fn an_expired_or_disabled_key_of_a_file_is_refused() {
    let file = TestFile::new("expired");
    // The clock shows 2027-01-15 08:00:00 UTC or a time near it.
    file.write(&json!([
        { "id": "a", "key": KEY, "expires": "2000-01-01T00:00:00Z" },
        { "id": "b", "key": NEW, "disabled": true },
        { "id": "c", "key": "the-third-key-of-acme-0003", "expires": "2999-01-01T00:00:00+01:00" },
    ]));
    let (layer, _clock) = file.layer();
    assert!(!try_key(&layer, KEY).await.passed());
    assert!(!try_key(&layer, NEW).await.passed());
    assert!(try_key(&layer, "the-third-key-of-acme-0003").await.passed());
}

#[tokio::test]
async fn a_bad_file_keeps_the_last_good_keys() {
    let file = TestFile::new("bad");
    let good = json!([{ "id": "acme", "key": KEY }]).to_string();
    file.write_text(&good);
    let (layer, clock) = file.layer();
    let misspelled = good.replace("\"id\"", "\"expire\":\"2000-01-01T00:00:00Z\",\"id\"");
    for bad in ["", "{", &good[..good.len() / 2], "null", "[{}]", &misspelled] {
        file.write_text(bad);
        clock.advance(seconds(1));
        assert!(try_key(&layer, KEY).await.passed(), "{bad}");
    }
    // A new content from a file that everyone can write is not used.
    file.write(&json!([{ "id": "intruder", "key": NEW }]));
    file.permit(0o666);
    clock.advance(seconds(1));
    #[cfg(unix)]
    assert!(!try_key(&layer, NEW).await.passed());
    fs::remove_file(&file.0).unwrap();
    clock.advance(seconds(1));
    assert!(try_key(&layer, KEY).await.passed());
    file.write(&json!([{ "id": "acme", "key": NEW }]));
    clock.advance(seconds(1));
    assert!(try_key(&layer, NEW).await.passed());
    assert!(!try_key(&layer, KEY).await.passed());
}

#[test]
fn an_unusable_file_is_an_error_at_startup() {
    let file = TestFile::new("error");
    assert_eq!(fault(&file.0), "Unreadable");
    assert_eq!(fault(std::env::temp_dir()), "NotAFile");
    #[cfg(unix)]
    assert_eq!(fault("/dev/zero"), "NotAFile");
    file.write_text("{}");
    assert_eq!(fault(&file.0), "Malformed");
    file.write(&json!([{ "id": "a", "key": KEY, "name": "x" }]));
    assert_eq!(fault(&file.0), "UnknownMember");
    let error = ApiKeys::file(&file.0).unwrap_err();
    assert!(matches!(&error.fault, ApiKeysFault::UnknownMember(name) if &**name == "name"));
    let place = file.0.display().to_string();
    assert!(error.to_string().starts_with(&format!("{place}: entry 0 (id `a`): ")), "{error}");
    // The name and the source of a mistake that gives a key for a name is not printed.
    file.write(&json!([{ "id": "a", (KEY): "acme" }]));
    let error = ApiKeys::file(&file.0).unwrap_err();
    assert!(!error.to_string().contains(KEY) && !format!("{error:?}").contains(KEY), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn what_weakens_security_is_asked_for_by_name() {
    let file = TestFile::new("dangerous");
    file.write(&json!([{ "id": "a", "key": "short" }]));
    assert_eq!(fault(&file.0), "InvalidKey");
    let weak = || ApiKeyFile::new(&file.0).dangerous_weak_keys();
    let layer = AuthLayer::new(ApiKeys::file(weak()).unwrap());
    assert!(try_key(&layer, "short").await.passed());
    for mode in [0o620, 0o602, 0o666] {
        file.permit(mode);
        assert_eq!(fault(weak()), "Writable", "{mode:o}");
        assert_eq!(fault(weak().dangerous_writable()), "ok", "{mode:o}");
    }
    // Kubernetes and Docker mount secrets so.
    for mode in [0o400, 0o440, 0o444, 0o644] {
        file.permit(mode);
        assert_eq!(fault(weak()), "ok", "{mode:o}");
    }
}
