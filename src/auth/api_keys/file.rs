use std::path::{Path, PathBuf};

use super::{document, error::ApiKeysError, table::KeyTable};
use crate::secret_file::{FileRules, SecretFile};

/// One million keys of 256 bytes with their members.
const MAX_FILE_BYTES: usize = 512 << 20;

/// A file of API keys and what is asked of it. A path becomes one by `into`.
///
/// ```no_run
/// use tower_inference::auth::{ApiKeyFile, ApiKeys};
///
/// let file = ApiKeyFile::new("test-keys.json").dangerous_weak_keys();
/// let keys = ApiKeys::file(file)?;
/// # let _ = keys;
/// # Ok::<(), tower_inference::auth::ApiKeysError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ApiKeyFile {
    path: PathBuf,
    weak_keys: bool,
    writable: bool,
}

impl ApiKeyFile {
    /// Reads the file at `path`. Symlinks are followed at each read.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), weak_keys: false, writable: false }
    }

    /// Also accepts keys of 1 to 19 characters, for tests.
    ///
    /// A short key can be guessed, and its digest can be reversed.
    #[must_use]
    pub const fn dangerous_weak_keys(mut self) -> Self {
        self.weak_keys = true;
        self
    }

    /// Also accepts a file that its group or others can write.
    ///
    /// Every user who can write the file can give itself a key.
    #[must_use]
    pub const fn dangerous_writable(mut self) -> Self {
        self.writable = true;
        self
    }

    pub(super) fn open(self) -> Result<OpenFile, ApiKeysError> {
        let mut rules = FileRules::new("API key file", MAX_FILE_BYTES);
        if self.writable {
            rules = rules.dangerous_writable();
        }
        let weak_keys = self.weak_keys;
        let parse = move |content: &[u8]| document::parse(content, weak_keys);
        let path = self.path.clone();
        SecretFile::open(self.path, rules, parse)
            .map_err(|error: ApiKeysError| error.at(path.display()))
    }
}

pub(super) type OpenFile = SecretFile<KeyTable, ApiKeysError>;

macro_rules! from_path {
    ($($path:ty),*) => {$(
        impl From<$path> for ApiKeyFile {
            fn from(path: $path) -> Self {
                Self::new(path)
            }
        }
    )*};
}

from_path!(&str, &Path, &PathBuf, PathBuf, String);
