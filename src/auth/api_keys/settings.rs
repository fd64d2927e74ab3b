use std::{collections::BTreeMap, fmt, sync::Arc};

use http::{
    HeaderName,
    header::{AUTHORIZATION, COOKIE, HOST, PROXY_AUTHORIZATION},
};

use super::{
    aws,
    digest::ApiKeyDigest,
    error::{ApiKeysError, ApiKeysFault},
    file::{ApiKeyFile, OpenFile},
    key::{ApiKeyError, is_prefix},
    log::LogLimit,
    method::{ApiKeyMethod, Judge, OpenSource},
    places::KeyPlaces,
    record::ApiKeyRecord,
    store::ApiKeyLookup,
    table::KeyTable,
};
use crate::{auth::credential::Credential, clock::SharedClock};

/// Accepts API keys.
///
/// ```
/// use http::HeaderName;
/// use tower_inference::auth::{ApiKey, ApiKeyRecord, ApiKeys, AuthLayer};
///
/// let key = ApiKey::generate("acme")?;
/// let record = ApiKeyRecord::new("batch-jobs").tenant("research").scopes(["infer"]);
/// let keys = ApiKeys::new([(&key, record)])?
///     .header(HeaderName::from_static("x-acme-key"))?
///     .prefix("acme")?;
/// let layer = AuthLayer::new(keys);
/// # let _ = layer;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// To use one set of keys in several layers, make a [`Credential`] of it and clone that.
///
#[doc = include_str!("api_keys.md")]
pub struct ApiKeys {
    source: Source,
    places: KeyPlaces,
    issuer: Box<str>,
    clock: SharedClock,
}

enum Source {
    Memory(KeyTable),
    File(OpenFile),
    Store(ApiKeyLookup),
}

impl ApiKeys {
    /// Accepts these keys, at most 1,000,000. Each is an [`ApiKey`](super::ApiKey) or its digest.
    ///
    /// # Errors
    ///
    /// Returns the first record that breaks a bound, a key that occurs twice, or an id with two tenants.
    pub fn new<K: Into<ApiKeyDigest>>(
        keys: impl IntoIterator<Item = (K, ApiKeyRecord)>,
    ) -> Result<Self, ApiKeysError> {
        KeyTable::from_records(keys).map(|table| Self::of(Source::Memory(table)))
    }

    /// Accepts the keys of a file.
    ///
    /// Requests re-read the file at most once a second and use a new content at once. A bad or
    /// half-written file keeps the last good keys and is logged at `warn`. See
    /// [above](Self#files) for the format.
    ///
    /// # Errors
    ///
    /// Returns an error for a file that cannot be read, has more than 512 MiB, can be written by its
    /// group or others, or has a fault in one of its entries.
    pub fn file(file: impl Into<ApiKeyFile>) -> Result<Self, ApiKeysError> {
        file.into().open().map(|file| Self::of(Source::File(file)))
    }

    /// Accepts the keys of API Gateway: the output of `aws apigateway get-api-keys --include-values`.
    ///
    /// The id of API Gateway becomes the id here. A key that is not `enabled` is disabled. Usage plans
    /// and tags are not taken over. See [`from_aws_json_with`](Self::from_aws_json_with) for tags.
    ///
    /// # Errors
    ///
    /// Returns an error for other JSON, for output without values and for one page of several.
    ///
    /// ```
    /// use tower_inference::auth::ApiKeys;
    ///
    /// let output = br#"{"items": [{
    ///     "id": "k4tq1example", "value": "hzYAVO9Sg98nsNh81M84O2kyXVy6K1xwHD8example",
    ///     "name": "batch", "enabled": true, "createdDate": "2026-01-31T12:00:00+01:00",
    ///     "stageKeys": ["a1b2c3/prod"]
    /// }]}"#;
    /// let keys = ApiKeys::from_aws_json(output)?;
    /// # let _ = keys;
    /// # Ok::<(), tower_inference::auth::ApiKeysError>(())
    /// ```
    pub fn from_aws_json(json: &[u8]) -> Result<Self, ApiKeysError> {
        Self::from_aws_json_with(json, |record, _tags| record)
    }

