use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
#[cfg(feature = "hf")]
use std::{collections::BTreeSet, sync::OnceLock};

use aho_corasick::{
    Anchored, Input, MatchKind, PatternID,
    automaton::Automaton as _,
    nfa::contiguous::{self, NFA},
};
use arc_swap::ArcSwap;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use memchr::{memchr, memchr2};

use super::{
    Secret,
    escapes::{first_character, is_base64},
};
#[cfg(feature = "hf")]
use super::{masker::Masker, trie::Trie};
use crate::lock::Lock;

/// Replaces a secret.
pub(crate) const REDACTED: &str = "[redacted]";

/// The secrets that one scrubber remembers: the current one and its five predecessors. A joined scrubber
/// searches those of all its parts. A secret has at most ten spellings.
const SECRETS: usize = 6;

/// Shorter spellings occur in any text by chance. A token this short is a placeholder for an
/// upstream that needs none.
const SHORTEST: usize = 4;

/// Finds secrets in text and replaces them by `[redacted]`.
///
/// The search knows the spellings in which servers and clients repeat a secret:
///
/// - the secret itself or in lower case
/// - standard or URL-safe base64, also when the secret is only a part of the encoded text as in
///   `Basic` credentials
/// - hexadecimal digits of either case
/// - any of its characters percent-encoded or escaped as in JSON
///
/// Clones share the secrets. The scrubbers of `HfTokenLayer::scrubber` and `Stage::scrubber` follow every
/// token of their stage, whatever its source is.
///
/// ```
/// use tower_inference::secret::{Scrubber, Secret};
///
/// let scrubber = Scrubber::new([Secret::new("hf_example")]);
/// assert_eq!(scrubber.scrub("no such token: hf_example"), "no such token: [redacted]");
/// assert_eq!(scrubber.scrub("?next=%2F%3Ft%3Dhf%5Fexample"), "?next=%2F%3Ft%3D[redacted]");
/// assert!(scrubber.is_in(b"68665f6578616d706c65"));
/// assert!(!scrubber.is_in(b"hf_exam"));
/// ```
///
/// # Caveats
///
/// The search does not find a secret shorter than 4 bytes or a part of a secret. It does not find a
/// secret that is escaped or encoded twice: a server that wants to hide a secret can. The copies of
/// the secrets inside the search are not wiped on drop.
#[derive(Clone)]
pub struct Scrubber(Arc<Shared>);

struct Shared {
    // The length of the shortest spelling. Most response headers and most strings of a record are
    // shorter, and are not read at all.
    shortest: AtomicUsize,
    spellings: ArcSwap<Spellings>,
    // The latest is the last.
    secrets: Lock<Vec<Secret>>,
    // The scrubbers whose secrets this one also finds.
    parts: Vec<Scrubber>,
    // The scrubbers that also find the secrets of this one.
    wholes: Lock<Vec<Weak<Self>>>,
}

