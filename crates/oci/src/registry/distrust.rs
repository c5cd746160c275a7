//! Why no TLS connection came about, in plain words: the library's words are for programmers.

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

/// The reason, and what can be done.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(reason) => {
            format!("its certificate is not trusted: {}", certificate(reason))
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server does not answer in TLS; it may speak plain HTTP".to_owned()
        }
        Error::AlertReceived(alert) => refusal(*alert),
        Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
            "the server speaks neither TLS 1.2 nor TLS 1.3".to_owned()
        }
        other => other.to_string(),
    }
}

fn refusal(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => "the server wants a certificate of the client".to_owned(),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA => {
            format!("the server does not accept the certificate of the client, or wants one ({alert:?})")
        }
        AlertDescription::ProtocolVersion => "the server speaks neither TLS 1.2 nor TLS 1.3".to_owned(),
        other => format!("the server refuses TLS ({other:?})"),
    }
}

fn certificate(reason: &CertificateError) -> String {
    use CertificateError as Reason;
    match reason {
        Reason::Expired | Reason::ExpiredContext { .. } => "it has expired".to_owned(),
        Reason::NotValidYet | Reason::NotValidYetContext { .. } => {
            "it is not valid yet; is the clock of this machine right?".to_owned()
        }
        Reason::UnknownIssuer => "its issuer is none of the trusted authorities".to_owned(),
        Reason::NotValidForName => "it is for another name".to_owned(),
        Reason::NotValidForNameContext { expected, presented } => name(expected, presented),
        Reason::BadSignature => {
            "its signature is wrong: another key made it than that of the trusted authority of this name".to_owned()
        }
        Reason::UnsupportedSignatureAlgorithmContext { .. }
        | Reason::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the algorithm of its signature is not supported (SHA-1 is not)".to_owned()
        }
        Reason::InvalidPurpose | Reason::InvalidPurposeContext { .. } => "it is not for servers".to_owned(),
        Reason::BadEncoding => "it is malformed".to_owned(),
        reason if of_authority(reason) => {
            "it is one of an authority (CA:TRUE), which a server may use only where that certificate itself is trusted"
                .to_owned()
        }
        other => other.to_string(),
    }
}

/// Whether a server was refused because it uses the certificate of an authority.
pub(super) fn is_authority(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(reason) if of_authority(reason))
}

fn of_authority(reason: &CertificateError) -> bool {
    // The verifier's own errors are not exported.
    matches!(reason, CertificateError::Other(other) if other.0.to_string() == "CaUsedAsEndEntity")
}

fn name(expected: &ServerName<'_>, presented: &[String]) -> String {
    let expected = expected.to_str();
    match presented {
        [] => format!(
            "it has no subjectAltName, so it is not for {expected}; a common name (CN) does not count"
        ),
        names => format!("it is for {}, not for {expected}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reasons() {
        let expected = || ServerName::try_from("r.example").unwrap();
        let presented = vec!["a.example".to_owned(), "b.example".to_owned()];
        let cases = [
            (Error::InvalidCertificate(CertificateError::Expired), "it has expired"),
            (Error::InvalidCertificate(CertificateError::NotValidYet), "not valid yet"),
            (Error::InvalidCertificate(CertificateError::UnknownIssuer), "none of the trusted"),
            (
                Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                    expected: expected(),
                    presented,
                }),
                "a.example, b.example, not for r.example",
            ),
            (
                Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                    expected: expected(),
                    presented: Vec::new(),
                }),
                "no subjectAltName",
            ),
            (Error::InvalidMessage(InvalidMessage::InvalidContentType), "plain HTTP"),
            (Error::AlertReceived(AlertDescription::CertificateRequired), "wants a certificate"),
            (Error::AlertReceived(AlertDescription::ProtocolVersion), "neither TLS 1.2"),
        ];
        for (error, expected) in cases {
            let words = words(&error);
            assert!(words.contains(expected), "{words}");
        }
    }
}
