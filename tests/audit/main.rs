//! The audit trail: what it has of each request, what `verify` finds and what it survives.

mod arbitrary;
mod crash;
mod disk;
mod files;
mod forged;
mod hostile;
#[path = "../support/program.rs"]
mod program;
mod records;

use std::{
    convert::Infallible,
    env, fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    access_log::AccessLogLayer,
    audit::{
        AuditFile, AuditKey, AuditLog, AuditPublicKey, AuditReport, Checkpoint, trail_files, verify,
    },
};

/// A folder. Dropping it removes it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn create() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Relaxed);
        let path = env::temp_dir().join(format!("audit-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// The current file of the trail.
    pub fn trail(&self) -> PathBuf {
        self.0.join("audit.jsonl")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

pub fn key() -> AuditKey {
    AuditKey::from_bytes(&[7; 32]).unwrap()
}

pub fn public() -> AuditPublicKey {
    key().public_key()
}

pub fn audit(path: &Path) -> AuditFile {
    AuditFile::new(path, key())
}

/// Sends requests to `/{name}` through the layer, one after another.
pub fn send(log: &AuditLog, names: impl IntoIterator<Item = String>) {
    let layer = AccessLogLayer::sink(log.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let service = layer.layer(service_fn(|request: Request<_>| async move {
        let body: Full<Bytes> = Full::default();
        drop(request);
        Ok::<_, Infallible>(Response::new(body))
    }));
    runtime.block_on(async {
        for name in names {
            let request = Request::get(format!("/{name}")).body(Full::<Bytes>::default()).unwrap();
            let response = service.clone().oneshot(request).await.unwrap();
            response.into_body().collect().await.unwrap();
        }
    });
}

/// Sends requests to `/0`, `/1` and so on.
pub fn send_numbers(log: &AuditLog, count: usize) {
    send(log, (0..count).map(|number| number.to_string()));
}

/// All lines of all files of a trail.
pub fn lines(path: &Path) -> Vec<Value> {
    let files = trail_files(path).unwrap();
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn of_kind(path: &Path, kind: &str) -> Vec<Value> {
    lines(path).into_iter().filter(|line| line["kind"] == kind).collect()
}

pub fn verified(path: &Path, known: Option<&Checkpoint>) -> AuditReport {
    verify(&trail_files(path).unwrap(), &[public()], known).unwrap()
}

#[track_caller]
pub fn assert_intact(path: &Path) -> AuditReport {
    let report = verified(path, None);
    assert!(report.is_intact(), "{report}");
    report
}