impl Scrubber {
    /// Creates a scrubber for `secrets`.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self(Arc::new(Shared::new(Vec::from_iter(secrets), Vec::new())))
    }

    /// Creates a scrubber for the secrets of all `parts`. It follows each of them.
    #[cfg(feature = "hf")]
    pub(crate) fn joined<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut known = BTreeSet::new();
        // The parts of a part too, because a scrubber follows the secrets of its own parts alone.
        let parts = parts.into_iter().flat_map(|part| std::iter::once(part).chain(&part.0.parts));
        let parts = parts.filter(|part| known.insert(Arc::as_ptr(&part.0))).cloned().collect();
        let whole = Self(Arc::new(Shared::new(Vec::new(), parts)));
        for part in &whole.0.parts {
            part.0.wholes.lock().push(Arc::downgrade(&whole.0));
        }
        // A part may have got a secret before it knew of the whole.
        whole.0.build();
        whole
    }

    /// Returns whether `text` holds one of the secrets.
    #[must_use]
    #[inline]
    pub fn is_in(&self, text: &[u8]) -> bool {
        text.len() >= self.0.shortest.load(Relaxed) && self.0.spellings.load().are_in(text)
    }

    /// Returns the length of the longest spelling of a secret.
    #[cfg(feature = "access-log")]
    pub(crate) fn longest(&self) -> usize {
        // JSON escapes a byte with six. Twice that of hexadecimal digits, which are among the spellings.
        self.0.spellings.load().longest.saturating_mul(3)
    }

    /// Returns `text` with each secret replaced by `[redacted]`.
    #[must_use]
    pub fn scrub<'a>(&self, text: &'a str) -> Cow<'a, str> {
        // Only ASCII is replaced, so the rest stays UTF-8.
        let scrubbed = self.redacted(text.as_bytes()).map(String::from_utf8);
        match scrubbed {
            None => Cow::Borrowed(text),
            Some(Ok(scrubbed)) => Cow::Owned(scrubbed),
            Some(Err(_)) => Cow::Borrowed(REDACTED),
        }
    }

    /// Returns a masker of the present secrets for a text that arrives in pieces.
    #[cfg(feature = "hf")]
    pub(crate) fn masker(&self) -> Masker {
        Masker::new(self.0.spellings.load().trie(), ESCAPES)
    }

    /// Returns `text` without the secrets. `None` when it has none.
    pub(crate) fn redacted(&self, text: &[u8]) -> Option<Vec<u8>> {
        self.is_in(text).then(|| self.0.spellings.load().redacted(text))
    }

    /// Adds the secret that replaces the current one. Old secrets may still come back, so the last
    /// six are searched.
    pub fn rotate(&self, secret: Secret) {
        {
            let mut secrets = self.0.secrets.lock();
            secrets.retain(|known| known.expose() != secret.expose());
            let beyond = (secrets.len() + 1).saturating_sub(SECRETS);
            secrets.drain(..beyond);
            secrets.push(secret);
        }
        self.0.build();
        let wholes: Vec<_> = {
            let mut wholes = self.0.wholes.lock();
            wholes.retain(|whole| whole.strong_count() > 0);
            wholes.iter().filter_map(Weak::upgrade).collect()
        };
        wholes.iter().for_each(|whole| whole.build());
    }
}

impl Shared {
    fn new(secrets: Vec<Secret>, parts: Vec<Scrubber>) -> Self {
        let spellings = Spellings::of(&secrets);
        Self {
            shortest: AtomicUsize::new(spellings.shortest),
            spellings: ArcSwap::from_pointee(spellings),
            secrets: Lock::new(secrets),
            parts,
            wholes: Lock::default(),
        }
    }

    /// Builds the search for the present secrets.
    fn build(&self) {
        // Held to the end, so that of two concurrent searches the later one stays.
        let own = self.secrets.lock();
        let mut secrets = own.clone();
        for part in &self.parts {
            secrets.extend(part.0.secrets.lock().iter().cloned());
        }
        let spellings = Spellings::of(&secrets);
        self.shortest.store(spellings.shortest, Relaxed);
        self.spellings.store(Arc::new(spellings));
    }
}

#[cfg(all(test, feature = "hf"))]
impl Scrubber {
    pub(super) fn spans(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let spellings = self.0.spellings.load();
        spellings.search.as_ref().map(|search| spellings.spans(search, text)).unwrap_or_default()
    }
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrubber(..)")
    }
}

/// All spellings of all secrets in one automaton. It reads a text once.
struct Spellings {
    // `None` where the automaton would be too large: then every text that is long enough counts as
    // one with a secret.
    search: Option<NFA>,
    // Which of them, by their ids, have a part of the secret in the characters around them.
    shares_edges: Vec<bool>,
    shortest: usize,
    longest: usize,
    #[cfg(feature = "hf")]
    spellings: Vec<(Vec<u8>, bool)>,
    // Only for texts that arrive in pieces.
    #[cfg(feature = "hf")]
    trie: OnceLock<Arc<Trie>>,
}

