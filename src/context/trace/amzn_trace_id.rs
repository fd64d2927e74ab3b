use http::HeaderValue;

use super::hex::is_hex;

/// Bytes of the longest value that is recorded.
const LONGEST: usize = 256;

/// The header `x-amzn-trace-id` of a request, as the client sent it.
///
/// AWS's load balancers and SDKs send the [form of X-Ray][X-Ray]. `huggingface_hub` sends a bare id.
/// The value is recorded and never trusted: any client can send any value.
///
/// ```
/// use http::HeaderValue;
/// use tower_inference::context::AmznTraceId;
///
/// let header = HeaderValue::from_static(
///     "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
/// );
/// let id = AmznTraceId::from_header(&header).unwrap();
/// assert_eq!(id.root(), Some("1-5759e988-bd862e3fe1be46a994272793"));
/// assert_eq!((id.parent(), id.sampled()), (Some("53995c3f42cd8ad8"), Some(true)));
/// ```
///
/// [X-Ray]: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct AmznTraceId(Box<str>);

impl AmznTraceId {
    /// Reads the header.
    ///
    /// Returns `None` when it is empty, longer than 256 bytes or has a character other than
    /// `A-Z a-z 0-9 - . _ : = ;`.
    #[must_use]
    pub fn from_header(header: &HeaderValue) -> Option<Self> {
        let text = header.to_str().ok()?;
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:=;".contains(&byte);
        let fits = (1..=LONGEST).contains(&text.len()) && text.bytes().all(is_legal);
        fits.then(|| Self(text.into()))
    }

    /// Returns the whole value.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the trace id, `1-` with 8 and 24 hexadecimal digits.
    #[must_use]
    pub fn root(&self) -> Option<&str> {
        let root = self.field("Root")?;
        let mut parts = root.strip_prefix("1-")?.split('-');
        let sized = |part: &str, digits| part.len() == digits && is_hex(part.as_bytes());
        let legal = sized(parts.next()?, 8) && sized(parts.next()?, 24) && parts.next().is_none();
        legal.then_some(root)
    }

    /// Returns the id of the span that sent the request, 16 hexadecimal digits.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        self.field("Parent").filter(|id| id.len() == 16 && is_hex(id.as_bytes()))
    }

    /// Returns whether the sender records the trace. `None` when it leaves that open.
    #[must_use]
    pub fn sampled(&self) -> Option<bool> {
        match self.field("Sampled")? {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        }
    }

    /// Returns the value of a key. `None` when it occurs twice, because two values are ambiguous.
    fn field(&self, key: &str) -> Option<&str> {
        let fields = self.0.split(';').filter_map(|field| field.split_once('='));
        let mut values = fields.filter(|(name, _)| *name == key).map(|(_, value)| value);
        values.next().filter(|_| values.next().is_none())
    }
}
