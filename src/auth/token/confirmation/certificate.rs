use std::fmt;

use super::sha256::sha256;

/// The client certificate of a TLS connection, for tokens that are bound to it (RFC 8705 section 3).
///
/// The server that terminates TLS puts it into the extensions of each request of the connection. It
/// must have verified that the client has the certificate's private key. A proxy in front of the
/// gateway hides the certificate, so such tokens are rejected there.
///
/// ```
/// use http::Request;
/// use tower_inference::auth::ClientCertificate;
///
/// # let der = b"the certificate that the client sent";
/// // Once for each connection.
/// let certificate = ClientCertificate::from_der(der);
///
/// let mut request = Request::new(());
/// request.extensions_mut().insert(certificate.clone());
/// assert_eq!(format!("{certificate:?}"), "ClientCertificate");
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct ClientCertificate {
    thumbprint: Option<[u8; 32]>,
}

impl ClientCertificate {
    /// Takes the certificate in DER, as rustls returns it. Only its SHA-256 thumbprint is kept.
    #[must_use]
    pub fn from_der(der: impl AsRef<[u8]>) -> Self {
        Self { thumbprint: sha256(der.as_ref()) }
    }

    pub(crate) fn has_thumbprint(&self, expected: &[u8; 32]) -> bool {
        self.thumbprint.as_ref() == Some(expected)
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate")
    }
}
