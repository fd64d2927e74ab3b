//! A file with secrets that requests re-read.
//!
//! Secrets rotate while a gateway runs. Kubernetes swaps a symlink, Vault's agent renames a file and
//! people edit in place. No event and no timestamp tells all of these changes, so the content does.
//! A request re-reads the file at most once a second. A bad or half-written file keeps the last good
//! value.
//!
//! # Caveats
//!
//! The request that finds a new content parses it. Other requests use the last value meanwhile. A
//! file above 64 KiB is read again only after its metadata changed.

use std::{
    fmt,
    fs::{File, Metadata},
    hash::{BuildHasher as _, RandomState},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use arc_swap::{ArcSwap, Guard};
use zeroize::Zeroizing;

use crate::{file_reason::FileReason, lock::Lock, printable::Printable};

const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A larger file is not read while its metadata stays the same.
const SMALL_BYTES: u64 = 64 * 1_024;

/// Reads of one metadata before it stands for the content. They span two seconds, because two writes
/// within one tick of the file system's clock leave the same metadata.
const SETTLED_READS: u32 = 3;

/// What a file must meet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileRules {
    /// The kind of the file for the log, such as `API key file`.
    kind: &'static str,
    max_bytes: usize,
    writable: bool,
}

impl FileRules {
    /// Accepts a file of at most `max_bytes` that only its owner can write.
    pub(crate) const fn new(kind: &'static str, max_bytes: usize) -> Self {
        Self { kind, max_bytes, writable: false }
    }

    /// Also accepts a file that its group or others can write.
    pub(crate) const fn dangerous_writable(mut self) -> Self {
        self.writable = true;
        self
    }
}

/// The reason why a file cannot be read. Its text has no content of the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FileFault {
    Unreadable(io::ErrorKind),
    /// A directory, a pipe, a socket or a device.
    NotAFile,
    TooLarge {
        max_bytes: usize,
    },
    /// The permission bits let the group or others write. Unix only.
    Writable {
        mode: u32,
    },
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(kind) => FileReason(*kind).fmt(f),
            Self::NotAFile => f.write_str("it is not a regular file"),
            Self::TooLarge { max_bytes } => write!(f, "it has more than {max_bytes} bytes"),
            Self::Writable { mode } => write!(
                f,
                "its group or others can write it (mode {mode:o}): run `chmod go-w` on it"
            ),
        }
    }
}

/// A file and its last good value.
///
/// `E` is the error of the owner. It is logged, so its text must not have a secret.
pub(crate) struct SecretFile<T, E> {
    path: PathBuf,
    rules: FileRules,
    parse: Box<Parse<T, E>>,
    value: ArcSwap<T>,
    /// Monotonic nanoseconds. `NEVER` while a request reads.
    next_check: AtomicU64,
    state: Lock<FileState<E>>,
}

type Parse<T, E> = dyn Fn(&[u8]) -> Result<T, E> + Send + Sync;

const NEVER: u64 = u64::MAX;

struct FileState<E> {
    /// Keys the hash of the content, so that nobody can choose two contents with one hash.
    hasher: RandomState,
    /// The hash of the last content, good or bad.
    content: Option<u64>,
    version: Option<FileVersion>,
    /// Consecutive reads with this version.
    reads: u32,
    error: Option<E>,
    warned: bool,
}

impl<T, E> SecretFile<T, E>
where
    E: From<FileFault> + PartialEq + fmt::Display,
{
    /// Reads the file. Fails where a later read would keep the last good value.
    pub(crate) fn open(
        path: impl Into<PathBuf>,
        rules: FileRules,
        parse: impl Fn(&[u8]) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        let path = path.into();
        let mut state = FileState {
            hasher: RandomState::new(),
            content: None,
            version: None,
            reads: 0,
            error: None,
            warned: false,
        };
        let content = read(&path, rules, None)?;
        let value = match content {
            Content::Read(file) => {
                let value = parse(&file.bytes)?;
                state.note(&path, rules, &file);
                value
            }
            // Only with a known version.
            Content::Unchanged => return Err(FileFault::Unreadable(io::ErrorKind::Other).into()),
        };
        Ok(Self {
            path,
            rules,
            parse: Box::new(parse),
            value: ArcSwap::from_pointee(value),
            next_check: AtomicU64::new(0),
            state: Lock::new(state),
        })
    }

    /// Returns the current value. Re-reads the file first if that is due and no other thread does.
    ///
    /// `now` is the time on one monotonic clock.
    pub(crate) fn current(&self, now: Duration) -> Guard<Arc<T>> {
        let due = self.next_check.load(SeqCst);
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(NEVER - 1);
        if nanos(now) >= due && self.next_check.compare_exchange(due, NEVER, SeqCst, SeqCst).is_ok()
        {
            self.check();
            self.next_check.store(nanos(now.saturating_add(CHECK_INTERVAL)), SeqCst);
        }
        self.value.load()
    }

    fn check(&self) {
        let mut state = self.state.lock();
        // A bad content is parsed again only after it changed.
        let error = match self.changed(&mut state) {
            Ok(None) => return,
            Ok(Some(value)) => {
                self.value.store(Arc::new(value));
                None
            }
            Err(error) => Some(error),
        };
        if state.error == error {
            return;
        }
        let (kind, path) = (self.rules.kind, Printable(self.path.display()));
        match &error {
            Some(error) => {
                let error = Printable(error);
                tracing::warn!(%path, %error, "the {kind} is not valid; its last good content stays in use");
            }
            None => tracing::info!(%path, "the {kind} is valid again"),
        }
        state.error = error;
    }

    /// Returns the value of a new content and `None` for the content of the last read.
    fn changed(&self, state: &mut FileState<E>) -> Result<Option<T>, E> {
        let settled = state.version.filter(|_| state.reads >= SETTLED_READS);
        let file = match read(&self.path, self.rules, settled) {
            Ok(Content::Unchanged) => return Ok(None),
            Ok(Content::Read(file)) => file,
            Err(fault) => {
                // The content counts as new when it can be read again.
                (state.content, state.version) = (None, None);
                return Err(fault.into());
            }
        };
        if !state.note(&self.path, self.rules, &file) {
            return Ok(None);
        }
        (self.parse)(&file.bytes).map(Some)
    }
}

