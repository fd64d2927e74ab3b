//! Writes an audit trail of all requests in which no change goes unnoticed.
//!
//! An access log is a file that its administrator can edit. An auditor who asks who sent what to
//! which model needs a record that proves itself. An [`AuditLog`] is a sink of the records that
//! [`AccessLogLayer`](crate::access_log::AccessLogLayer) makes. It appends each one to a file as a line
//! of JSON. A line has the hash of the line before, and from time to time a *checkpoint* signs the
//! last hash with an Ed25519 key. [`verify`] finds any record that was edited, removed, repeated or
//! moved and names the first one.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use std::{convert::Infallible, fs, sync::{Arc, Mutex}};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_inference::{
//!     access_log::{AccessLogLayer, Sink},
//!     audit::{AuditFile, AuditKey, Checkpoints, trail_files, verify},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("audit-docs-{}", std::process::id()));
//! # fs::create_dir(&folder)?;
//! # let (path, key_file) = (folder.join("audit.jsonl"), folder.join("audit.key"));
//! # fs::write(&key_file, [7; 32])?;
//! # #[cfg(unix)]
//! # fs::set_permissions(&key_file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
//! let key = AuditKey::from_file(&key_file)?;
//! let public_key = key.public_key();
//! // Keep them on another machine.
//! let kept = Arc::new(Mutex::new(Vec::new()));
//! let copies = Arc::clone(&kept);
//! let checkpoints = Checkpoints::new().on_checkpoint(move |it| copies.lock().unwrap().push(it.clone()));
//! let audit = AuditFile::new(&path, key).checkpoints(checkpoints).open()?;
//!
//! let layer = AccessLogLayer::json(Sink::new(std::io::stderr())?).and(audit.clone());
//! let service = layer.layer(service_fn(|_| async {
//!     Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
//! }));
//! let response = service.oneshot(Request::get("/v1/models").body(())?).await?;
//! response.into_body().collect().await?;
//! drop((layer, audit));
//!
//! let kept = kept.lock().unwrap();
//! let report = verify(&trail_files(&path)?, &[public_key], kept.last())?;
//! assert!(report.is_intact());
//! assert_eq!((report.requests, report.unproven), (1, 0));
//!
//! let trail = fs::read_to_string(&path)?;
//! fs::write(&path, trail.replace("/v1/models", "/v1/nothing"))?;
//! let report = verify(&trail_files(&path)?, &[public_key], kept.last())?;
//! assert_eq!(report.broken.unwrap().seq, 2);
//! # fs::remove_dir_all(folder)?;
//! # Ok(())
//! # }
//! ```
//!
//! # What a trail proves
//!
//! | somebody | and then |
//! |---|---|
//! | edits, removes, repeats or moves records | [`verify`] names the first wrong one |
//! | also recomputes all later hashes | the next checkpoint does not fit: [`verify`] names it |
//! | cuts records off the end | found with a checkpoint from after them that was kept elsewhere |
//! | deletes the oldest files | [`AuditReport::first_seq`] is not 0 |
//! | replaces the trail by another one of the same key | found with a checkpoint of the trail |
//! | puts an older file in the place of the current one | the next start refuses it if later files are there |
//! | deletes, moves or replaces the file while the program runs | requests are rejected until it is back |
//!
//! A trail does not protect itself against these:
//!
//! - **Records after the last checkpoint.** Their hashes have no signature yet. Anybody who can write
//!   the file can change them, and [`AuditReport::unproven`] counts them. After a crash the next start signs
//!   what it finds, and [`AuditReport::signed_late`] counts those records.
//! - **An end that was cut off**, unless a later checkpoint is in a place where the same person
//!   cannot delete it. [`Checkpoints::on_checkpoint`] passes each one to your function.
//! - **Somebody with the key.** They can write another trail from the first record. Only checkpoints
//!   that are out of their reach show it.
//! - **Somebody who runs the program.** The trail has what the program saw. Requests that pass beside
//!   it, and a program that was changed, leave no trace here.
//! - **Somebody who stops the process.** Requests in flight at a `kill -9` have no record, because a
//!   record is made at the end of its request. Queued records are lost too. The next start says that
//!   the trail was not closed.
//!
//! # Lines
//!
//! Each line starts with `seq` (from 0), `prev` (hash of the line before, zeros before the first) and
//! `kind`. It ends with `hash`: the SHA-256 of the line's bytes before `,"hash":` in hexadecimal digits.
//!
//! | kind | members |
//! |---|---|
//! | `open` | first line of a file and of each start: `version`, `time`, `trail` (random name), `file` (number), `after` (`nothing`, `rotation`, `close` or `crash`), `key` (public), `unsigned` (lines that this start signs), `torn` (`bytes`, `sha256` and `file` of an unfinished write) |
//! | `request` | see [below](#members-of-a-request) |
//! | `checkpoint` | `trail`, `time`, `reason` (`start`, `interval`, `rotation` or `close`), `key`, `signature` (base64) |
//! | `gap` | a time without records: `since`, `until`, `cause`, `lost` (requests served), `turned_away` (requests rejected), `sync_failed` |
//!
//! A signature is of this text, with `prev` as its `head` and a line end after each line:
//!
//! ```text
//! tower-inference audit checkpoint 1
//! trail 5f0c…
//! seq 1001
//! head 9b1e…
//! time 2026-11-23T09:08:07.006Z
//! reason interval
//! ```
//!
//! # Members of a request
//!
//! A member has the meaning that [`access_log`](crate::access_log#members-of-a-record) describes.
//!
//! | question | members |
//! |---|---|
//! | when | `time`, `total_us` |
//! | who | `principal`, `tenant`, `credential_id` |
//! | which | `request_id`, `trace_id` |
//! | what | `method`, `path`, `route`, `stage`, `model`, `model_target`, `payload_sha256` |
//! | decisions of the layers | `decisions`, `refusal`, `limit`, `limit_shadow`, `cache`, `attempts`, `upstream`, `upstream_status` |
//! | result | `outcome`, `status`, `grpc_status`, `bytes_in`, `bytes_out`, `usage`, `stream_end` |
//! | values of the program | `values` |
//!
//! `payload_sha256` is the digest of the body as the client sent it, buffered or streamed. The layer
//! hashes it while it is read. Without it `payload` has the reason: `empty`, `partial` (the client left
//! or was rejected in the middle) or `unread` (rejected by its head).
//!
//! # Failures
//!
//! - **Full disk, failed write.** Requests are rejected with `audit-unavailable` (503) and the thread
//!   tries again each second. A write goes on within the line in which it failed.
//!   [`AuditFile::dangerous_serve_unaudited`] serves requests instead. The trail states the gap in
//!   both cases.
//! - **Kill in the middle of a write.** The next start keeps the unfinished line in `FILE.torn-N`,
//!   states it and continues the chain. After a power failure that can be more than a line, see
//!   [`Durability`].
//! - **File moved, deleted or replaced.** As a failed write, from the next record on. The program goes on
//!   once the file is back. Unix only.
//! - **Two processes.** The second one is refused by locks on `FILE.lock` and, on Unix, on the file itself,
//!   which may have another name. A symbolic link is refused.
//! - **Rotation.** `FILE` becomes `FILE.000001` and so on. The first line of the next file has the
//!   hash of the last one. A tool such as logrotate must not rename `FILE`.
//!
//! # Key
//!
//! `openssl genpkey -algorithm ed25519 -out audit.key` makes a key. Give verifiers
//! [`AuditLog::public_key`] or the output of `openssl pkey -in audit.key -pubout`. A key may change
//! between two starts. [`verify`] takes all of them, and only the key in the last `open` line signs.

mod checkpoint;
mod checkpoints;
mod durability;
mod error;
mod key;
mod line;
mod log;
mod opening;
mod place;
mod queue;
mod render;
mod settings;
mod start;
mod storage;
mod tail;
mod verify;
mod writer;

pub use self::{
    checkpoint::Checkpoint,
    checkpoints::Checkpoints,
    durability::Durability,
    error::{AuditError, AuditFault},
    key::{AuditKey, AuditPublicKey},
    log::AuditLog,
    place::trail_files,
    settings::AuditFile,
    verify::{AuditBreak, AuditReport, BreakFault, KnownCheckpoint, verify},
};
