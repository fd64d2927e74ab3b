//! The audit trail.

use tower_inference::audit::{AuditFile, AuditKey, AuditLog, Checkpoints};

use crate::{Error, args::Audit, output::Output};

/// Opens the trail. Each checkpoint is also a line on stderr, which the collector of logs keeps in
/// another place.
pub(crate) fn open(files: &Audit, output: &Output) -> Result<AuditLog, Error> {
    let key = AuditKey::from_file(&files.key).map_err(|error| format!("--audit-key {error}"))?;
    let stderr = output.clone();
    let checkpoints = Checkpoints::new().on_checkpoint(move |checkpoint| {
        stderr.complain(format_args!("audit checkpoint: {checkpoint}"))
    });
    let file = AuditFile::new(&files.file, key).checkpoints(checkpoints);
    let log = file.open().map_err(|error| format!("--audit {error}"))?;
    let (path, key) = (files.file.display(), log.public_key());
    output.complain(format_args!("the public key of the audit trail {path} is {key}"));
    Ok(log)
}

/// Writes and signs the records so far.
pub(crate) fn close(log: &AuditLog, output: &Output) {
    if !log.close() {
        let lag = log.lag();
        output.complain(format_args!("the audit trail: {lag} records are not written in time"));
    }
}
