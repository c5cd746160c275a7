//! Who is trusted to be a registry, and who we are to it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::distrust;
use super::error::RegistryError;

/// How servers are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trust<'a> {
    /// Every certificate is taken.
    pub insecure: bool,
    /// Files with authorities to trust beside the system's.
    pub authorities: Vec<&'a Path>,
    /// Files with our certificate and its key.
    pub client: Option<(&'a Path, &'a Path)>,
}

impl Trust<'_> {
    /// The TLS library's form of it.
    pub fn config(&self) -> Result<ClientConfig, RegistryError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(self.verifier(provider)?));
        match self.client {
            None => Ok(builder.with_no_client_auth()),
            Some((certificate, key)) => {
                let (chain, private) = read_client(certificate, key)?;
                builder
                    .with_client_auth_cert(chain, private)
                    .map_err(|error| wrong(certificate, error.into()))
            }
        }
    }

    fn verifier(&self, provider: Arc<CryptoProvider>) -> Result<Verifier, RegistryError> {
        let mut trusted = Vec::new();
        if !self.insecure {
            // What cannot be read is missed when a certificate is checked, with a better message.
            trusted = rustls_native_certs::load_native_certs().certs;
        }
        for path in &self.authorities {
            trusted.extend(read_certificates(path)?);
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        let authorities = match roots.is_empty() {
            true => None,
            false => Some(
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                    .build()
                    .map_err(unusable)?,
            ),
        };
        Ok(Verifier { insecure: self.insecure, trusted, authorities, provider })
    }
}

/// As Go's: a chain to an authority that is trusted, or a certificate that is itself trusted.
#[derive(Debug)]
struct Verifier {
    insecure: bool,
    trusted: Vec<CertificateDer<'static>>,
    authorities: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.insecure {
            return Ok(ServerCertVerified::assertion());
        }
        let Some(authorities) = &self.authorities else {
            return Err(rustls::CertificateError::UnknownIssuer.into());
        };
        match authorities.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // `openssl req -x509` makes certificates of authorities. webpki lets no server use one, not even if it is trusted
            // itself; its other checks of the certificate came before this one, but that of the name.
            Err(error) if distrust::is_authority(&error) && self.trusted.contains(certificate) => {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            answer => answer,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.insecure {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let supported = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, supported)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.insecure {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let supported = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, supported)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.provider.signature_verification_algorithms.supported_schemes();
        if self.insecure {
            use SignatureScheme as Scheme;
            schemes.extend([
                Scheme::ECDSA_NISTP521_SHA512,
                Scheme::RSA_PKCS1_SHA1,
                Scheme::ECDSA_SHA1_Legacy,
            ]);
        }
        schemes
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, RegistryError> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| wrong(path, error.into()))?;
    if found.is_empty() {
        return Err(wrong(path, "it holds no PEM certificate".into()));
    }
    Ok(found)
}

/// Our certificate; the key is compared with it.
fn read_client(
    certificate: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), RegistryError> {
    let chain = read_certificates(certificate)?;
    let private = PrivateKeyDer::pem_slice_iter(&read(key)?)
        .next()
        .transpose()
        .map_err(|error| wrong(key, error.into()))?;
    let private = private.ok_or_else(|| wrong(key, "it holds no PEM private key".into()))?;
    CertifiedKey::from_der(chain.clone(), private.clone_key(), &ring::default_provider())
        .map_err(|error| wrong(key, error.into()))?;
    Ok((chain, private))
}

fn read(path: &Path) -> Result<Vec<u8>, RegistryError> {
    fs::read(path).map_err(|error| wrong(path, error.into()))
}

fn wrong(path: &Path, source: Box<dyn std::error::Error + Send + Sync>) -> RegistryError {
    RegistryError::File { path: path.to_owned(), what: "certificates", source }
}

fn unusable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> RegistryError {
    RegistryError::Transport {
        host: "any host".to_owned(),
        request: "set up TLS".to_owned(),
        source: source.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    /// Of `openssl req -x509 -subj /CN=r.example -addext subjectAltName=DNS:r.example`, good from December 2026 for ten years.
    const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBlDCCATmgAwIBAgIUHvstGY/v6xfOXzDJGXS0LGWpUgkwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJci5leGFtcGxlMB4XDTI2MTIwMTE0NDI1OFoXDTM2MTEyODE0
NDI1OFowFDESMBAGA1UEAwwJci5leGFtcGxlMFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAErb/HN/yCpgKGWfkbUNg9G08ppfcKGh50bCnXdQ16U1hFBsDkPyR83rwN
h5VCBUU1S9NwKzLL9wVXsZ4Pprqme6NpMGcwHQYDVR0OBBYEFAWjQ9aBNkbNIgiE
UeQD92RtJjP9MB8GA1UdIwQYMBaAFAWjQ9aBNkbNIgiEUeQD92RtJjP9MA8GA1Ud
EwEB/wQFMAMBAf8wFAYDVR0RBA0wC4IJci5leGFtcGxlMAoGCCqGSM49BAMCA0kA
MEYCIQD7E1Y5nvp64QlPHKSrME7J3L/NXv2CIGfkHOBrsGYBUwIhAJV3pfxoWnOC
xxxBYfyuLmaNHw7hr/3PeT70cprJtIH+
-----END CERTIFICATE-----
";

    #[test]
    fn a_trusted_certificate_of_an_authority_is_still_checked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        fs::write(&path, AUTHORITY).unwrap();
        let certificate = CertificateDer::from_pem_slice(AUTHORITY.as_bytes()).unwrap();
        let year = 365 * 24 * 60 * 60;
        for (trusted, name, years, words) in [
            (true, "r.example", 58, ""),
            (true, "other.example", 58, "it is for"),
            (true, "r.example", 56, "not valid yet"),
            (true, "r.example", 70, "expired"),
            (false, "r.example", 58, "CA:TRUE"),
        ] {
            let authorities = if trusted { vec![path.as_path()] } else { Vec::new() };
            let trust = Trust { insecure: false, authorities, client: None };
            let verifier = trust.verifier(Arc::new(ring::default_provider())).unwrap();
            let (name, now) = (ServerName::try_from(name).unwrap(), Duration::from_secs(years * year));
            let now = UnixTime::since_unix_epoch(now);
            let answer = verifier.verify_server_cert(&certificate, &[], &name, &[], now);
            let found = answer.err().map(|error| distrust::words(&error)).unwrap_or_default();
            assert_eq!(found.is_empty(), words.is_empty(), "{found}");
            assert!(found.contains(words), "{found}");
        }
    }
}