impl<E> FileState<E> {
    /// Notes a read. Returns whether the content is new.
    fn note(&mut self, path: &Path, rules: FileRules, file: &FileContent) -> bool {
        if file.readable_by_others && !self.warned {
            self.warned = true;
            let (kind, path) = (rules.kind, Printable(path.display()));
            tracing::warn!(
                %path,
                "every user of this machine can read the {kind}: run `chmod o-r` on it, or set \
                 `defaultMode: 0440` on the volume of Kubernetes"
            );
        }
        self.reads =
            if self.version == Some(file.version) { self.reads.saturating_add(1) } else { 1 };
        self.version = Some(file.version);
        let content = self.hasher.hash_one(&*file.bytes);
        self.content.replace(content) != Some(content)
    }
}

impl<T, E> fmt::Debug for SecretFile<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretFile")
            .field("path", &self.path)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// Distinguishes most contents of a file without reading it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct FileVersion {
    modified: Option<SystemTime>,
    length: u64,
    // Device, inode and time of the last change. They detect a replaced file.
    #[cfg(unix)]
    inode: (u64, u64, i64, i64),
}

impl FileVersion {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt as _;
        Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            #[cfg(unix)]
            inode: (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

enum Content {
    Unchanged,
    Read(FileContent),
}

struct FileContent {
    bytes: Zeroizing<Vec<u8>>,
    version: FileVersion,
    readable_by_others: bool,
}

/// Reads the file unless it is large and has the version `known`.
fn read(path: &Path, rules: FileRules, known: Option<FileVersion>) -> Result<Content, FileFault> {
    let unreadable = |error: io::Error| FileFault::Unreadable(error.kind());
    // Follows symlinks. Checked before the file is opened, because opening a pipe waits for its writer.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(FileFault::NotAFile);
    }
    let file = File::open(path).map_err(unreadable)?;
    // The open file decides, because the path may lead to another one by now.
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(FileFault::NotAFile);
    }
    let readable_by_others = check_mode(&metadata, rules)?;
    let version = FileVersion::of(&metadata);
    if version.length > SMALL_BYTES && known == Some(version) {
        return Ok(Content::Unchanged);
    }
    let max = rules.max_bytes;
    let too_large = FileFault::TooLarge { max_bytes: max };
    let length = usize::try_from(version.length).map_err(|_| too_large)?;
    if length > max {
        return Err(too_large);
    }
    // Full capacity at once, because a growing buffer leaves unwiped copies behind. The reader needs
    // some room to find the end of the file.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length + 32));
    file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > max {
        return Err(too_large);
    }
    Ok(Content::Read(FileContent { bytes, version, readable_by_others }))
}

/// Returns whether every user of the machine can read the file. Fails if more than its owner can
/// write it.
#[cfg(unix)]
fn check_mode(metadata: &Metadata, rules: FileRules) -> Result<bool, FileFault> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o022 != 0 && !rules.writable {
        return Err(FileFault::Writable { mode });
    }
    Ok(mode & 0o004 != 0)
}

/// Windows and others have no permission bits. Their access lists are not read.
#[cfg(not(unix))]
const fn check_mode(_metadata: &Metadata, rules: FileRules) -> Result<bool, FileFault> {
    let _ = rules.writable;
    Ok(false)
}

#[cfg(all(test, unix))]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::{
            fs::{PermissionsExt as _, symlink},
            net::UnixListener,
        },
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use super::*;

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
}
