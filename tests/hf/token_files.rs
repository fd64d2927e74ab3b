//! Token files: who may write them, and how they change.
#![cfg(unix)]

use std::{fs::Permissions, os::unix::fs::PermissionsExt};

use tower_inference::hf::TokenFault;

use super::*;

fn write(path: &PathBuf, content: impl AsRef<[u8]>, mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_file_that_others_can_write_is_refused() {
    let folder = Folder::new();
    let path = folder.file("token");
    for mode in [0o660, 0o602, 0o666] {
        write(&path, "hf_one", mode);
        let error = TokenSource::file(&path).unwrap_err();
        assert_eq!(error.fault, TokenFault::Writable { mode });
        assert!(error.to_string().contains("chmod go-w"), "{error}");
        assert!(TokenSource::dangerous_writable_file(&path).is_ok());
    }
    // One that becomes writable keeps its last good token.
    write(&path, "hf_one", 0o600);
    let filed = Filed::new(path.clone());
    assert_eq!(filed.token().await, "hf_one");
    write(&path, "hf_two", 0o620);
    assert_eq!(filed.token_a_second_later().await, "hf_one");
    write(&path, "hf_two", 0o640);
    assert_eq!(filed.token_a_second_later().await, "hf_two");
}

#[tokio::test]
async fn a_file_that_everyone_can_read_is_one_warning() {
    let folder = Folder::new();
    let path = folder.file("token");
    let log = Log::default();
    let guard = tracing::dispatcher::set_default(&log.dispatch());
    for (mode, warnings) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
        write(&path, "hf_one", mode);
        let filed = Filed::new(path.clone());
        for content in ["hf_two", "hf_three"] {
            write(&path, content, mode);
            assert_eq!(filed.token_a_second_later().await, content);
        }
        assert_eq!(log.text().matches("WARN").count(), warnings, "{}", log.text());
    }
    drop(guard);
    assert!(log.text().contains("token file"), "{}", log.text());
    assert!(!log.text().contains("hf_"), "{}", log.text());
}

#[tokio::test]
async fn a_change_is_seen_by_content_although_the_metadata_stays() {
    let folder = Folder::new();
    let path = folder.file("token");
    write(&path, "hf_one", 0o600);
    let filed = Filed::new(path.clone());
    assert_eq!(filed.token().await, "hf_one");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    write(&path, "hf_two", 0o600);
    fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    assert_eq!(filed.token_a_second_later().await, "hf_two");
}

#[tokio::test]
async fn a_half_written_file_keeps_the_last_good_token() {
    let folder = Folder::new();
    let path = folder.file("token");
    write(&path, "hf_one", 0o600);
    let filed = Filed::new(path.clone());
    for half in
        [&b""[..], b"\xef\xbb\xbf", b"\n", b"Bearer hf_t", b"\"hf_two", b"hf_\0\0\0", b"\xff"]
    {
        write(&path, half, 0o600);
        assert_eq!(filed.token_a_second_later().await, "hf_one", "{half:?}");
    }
    write(&path, "\u{feff}hf_two \r\n\t\n", 0o600);
    assert_eq!(filed.token_a_second_later().await, "hf_two");
}

#[tokio::test]
async fn the_age_of_a_token_starts_when_it_is_read() {
    let folder = Folder::new();
    let path = folder.file("token");
    write(&path, "hf_one", 0o600);
    let filed = Filed::new(path.clone());
    filed.token().await;
    filed.clock.advance(Duration::from_secs(7));
    assert_eq!(filed.layer.token_age(), Some(Duration::from_secs(7)));
    assert!(filed.layer.is_ready());
    write(&path, "hf_two", 0o600);
    assert_eq!(filed.token_a_second_later().await, "hf_two");
    assert_eq!(filed.layer.token_age(), Some(Duration::ZERO));
}
