//! The form of all errors.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Errors of a running connection. Their `Debug` shows the source, which the message leaves out.
const WITH_SOURCE: [&str; 6] = [
    "cache/request/body.rs",
    "client/error.rs",
    "explain/error.rs",
    "model/error.rs",
    "payload/error.rs",
    "stalled_reader/body.rs",
];

/// `fn main() -> Result<(), Box<dyn Error>>` prints `Debug`.
#[test]
fn every_error_without_a_source_prints_its_message_in_debug() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    let mut count = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(&source).unwrap().to_string_lossy().replace('\\', "/");
        for after in text.split("Error for ").skip(1) {
            let error = after.split([' ', '<']).next().unwrap();
            let public = text.contains(&format!("pub enum {error} "))
                || text.contains(&format!("pub struct {error} "))
                || text.contains(&format!("pub struct {error};"));
            let has_message = text.contains(&format!("debug_as_message!({error});"));
            if after.starts_with(&format!("{error} {{}}")) && public {
                assert!(has_message, "{name}: {error}");
                count += 1;
            } else if public && !WITH_SOURCE.contains(&&*name) {
                panic!("{name}: list {error} above");
            }
        }
    }
    assert!(count >= 17, "{count}");
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}
