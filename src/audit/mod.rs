//! Audit trail.

mod checkpoint;
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
    error::{AuditError, AuditFault},
    key::{AuditKey, AuditPublicKey},
    log::AuditLog,
    place::trail_files,
    settings::{AuditFile, Checkpoints, Durability},
    verify::{AuditBreak, AuditReport, BreakFault, KnownCheckpoint, verify},
};
