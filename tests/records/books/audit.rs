use std::{env, fs, path::PathBuf, process, sync::Mutex, time::Duration};

use serde_json::Value;
use tower_inference::{
    access_log::AccessLogLayer,
    audit::{AuditFile, AuditKey, AuditLog, trail_files, verify},
};

use super::{Book, Sums, Tokens, id};

/// The lines of an audit trail of several files, once they verify.
pub struct AuditBook {
    folder: PathBuf,
    log: Mutex<Option<AuditLog>>,
}

impl Default for AuditBook {
    fn default() -> Self {
        let folder = env::temp_dir().join(format!("records-audit-{}", process::id()));
        fs::create_dir(&folder).unwrap();
        Self { folder, log: Mutex::default() }
    }
}

impl AuditBook {
    fn lines(&self) -> Vec<Value> {
        let log = self.log.lock().unwrap();
        let log = log.as_ref().unwrap();
        assert!(log.flush());
        assert_eq!((log.lag(), log.lost_records()), (0, 0));
        let files = trail_files(self.folder.join("audit.jsonl")).unwrap();
        assert!(files.len() > 1, "{files:?}");
        let report = verify(&files, &[log.public_key()], None).unwrap();
        assert!(report.is_intact() && report.gaps == 0, "{report}");
        let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let requests: Vec<_> = lines.filter(|line: &Value| line["kind"] == "request").collect();
        assert_eq!(requests.len() as u64, report.requests);
        requests
    }
}

impl Book for AuditBook {
    fn name(&self) -> &'static str {
        "audit trail"
    }

    fn join(&self, log: AccessLogLayer) -> AccessLogLayer {
        let key = AuditKey::from_bytes(&[7; 32]).unwrap();
        // The requests of a test come faster than a disk may write.
        let file = AuditFile::new(self.folder.join("audit.jsonl"), key).max_file_bytes(1 << 20);
        let file = file.max_records(100_000).max_bytes(1 << 28);
        let audit = file.drain_timeout(Duration::from_secs(60)).open().unwrap();
        *self.log.lock().unwrap() = Some(audit.clone());
        log.and(audit)
    }

    fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        self.lines().iter().for_each(|line| sums.add(line));
        sums
    }

    fn ids(&self) -> Option<Vec<String>> {
        Some(self.lines().iter().map(id).collect())
    }

    fn kept(&self, sums: &Sums) -> Sums {
        Sums { generated: Tokens::default(), ..sums.clone() }
    }
}

impl Drop for AuditBook {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.folder);
    }
}
