//! Whether a node's certificate is believed.
//!
//! Takes what the node shows, says yes or why not. A certificate is good when one of the authorities has signed it, or when it
//! is itself among them (nodes often have one that they have signed themselves, which the usual rules never accept);
//! then its dates are looked at here. Its name is checked unless that was switched off. What the node signs with its key is
//! always checked, also when nothing else is.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::{algorithms, validity};

/// The trusted certificates.
#[derive(Debug)]
enum Belief {
    /// These, and those that they have signed.
    These {
        roots: RootCertStore,
        themselves: Vec<CertificateDer<'static>>,
        /// Whether the name does not count.
        any_name: bool,
    },
    /// All.
    Everybody,
}

/// Checks what a node shows.
#[derive(Debug)]
pub(super) struct Verifier {
    belief: Belief,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    /// Believes these certificates; the error says why one cannot be relied on.
    pub(super) fn new(
        believed: Vec<CertificateDer<'static>>,
        any_name: bool,
        provider: &CryptoProvider,
    ) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in &believed {
            roots.add(certificate.clone())?;
        }
        Ok(Self {
            belief: Belief::These {
                roots,
                themselves: believed,
                any_name,
            },
            algorithms: algorithms(provider),
        })
    }

    /// Checks no certificate.
    pub(super) fn accept_any(provider: &CryptoProvider) -> Self {
        Self {
            belief: Belief::Everybody,
            algorithms: algorithms(provider),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Belief::These {
            roots,
            themselves,
            any_name,
        } = &self.belief
        else {
            return Ok(ServerCertVerified::assertion());
        };
        let parsed = ParsedCertificate::try_from(shown)?;
        if themselves.contains(shown) {
            is_of_today(shown, now)?;
        } else {
            let all = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, others, now, all)?;
        }
        if !any_name {
            verify_server_name(&parsed, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, shown, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, shown, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn is_of_today(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let (from, until) = validity::of(certificate).ok_or(CertificateError::BadEncoding)?;
    let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    if now.as_secs() < from {
        let not_before = at(from);
        return Err(CertificateError::NotValidYetContext {
            time: now,
            not_before,
        }
        .into());
    }
    if now.as_secs() > until {
        let not_after = at(until);
        return Err(CertificateError::ExpiredContext {
            time: now,
            not_after,
        }
        .into());
    }
    Ok(())
}