impl Spellings {
    fn of(secrets: &[Secret]) -> Self {
        let mut spellings = Vec::new();
        for secret in secrets {
            spell(secret.expose(), &mut spellings);
        }
        spellings.sort_unstable();
        spellings.dedup();
        let lengths = || spellings.iter().map(|(spelling, _)| spelling.len());
        let patterns = spellings.iter().map(|(spelling, _)| spelling);
        // If two secrets start alike, the longer one is taken out.
        let search =
            contiguous::Builder::new().match_kind(MatchKind::LeftmostLongest).build(patterns).ok();
        Self {
            search,
            shortest: lengths().min().unwrap_or(usize::MAX),
            longest: lengths().max().unwrap_or(0),
            shares_edges: spellings.iter().map(|(_, shares_edges)| *shares_edges).collect(),
            #[cfg(feature = "hf")]
            trie: OnceLock::new(),
            #[cfg(feature = "hf")]
            spellings,
        }
    }

    #[cfg(feature = "hf")]
    fn trie(&self) -> Arc<Trie> {
        Arc::clone(self.trie.get_or_init(|| Arc::new(Trie::of(&self.spellings))))
    }

    #[inline(never)]
    fn are_in(&self, text: &[u8]) -> bool {
        let Some(search) = &self.search else { return true };
        search.try_find(&Input::new(text)).is_ok_and(|found| found.is_some())
            || memchr2(ESCAPES[0], ESCAPES[1], text).is_some()
                && ESCAPES.iter().any(|escape| self.are_escaped_in(search, *escape, text))
    }

    fn are_escaped_in(&self, search: &NFA, escape: u8, text: &[u8]) -> bool {
        let Ok(start) = search.start_state(Anchored::No) else { return true };
        let mut done = 0;
        while let Some(next) = memchr(escape, text.get(done..).unwrap_or_default()) {
            let escaped = done + next;
            // A spelling that ends before the first escape was found as it is.
            let from = escaped.saturating_sub(self.longest).max(done);
            let mut state = start;
            done = text.len();
            for (at, byte) in (Unescaped { text, escape, at: from }) {
                state = search.next_state(Anchored::No, state, byte);
                if search.is_match(state) {
                    return true;
                }
                // Nothing has begun: on to the next escape.
                if state == start && at > escaped {
                    done = at;
                    break;
                }
            }
        }
        false
    }

    fn redacted(&self, text: &[u8]) -> Vec<u8> {
        let Some(search) = &self.search else { return REDACTED.as_bytes().to_vec() };
        let mut left = Vec::with_capacity(text.len());
        let mut kept = 0;
        for (start, end) in self.spans(search, text) {
            if start >= kept {
                left.extend_from_slice(text.get(kept..start).unwrap_or_default());
                left.extend_from_slice(REDACTED.as_bytes());
            }
            kept = end.max(kept);
        }
        left.extend_from_slice(text.get(kept..).unwrap_or_default());
        left
    }

    /// Returns the ranges of the secrets in `text` by their start.
    fn spans(&self, search: &NFA, text: &[u8]) -> Vec<(usize, usize)> {
        let mut spans = Vec::new();
        self.find(search, text, |at| at, &mut spans);
        for escape in ESCAPES.into_iter().filter(|escape| memchr(*escape, text).is_some()) {
            let unescaped = Unescaped { text, escape, at: 0 };
            let (starts, plain): (Vec<_>, Vec<_>) = unescaped.unzip();
            let start = |at| starts.get(at).copied().unwrap_or(text.len());
            self.find(search, &plain, start, &mut spans);
        }
        spans.sort_unstable();
        spans
    }

