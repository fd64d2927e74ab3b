use std::{
    fmt,
    fs::{self, Permissions},
    io,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use super::{FileFault, FileRules, SecretFile};

const SECOND: Duration = Duration::from_secs(1);
const RULES: FileRules = FileRules::new("test file", 200_000);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Fault {
    File(FileFault),
    NotANumber,
}

impl From<FileFault> for Fault {
    fn from(fault: FileFault) -> Self {
        Self::File(fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(fault) => fault.fmt(f),
            Self::NotANumber => f.write_str("it is not a number"),
        }
    }
}

fn parse(content: &[u8]) -> Result<u64, Fault> {
    let text = str::from_utf8(content).map_err(|_| Fault::NotANumber)?;
    text.trim().parse().map_err(|_| Fault::NotANumber)
}

/// A folder. Dropping it removes it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Relaxed);
        let name = format!("tower-inference-secret-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn file_is_read_again_at_most_once_a_second_and_changes_by_content() {
    let folder = Folder::new();
    let path = folder.write("a", "1", 0o600);
    let file = SecretFile::open(&path, RULES, parse).unwrap();
    assert_eq!(**file.current(Duration::ZERO), 1);
    // The same length, and maybe the same time of change.
    folder.write("a", "2", 0o600);
    assert_eq!(**file.current(SECOND / 2), 1);
    assert_eq!(**file.current(SECOND), 2);
    folder.write("a", "3", 0o600);
    assert_eq!(**file.current(SECOND * 2 - Duration::from_nanos(1)), 2);
    assert_eq!(**file.current(SECOND * 2), 3);
}

#[test]
fn bad_file_keeps_the_last_good_value() {
    let folder = Folder::new();
    let path = folder.write("a", "1", 0o600);
    let file = SecretFile::open(&path, RULES, parse).unwrap();
    let mut now = SECOND;
    let mut check = |expected: Option<Fault>| {
        now += SECOND;
        assert_eq!(**file.current(now), 1);
        assert_eq!(file.state.lock().error, expected);
    };
    folder.write("a", "{", 0o600);
    check(Some(Fault::NotANumber));
    // An unchanged bad file stays bad.
    check(Some(Fault::NotANumber));
    folder.write("a", "2", 0o620);
    check(Some(Fault::File(FileFault::Writable { mode: 0o620 })));
    fs::remove_file(&path).unwrap();
    check(Some(Fault::File(FileFault::Unreadable(io::ErrorKind::NotFound))));
    // The content of the first read is a change after a failure.
    folder.write("a", "1", 0o600);
    check(None);
}

#[test]
fn swapped_symlink_of_kubernetes_is_followed() {
    let folder = Folder::new();
    for (version, content) in [("..1", "1"), ("..2", "2")] {
        fs::create_dir(folder.path(version)).unwrap();
        folder.write(&format!("{version}/keys"), content, 0o644);
    }
    symlink("..1", folder.path("..data")).unwrap();
    symlink("..data/keys", folder.path("keys")).unwrap();
    let file = SecretFile::open(folder.path("keys"), RULES, parse).unwrap();
    assert_eq!(**file.current(SECOND), 1);
    symlink("..2", folder.path("..tmp")).unwrap();
    fs::rename(folder.path("..tmp"), folder.path("..data")).unwrap();
    fs::remove_dir_all(folder.path("..1")).unwrap();
    assert_eq!(**file.current(SECOND * 2), 2);
}

#[test]
fn writable_file_is_refused_unless_that_is_asked_for() {
    let folder = Folder::new();
    for (mode, refused) in [
        (0o400, false),
        (0o600, false),
        (0o640, false),
        (0o644, false),
        (0o620, true),
        (0o602, true),
        (0o666, true),
    ] {
        let path = folder.write("a", "1", mode);
        let opened = SecretFile::open(&path, RULES, parse).err();
        let fault = Fault::File(FileFault::Writable { mode });
        assert_eq!(opened, refused.then_some(fault), "{mode:o}");
        SecretFile::open(&path, RULES.dangerous_writable(), parse).unwrap();
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn readable_file_is_warned_about_once() {
    let folder = Folder::new();
    let path = folder.write("a", "1", 0o640);
    let file = SecretFile::open(&path, RULES, parse).unwrap();
    assert!(!file.state.lock().warned);
    folder.write("a", "1", 0o644);
    file.current(SECOND);
    assert!(file.state.lock().warned);
    assert_eq!(**file.current(SECOND * 2), 1);
}

#[test]
fn only_regular_files_are_read() {
    let folder = Folder::new();
    let fault = |path: &Path| SecretFile::open(path, RULES, parse).err();
    let not_a_file = Some(Fault::File(FileFault::NotAFile));
    assert_eq!(fault(&folder.0), not_a_file);
    assert_eq!(fault(Path::new("/dev/zero")), not_a_file);
    let socket = folder.path("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    assert_eq!(fault(&socket), not_a_file);
    let missing = FileFault::Unreadable(io::ErrorKind::NotFound);
    assert_eq!(fault(&folder.path("missing")), Some(Fault::File(missing)));
}

#[test]
fn size_is_bounded() {
    let folder = Folder::new();
    let rules = FileRules::new("test file", 4);
    SecretFile::open(folder.write("a", "1234", 0o600), rules, parse).unwrap();
    let fault = SecretFile::open(folder.write("a", "12345", 0o600), rules, parse).err();
    assert_eq!(fault, Some(Fault::File(FileFault::TooLarge { max_bytes: 4 })));
}

#[test]
fn large_file_is_not_read_again_once_its_metadata_has_settled() {
    let folder = Folder::new();
    let text = format!("1{}", " ".repeat(100_000));
    let path = folder.write("a", &text, 0o600);
    let file = SecretFile::open(&path, RULES, parse).unwrap();
    let mut now = SECOND;
    for reads in [2, 3, 3, 3] {
        file.current(now);
        assert_eq!(file.state.lock().reads, reads);
        now += SECOND;
    }
    folder.write("b", &format!("2{}", " ".repeat(100_000)), 0o600);
    fs::rename(folder.path("b"), &path).unwrap();
    assert_eq!(**file.current(now), 2);
}
