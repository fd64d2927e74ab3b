use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, Method, Uri};

use super::{
    proof::{ProofClaims, ProofHeader},
    public_address::PublicAddress,
    sha256::sha256,
    used_proofs::{Use, UsedProof, UsedProofs},
};
use crate::auth::{
    algorithm::Algorithm,
    token::{
        json,
        jwt_error::JwtError,
        parts::{TokenParts, base64url},
    },
};

/// The header of a proof (RFC 9449 section 4.1).
pub(crate) const PROOF_HEADER: &str = "dpop";

/// The maximum length of a proof. One with an RSA key of 4,096 bits has 3 KiB.
const MAX_PROOF_BYTES: usize = 8 << 10;

/// The maximum length of a `jti`. RFC 9449 section 4.2 asks for 96 random bits at least.
const MAX_ID_BYTES: usize = 256;

const DEFAULT_MAX_AGE: Duration = Duration::from_secs(60);
const MAX_MAX_AGE: Duration = Duration::from_secs(5 * 60);
const DEFAULT_MAX_PROOFS: usize = 100_000;

/// Accepts proofs of possession by DPoP (RFC 9449) for tokens with `cnf.jkt`.
///
/// A client sends such a token as `authorization: DPoP TOKEN`. It signs each request in the header
/// `DPoP`. A stolen token is useless without the client's key.
///
/// ```
/// use tower_inference::auth::{Dpop, Jwt, JwtError, KeySource};
///
/// # let keys = KeySource::file("tests/data/jwks.json").unwrap();
/// let jwt = Jwt::new(keys, "https://issuer.example", "https://gateway.example")
///     .dpop(Dpop::new("https://gateway.example")?);
/// # drop(jwt);
///
/// assert_eq!(Dpop::new("gateway.example").unwrap_err(), JwtError::InvalidPublicAddress);
/// # Ok::<(), JwtError>(())
/// ```
///
/// A proof is accepted once. It names the method and the address of the request (`htm` and `htu`), the
/// token (`ath`) and its time (`iat`). The request's `host` header does not count, because the client
/// chooses it. Clones share the used proofs. A request that passes two layers needs two `Dpop`.
///
/// # Caveats
///
/// - Used proofs are known to one process. Another instance of the gateway accepts a copied proof
///   within [`max_age`](Self::max_age).
/// - If the wall clock is set back then proofs that are not later than a forgotten one are rejected,
///   because they may be copies.
/// - Nonces of the server (RFC 9449 section 9) are not sent. A client whose clock is wrong by more than
///   the leeway is rejected.
#[derive(Clone)]
pub struct Dpop {
    address: PublicAddress,
    max_age: Duration,
    max_proofs: usize,
    used: Arc<UsedProofs>,
}

impl Dpop {
    /// Accepts proofs for requests to `public_address`, such as `https://gateway.example`.
    ///
    /// It is the address that clients use. It may have a path that an outer proxy removes from the
    /// requests.
    ///
    /// # Errors
    ///
    /// Returns [`JwtError::InvalidPublicAddress`] unless it is an absolute `https` or `http` URL without
    /// user, query and fragment.
    pub fn new(public_address: &str) -> Result<Self, JwtError> {
        let address = PublicAddress::parse(public_address).ok_or(JwtError::InvalidPublicAddress)?;
        let used = Arc::new(UsedProofs::new(DEFAULT_MAX_PROOFS));
        Ok(Self { address, max_age: DEFAULT_MAX_AGE, max_proofs: DEFAULT_MAX_PROOFS, used })
    }