    /// Adds the ranges of the secrets in `text`. `place` maps its bytes to the original text.
    fn find(
        &self,
        search: &NFA,
        text: &[u8],
        place: impl Fn(usize) -> usize,
        spans: &mut Vec<(usize, usize)>,
    ) {
        let mut from = 0;
        while let Ok(Some(found)) = search.try_find(&Input::new(text).span(from..text.len())) {
            from = found.end();
            let (mut start, mut end) = (found.start(), found.end());
            if self.shares_edges(found.pattern()) {
                let of_base64 = |at: usize| text.get(at).is_some_and(|byte| is_base64(*byte));
                start -= usize::from(start > 0 && of_base64(start - 1));
                end += usize::from(of_base64(end));
            }
            spans.push((place(start), place(end)));
        }
    }

    fn shares_edges(&self, pattern: PatternID) -> bool {
        self.shares_edges.get(pattern.as_usize()).copied().unwrap_or_default()
    }
}

/// Adds the spellings of `secret`. Each says whether the characters around it hold a part of it.
fn spell(secret: &str, into: &mut Vec<(Vec<u8>, bool)>) {
    if secret.len() < SHORTEST {
        return;
    }
    let hex = |digits: &[u8; 16]| {
        let digit = |nibble: u8| digits.get(usize::from(nibble)).copied().unwrap_or(b'0');
        secret.bytes().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
    };
    let plain = [
        secret.as_bytes().to_vec(),
        // Names of headers and hosts of URLs are lowered.
        secret.to_ascii_lowercase().into_bytes(),
        hex(b"0123456789abcdef"),
        hex(b"0123456789ABCDEF"),
    ];
    into.extend(plain.map(|spelling| (spelling, false)));
    for before in 0..3 {
        let mut whole = vec![0; before];
        whole.extend_from_slice(secret.as_bytes());
        // Base64 writes three bytes as four characters of six bits. The first and the last one
        // share bits with whatever is around.
        let characters = (before * 8).div_ceil(6)..whole.len() * 8 / 6;
        for encoded in [STANDARD_NO_PAD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)] {
            let certain = encoded.get(characters.clone()).unwrap_or_default();
            if certain.len() >= SHORTEST {
                into.push((certain.as_bytes().to_vec(), true));
            }
        }
    }
}

/// The start of an escape: percent-encoding (RFC 3986 section 2.1) or JSON (RFC 8259 section 7).
/// Each kind is decoded alone because one can hide the other.
const ESCAPES: [u8; 2] = [b'%', b'\\'];

/// The bytes of a text with the escapes of one kind decoded. Each has its place in the text.
struct Unescaped<'a> {
    text: &'a [u8],
    escape: u8,
    at: usize,
}

