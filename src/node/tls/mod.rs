//! TLS under the distribution: trusted certificates, our own identity, and under which name the node must show
//! itself.
//!
//! Takes [`TlsOptions`] (places of PEM texts), gives a [`Tls`] that a connection can be made with, or E509 when a file
//! cannot be used. The other side is `-proto_dist inet_tls` (kernel's `inet_tls_dist`), where every handshake message has a
//! length of four bytes. A key that others may read is refused, and a key's text is never part of a message.

mod error;
mod stream;
mod validity;
mod verifier;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroize;

use self::verifier::Verifier;
use super::secret_file;
use crate::diag::{Code, Diagnostic, Result};

pub(crate) use error::{cause, is_alert, refused, speaks_tls};
pub(crate) use stream::TlsStream;

/// Longest PEM text, in bytes: a whole system's authorities have a quarter of it.
const MAX_PEM: usize = 1 << 20;

/// Where a PEM text is (RFC 7468), at most 1 MiB of it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pem {
    /// In a file.
    File(PathBuf),
    /// In a variable of the environment: the text itself, or the path of a file.
    Env(String),
}

impl fmt::Display for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env(name) => write!(f, "env {name}"),
        }
    }
}

/// Under which name the node's certificate must be made out, as RFC 6125 compares it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum ExpectedName {
    /// The host part of the node's name.
    #[default]
    Host,
    /// This one.
    Other(String),
    /// Any, as long as an authority that we believe has signed it.
    Any,
}

/// What TLS is to be made with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// The authorities that may have signed the node's certificate, or that certificate itself. `None`: any
    /// certificate is accepted (`verify_none`).
    pub ca: Option<Pem>,
    /// Our certificate, and what links it to its authority. `None`: we show none.
    pub cert: Option<Pem>,
    /// Its key; where the certificate is when this is `None`.
    pub key: Option<Pem>,
    /// The name in the node's certificate.
    pub name: ExpectedName,
    /// The node's own file of options, which the engine takes the rest from. [`Tls::load`] does not look at it.
    pub optfile: Option<OptFile>,
}

/// The file that a node was given as `-ssl_dist_optfile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptFile {
    /// Where it is. Paths in it are relative to its folder.
    pub path: PathBuf,
    /// Whether the node's certificate is checked; with `false` the file's authority is not used.
    pub checked: bool,
}

/// What a connection over TLS is made with. Its key cannot be printed or taken out.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    options: TlsOptions,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({self})")
    }
}

impl fmt::Display for Tls {
    /// Where things come from, in a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.options.ca {
            Some(ca) => write!(f, "authorities from {ca}")?,
            None => f.write_str("the node's certificate is not checked")?,
        }
        match (&self.options.ca, &self.options.name) {
            (None, _) => {}
            (_, ExpectedName::Host) => f.write_str(", made out for the node's host")?,
            (_, ExpectedName::Other(name)) => write!(f, ", made out for {name}")?,
            (_, ExpectedName::Any) => f.write_str(", valid for any name")?,
        }
        match &self.options.cert {
            Some(cert) => write!(f, "; our certificate from {cert}"),
            None => f.write_str("; we show no certificate"),
        }
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// E509 when one cannot be read, is no PEM, has nothing of what it should have, is a key that others may read, or
    /// when key and certificate do not belong together.
    pub fn load(options: &TlsOptions, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let believed = match &options.ca {
            Some(ca) => certificates(&read(ca, "the file of authorities", false, env)?, ca)?,
            None => Vec::new(),
        };
        let verifier = match &options.ca {
            Some(ca) => Verifier::new(believed, options.name == ExpectedName::Any, &provider)
                .map_err(|why| bad(format!("{ca} has no certificate to rely on: {why}")))?,
            None => Verifier::accept_any(&provider),
        };
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| bad(format!("TLS cannot be used: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &options.cert {
            None => config.with_no_client_auth(),
            Some(cert) => {
                let key = options.key.as_ref().unwrap_or(cert);
                let (chain, secret) = identity(cert, key, env)?;
                config
                    .with_client_auth_cert(chain, secret)
                    .map_err(|error| {
                        bad(format!(
                            "the certificate {cert} does not go with the key {key}: {error}"
                        ))
                        .help("name the key that the certificate was made for: `key => \"FILE\"`")
                    })?
            }
        };
        // Every connection is a new one; tickets would only pile up.
        config.resumption = Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
            options: options.clone(),
        })
    }
}

/// Our certificate with its chain, and its key.
fn identity(
    cert: &Pem,
    key: &Pem,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let together = cert == key;
    let text = read(cert, "the certificate file", together, env)?;
    let chain = certificates(&text, cert)?;
    let mut text = if together {
        text
    } else {
        read(key, "the key file", true, env)?
    };
    let found = PrivateKeyDer::from_pem_slice(&text);
    let encrypted = contains(&text, b"ENCRYPTED");
    text.zeroize();
    match found {
        Ok(secret) => Ok((chain, secret)),
        // What the reader says of the text may quote it.
        Err(_) if encrypted => Err(Box::new(
            bad(format!("the key in {key} is encrypted, and updo asks for no password"))
                .help("openssl pkey -in ENCRYPTED -out FILE, for a file that only you may read"),
        )),
        Err(_) => Err(Box::new(
            bad(format!("there is no private key in {key}"))
                .help("a key is PEM and begins with `-----BEGIN PRIVATE KEY-----` or the like: `key => \"FILE\"`"),
        )),
    }
}

fn certificates(text: &[u8], from: &Pem) -> Result<Vec<CertificateDer<'static>>> {
    let all: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(Box::new(
            bad(format!("there is no certificate in {from}"))
                .help("a certificate is PEM and begins with `-----BEGIN CERTIFICATE-----`"),
        )),
    }
}

/// The text of a PEM, from wherever it is.
fn read(
    from: &Pem,
    what: &'static str,
    secret: bool,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<u8>> {
    let path = match from {
        Pem::File(path) => path.clone(),
        Pem::Env(name) => match env(name).filter(|value| !value.is_empty()) {
            Some(text) if text.trim_start().starts_with("-----BEGIN") => {
                return Ok(text.into_bytes());
            }
            Some(path) => PathBuf::from(path),
            None => {
                return Err(Box::new(
                    bad(format!(
                        "{what} is to come from env {name}, which is not set"
                    ))
                    .help(format!(
                        "export {name}: the PEM text, or the path of a file"
                    )),
                ));
            }
        },
    };
    let file = secret_file::SecretFile {
        what,
        code: Code::E509,
        limit: MAX_PEM,
    };
    let text = match secret {
        true => file.read(&path)?,
        false => file.read_public(&path)?,
    };
    match text.len() {
        MAX_PEM => Err(Box::new(bad(format!(
            "{what} {} is too large to be one",
            Path::new(&path).display()
        )))),
        _ => Ok(text),
    }
}

fn bad(title: String) -> Diagnostic {
    Diagnostic::new(Code::E509, title)
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|part| part == what)
}

/// What signatures are checked with.
fn algorithms(provider: &CryptoProvider) -> rustls::crypto::WebPkiSupportedAlgorithms {
    provider.signature_verification_algorithms
}