    /// Sets the maximum age of a proof. Defaults to 60 seconds. The maximum is 5 minutes.
    ///
    /// The [leeway](crate::auth::Jwt::leeway) of the issuer is added.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age.min(MAX_MAX_AGE);
        self
    }

    /// Sets the maximum number of used proofs that are remembered. Defaults to 100,000.
    ///
    /// A proof takes about 120 bytes, so the default needs at most 12 MB. A proof is remembered for
    /// [`max_age`](Self::max_age) and twice the leeway. Beyond the maximum requests with a proof are
    /// rejected with `overloaded`, because a replay could not be detected. The proofs of one key take at
    /// most a quarter: by default a client may send 208 requests per second.
    #[must_use]
    pub fn max_proofs(mut self, proofs: usize) -> Self {
        self.max_proofs = proofs;
        self.used = Arc::new(UsedProofs::new(proofs));
        self
    }

    /// Checks the proof of a request (RFC 9449 section 4.3). The token was verified before.
    pub(crate) fn verify(&self, request: &ProofRequest<'_>) -> Result<(), ProofFailure> {
        let mut values = request.headers.get_all(PROOF_HEADER).iter();
        let proof = values.next().ok_or(ProofFailure::Missing)?.as_bytes();
        require(values.next().is_none(), "there are several proofs")?;
        require(proof.len() <= MAX_PROOF_BYTES, "it is too long")?;
        let parts = TokenParts::split(proof).ok_or(MALFORMED)?;
        let header = base64url(parts.header).filter(|json| json::is_shallow(json));
        let header = header.ok_or(MALFORMED)?;
        let header = ProofHeader::parse(&header).ok_or(MALFORMED)?;
        let payload = base64url(parts.payload).filter(|json| json::is_shallow(json));
        let payload = payload.ok_or(MALFORMED)?;
        let claims = ProofClaims::parse(&payload).ok_or(MALFORMED)?;

        let kind = header.token_type.as_deref().unwrap_or_default();
        require(kind.eq_ignore_ascii_case("dpop+jwt"), "`typ` is not `dpop+jwt`")?;
        require(!header.unsupported, "its header requires an unsupported feature")?;
        let algorithm = header.algorithm.as_deref().and_then(Algorithm::from_name);
        let algorithm = algorithm.ok_or(ProofFailure::Invalid("`alg` is not supported"))?;
        self.check_claims(&claims, request)?;

        let key = header.key.as_ref().and_then(|key| key.public_key());
        let (key, thumbprint) = key.ok_or(ProofFailure::Invalid("`jwk` is not a public key"))?;
        require(thumbprint == *request.thumbprint, "`jwk` is not the key of the token")?;
        let candidates = key.find(None, algorithm).map_err(|_| WRONG_SIGNATURE)?;
        let verified = parts.with_signature(|signature| {
            let mut keys = candidates.into_iter().flatten();
            keys.any(|key| key.verify_sig(parts.signed, signature).is_ok())
        });
        require(verified == Some(true), "its signature is invalid")?;
        self.note_use(&claims, request)
    }

    fn check_claims(
        &self,
        claims: &ProofClaims<'_>,
        request: &ProofRequest<'_>,
    ) -> Result<(), ProofFailure> {
        let id = claims.id.as_deref().unwrap_or_default();
        require(!id.is_empty() && id.len() <= MAX_ID_BYTES, "`jti` is missing or too long")?;
        let method = claims.method.as_deref() == Some(request.method.as_str());
        require(method, "`htm` is not the method of the request")?;
        let target = claims.target.as_deref().unwrap_or_default();
        let target = self.address.is_target(target, request.uri.path());
        require(target, "`htu` is not the address of the request")?;
        let hash = sha256(request.token).map(|hash| URL_SAFE_NO_PAD.encode(hash));
        require(claims.token_hash == hash.map(Into::into), "`ath` is not the hash of the token")?;
        let issued = claims.issued.ok_or(ProofFailure::Invalid("`iat` is missing"))?.0;
        require(issued <= request.wall.saturating_add(request.leeway), "`iat` is in the future")?;
        // The end is excluded, because a proof is forgotten then.
        let end = issued.saturating_add(self.max_age).saturating_add(request.leeway);
        if request.wall < end { Ok(()) } else { Err(TOO_OLD) }
    }

    /// Notes the use of a proof whose signature is valid.
    fn note_use(
        &self,
        claims: &ProofClaims<'_>,
        request: &ProofRequest<'_>,
    ) -> Result<(), ProofFailure> {
        let id = claims.id.as_deref().unwrap_or_default();
        let digest = sha256(&[request.thumbprint.as_slice(), id.as_bytes()].concat());
        let digest = digest.and_then(|digest| digest.first_chunk().copied());
        let (Some(digest), Some(key)) = (digest, request.thumbprint.first_chunk().copied()) else {
            return Err(MALFORMED);
        };
        // `iat` may be ahead by the leeway.
        let lifetime = self.max_age.saturating_add(request.leeway.saturating_mul(2));
        let proof = UsedProof {
            digest: u128::from_le_bytes(digest),
            key: u64::from_le_bytes(key),
            issued: claims.issued.map_or(0, |issued| issued.0.as_secs()),
            expiry: request.monotonic.saturating_add(lifetime),
        };
        match self.used.note(proof, request.monotonic) {
            Use::First => Ok(()),
            Use::Again => Err(ProofFailure::Invalid("it was used before")),
            Use::Forgotten => Err(TOO_OLD),
            Use::Full => Err(ProofFailure::Full),
        }
    }
}

/// What a proof must fit.
pub(crate) struct ProofRequest<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) token: &'a [u8],
    /// The thumbprint of the key that the token is bound to.
    pub(crate) thumbprint: &'a [u8; 32],
    pub(crate) leeway: Duration,
    /// The time since 1970.
    pub(crate) wall: Duration,
    pub(crate) monotonic: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ProofFailure {
    Missing,
    /// What is wrong with the proof.
    Invalid(&'static str),
    /// The used proofs are too many to remember another.
    Full,
}

const MALFORMED: ProofFailure = ProofFailure::Invalid("it is malformed");
const TOO_OLD: ProofFailure = ProofFailure::Invalid("it is too old");
const WRONG_SIGNATURE: ProofFailure = ProofFailure::Invalid("its signature is invalid");

const fn require(condition: bool, failure: &'static str) -> Result<(), ProofFailure> {
    if condition { Ok(()) } else { Err(ProofFailure::Invalid(failure)) }
}

impl fmt::Debug for Dpop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dpop")
            .field("address", &self.address)
            .field("max_age", &self.max_age)
            .field("max_proofs", &self.max_proofs)
            .finish_non_exhaustive()
    }
}