impl Iterator for Unescaped<'_> {
    type Item = (usize, u8);

    fn next(&mut self) -> Option<(usize, u8)> {
        let start = self.at;
        let (byte, length) = first_character(self.text.get(start..)?, self.escape, true)?;
        self.at += length;
        Some((start, byte))
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "hf_Ab3xYz09QwErTyUiOpAsDfGhJkLzXcVbNm";

    fn scrubber(token: &str) -> Scrubber {
        Scrubber::new([Secret::new(token)])
    }

    fn percent(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02X}")).collect()
    }

    #[test]
    fn every_spelling_is_found_and_taken_out() {
        let json: String = TOKEN.bytes().map(|byte| format!("\\u{:04x}", byte)).collect();
        let mixed: String = TOKEN
            .bytes()
            .enumerate()
            .map(
                |(at, b)| if at % 3 == 0 { format!("%{b:02x}") } else { char::from(b).to_string() },
            )
            .collect();
        let hex: String = TOKEN.bytes().map(|byte| format!("{byte:02x}")).collect();
        let scrubber = scrubber(TOKEN);
        for spelling in [
            TOKEN.to_owned(),
            TOKEN.to_lowercase(),
            percent(TOKEN),
            percent(TOKEN).to_lowercase(),
            mixed,
            json,
            TOKEN.replace('_', r"\u005F"),
            TOKEN.replace('_', r"\x5f"),
            TOKEN.replace('_', r"\_"),
            hex.to_uppercase(),
            hex,
        ] {
            let text = format!("a: Bearer {spelling}, and {spelling};");
            assert!(scrubber.is_in(text.as_bytes()), "{text}");
            assert_eq!(scrubber.scrub(&text), "a: Bearer [redacted], and [redacted];");
        }
    }

    #[test]
    fn base64_is_found_whatever_is_encoded_with_the_token() {
        // These have characters that the two alphabets write differently.
        for token in [TOKEN, "a?b>c~~~?>a?b>c~~~?>"] {
            let scrubber = scrubber(token);
            for before in ["", "a", "ab", "Bearer ", "user:"] {
                for after in ["", "x", "xy", "\n"] {
                    let whole = format!("{before}{token}{after}");
                    for encoded in [STANDARD.encode(&whole), URL_SAFE.encode(&whole)] {
                        let text = format!("Basic {encoded}.");
                        assert!(scrubber.is_in(text.as_bytes()), "{whole} {text}");
                        let left = scrubber.scrub(&text).replace(REDACTED, "").replace('=', "");
                        // The rest encodes the surrounding text only. No character has a bit of the token.
                        let around = before.len() * 8 / 6 + (after.len() * 8).div_ceil(6);
                        assert!(left.len() <= "Basic .".len() + around, "{whole} {text} {left}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_only_looks_like_the_secret_stays() {
        let scrubber = scrubber(TOKEN);
        let short = &TOKEN[..TOKEN.len() - 1];
        for text in ["", "%", "\\", "%6", "\\u", "\\u00", "%zz%68", "\\\\", short, &percent(short)]
        {
            assert!(!scrubber.is_in(text.as_bytes()), "{text}");
            assert_eq!(scrubber.scrub(text), text);
        }
    }

    #[test]
    fn placeholders_are_not_looked_for() {
        for token in ["", "-", "abc"] {
            assert!(!scrubber(token).is_in(b"text/event-stream; abc, - and more of it"));
        }
        assert!(!Scrubber::new([]).is_in(b"anything"));
    }

    #[test]
    fn the_longer_of_two_secrets_is_taken_out_whole() {
        let scrubber = Scrubber::new(["token-1", "token-12"].map(Secret::new));
        assert_eq!(scrubber.scrub("token-12, token-1"), "[redacted], [redacted]");
    }

    #[test]
    fn a_secret_is_found_until_five_have_replaced_it() {
        let scrubber = scrubber("token-0");
        let clone = scrubber.clone();
        for next in 1..6 {
            scrubber.rotate(Secret::new(format!("token-{next}")));
        }
        // A file that changes to and fro has two tokens.
        scrubber.rotate(Secret::new("token-4"));
        scrubber.rotate(Secret::new("token-5"));
        for known in 0..6 {
            assert!(clone.is_in(format!("token-{known}").as_bytes()), "{known}");
        }
        scrubber.rotate(Secret::new("token-6"));
        assert!(!clone.is_in(b"token-0") && clone.is_in(b"token-1") && clone.is_in(b"token-6"));
    }

    #[test]
    fn nothing_that_is_printed_holds_the_secret() {
        assert_eq!(format!("{:?}", scrubber(TOKEN)), "Scrubber(..)");
    }

    proptest! {
        #[test]
        fn what_is_scrubbed_holds_no_secret(
            token in "[!-~]{4,40}",
            around in proptest::collection::vec("\\PC{0,12}", 2..5),
            escaped: bool,
        ) {
            let scrubber = scrubber(&token);
            let spelling = if escaped { percent(&token) } else { token };
            let text = around.join(&spelling);
            prop_assert!(scrubber.is_in(text.as_bytes()));
            let scrubbed = scrubber.scrub(&text);
            prop_assert!(scrubbed.contains(REDACTED));
            prop_assert!(!scrubbed.contains(&spelling) || REDACTED.contains(&spelling));
        }
    }
}