    /// Accepts the keys of API Gateway and lets `complete` read their tags.
    ///
    /// # Errors
    ///
    /// As [`from_aws_json`](Self::from_aws_json).
    ///
    /// ```
    /// # use tower_inference::auth::ApiKeys;
    /// # let output = br#"{"items": []}"#;
    /// let keys = ApiKeys::from_aws_json_with(output, |record, tags| match tags.get("team") {
    ///     Some(team) => record.tenant(team.as_str()),
    ///     None => record,
    /// })?;
    /// # let _ = keys;
    /// # Ok::<(), tower_inference::auth::ApiKeysError>(())
    /// ```
    pub fn from_aws_json_with(
        json: &[u8],
        complete: impl Fn(ApiKeyRecord, &BTreeMap<String, String>) -> ApiKeyRecord,
    ) -> Result<Self, ApiKeysError> {
        aws::parse(json, complete).map(|table| Self::of(Source::Memory(table)))
    }

    /// Accepts the keys of a store of yours, such as a database.
    #[must_use]
    pub fn store(store: impl Into<ApiKeyLookup>) -> Self {
        Self::of(Source::Store(store.into()))
    }

    fn of(source: Source) -> Self {
        let header = HeaderName::from_static("x-api-key");
        Self {
            source,
            places: KeyPlaces { header, bearer: true, prefix: None },
            issuer: "api-keys".into(),
            clock: SharedClock::default(),
        }
    }

    /// Sets the header of keys. Defaults to `x-api-key`.
    ///
    /// # Errors
    ///
    /// Returns [`ApiKeysFault::ReservedHeader`] for `authorization`, `proxy-authorization`, `cookie` and
    /// `host`.
    pub fn header(mut self, name: HeaderName) -> Result<Self, ApiKeysError> {
        if [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, HOST].contains(&name) {
            return Err(ApiKeysFault::ReservedHeader.into());
        }
        self.places.header = name;
        Ok(self)
    }

    /// Sets the prefix of generated keys.
    ///
    /// A bearer token is then a key only if it starts with the prefix and `_`. Without a prefix, each
    /// bearer token that is no JWT counts as a key. Keys in the header need no prefix. The log tells a
    /// mistyped key of this prefix from an unknown one.
    ///
    /// # Errors
    ///
    /// Returns an error for a prefix that [`ApiKey::generate`](super::ApiKey::generate) would not take.
    pub fn prefix(mut self, prefix: impl Into<Box<str>>) -> Result<Self, ApiKeysError> {
        let prefix = prefix.into();
        if !is_prefix(&prefix) {
            return Err(ApiKeysFault::InvalidKey(ApiKeyError::InvalidPrefix).into());
        }
        self.places.prefix = Some(prefix);
        Ok(self)
    }

    /// Reads keys from their header alone. By default `authorization: Bearer KEY` is read too, because
    /// the SDKs of OpenAI send it.
    #[must_use]
    pub const fn header_only(mut self) -> Self {
        self.places.bearer = false;
        self
    }

    /// Sets the [issuer](crate::identity::Identity::issuer) of the identities. Defaults to `api-keys`.
    ///
    /// Ids and tenants belong to their issuer. Name one of two independent sets of keys.
    #[must_use]
    pub fn issuer(mut self, name: impl Into<Box<str>>) -> Self {
        self.issuer = name.into();
        self
    }

    /// Sets the clock that expires keys. Defaults to the system clock.
    #[must_use]
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }
}

impl From<ApiKeys> for Credential {
    fn from(settings: ApiKeys) -> Self {
        let ApiKeys { source, places, issuer, clock } = settings;
        let source = match source {
            Source::Memory(table) => OpenSource::Memory(table),
            Source::File(file) => OpenSource::File(file),
            Source::Store(lookup) => OpenSource::Store(lookup.open(clock.clone())),
        };
        let (bearer, prefix) = (places.bearer, places.prefix.clone());
        let also = if bearer { " or in `authorization: Bearer KEY`" } else { "" };
        let hint = format!("an API key in the header `{}`{also}", places.header);
        let judge = Arc::new(Judge { issuer, prefix, bearer, log: LogLimit::default() });
        Self::other(ApiKeyMethod { places, source, clock, hint, judge })
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ApiKeys");
        match &self.source {
            Source::Memory(table) => debug.field("keys", &table.len()),
            Source::File(file) => debug.field("file", file),
            Source::Store(lookup) => debug.field("store", lookup),
        };
        debug
            .field("header", &self.places.header)
            .field("bearer", &self.places.bearer)
            .field("prefix", &self.places.prefix)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}
