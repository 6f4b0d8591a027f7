//! What went wrong with TLS, in words: E503.
//!
//! Takes what rustls says, gives a diagnostic that names the side where something is to be done. A node sends its own
//! reasons as an alert, which is one word: what it may mean depends on what we have shown it.

use std::io::{self, ErrorKind};
use std::time::{Duration, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error};

use super::{ExpectedName, Tls};
use crate::diag::{Code, Diagnostic};
use crate::node::cookie::plain;
use crate::node::forward;
use crate::node::name::Address;

/// The first bytes of an alert record in TLS.
const ALERT: [u8; 2] = [0x15, 0x03];

/// Whether an answer of a handshake without TLS begins as an alert does.
pub(crate) fn is_alert(head: &[u8]) -> bool {
    head.starts_with(&ALERT)
}

/// What TLS found, when that is behind an error of reading or writing.
pub(crate) fn cause(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// The node answers without TLS with an alert: it wants it.
pub(crate) fn speaks_tls(target: &Address) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::new(
            Code::E503,
            format!("{target} uses TLS, and the connection does not"),
        )
        .note("it was started with `-proto_dist inet_tls`")
        .help("add `tls => #{ca => \"FILE\", cert => \"FILE\", key => \"FILE\"}` to the plan's target, or set UPDO_TLS_CA, UPDO_TLS_CERT and UPDO_TLS_KEY"),
    )
}

/// The connection ended before the handshake did, or nothing came in time.
pub(super) fn silent(target: &Address, error: &io::Error, heard: bool) -> Box<Diagnostic> {
    if let Some(why) = forward::cause(error) {
        return why;
    }
    let late = matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock);
    let closed = matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    );
    let why = match (late, closed) {
        (true, _) => "it did not go on in time".to_owned(),
        (_, true) => "it closed the connection".to_owned(),
        _ => plain(error),
    };
    let diagnostic = failed(target, &why);
    Box::new(if heard {
        diagnostic.help("the node's log says why")
    } else {
        diagnostic.note("it sent nothing at all, as a node without TLS does")
            .help("if the node was not started with `-proto_dist inet_tls`, take `tls` out of the plan's target (and UPDO_TLS_CA out of the environment)")
    })
}

/// E503 for what TLS found.
pub(crate) fn refused(target: &Address, tls: &Tls, error: &Error) -> Box<Diagnostic> {
    Box::new(match error {
        Error::InvalidCertificate(why) => certificate(target, tls, why),
        Error::AlertReceived(alert) => alerted(target, tls, *alert),
        Error::InvalidMessage(_) => failed(target, "what it sends is not TLS")
            .help("take `tls` out of the plan's target if the node was not started with `-proto_dist inet_tls`"),
        Error::PeerIncompatible(why) => failed(target, &format!("{why:?}")).help(VERSIONS),
        Error::NoCertificatesPresented => failed(target, "it shows no certificate")
            .help("the node needs `certfile` among the server options of its ssl_dist_optfile"),
        other => failed(target, &other.to_string()),
    })
}

/// What to do when both sides find nothing in common.
const VERSIONS: &str = "updo speaks TLS 1.2 and 1.3 with the usual ciphers: look at `versions` and `ciphers` of the node's ssl_dist_optfile";

fn failed(target: &Address, why: &str) -> Diagnostic {
    Diagnostic::new(
        Code::E503,
        format!("the TLS handshake with {target} failed: {why}"),
    )
}

/// The node's certificate is not good.
fn certificate(target: &Address, tls: &Tls, why: &CertificateError) -> Diagnostic {
    let refusal = |why: &str| failed(target, &format!("its certificate {why}"));
    let ca = match &tls.options.ca {
        Some(ca) => ca.to_string(),
        None => "`ca`".to_owned(),
    };
    match why {
        CertificateError::ExpiredContext { not_after, .. } => {
            refusal(&format!("has expired on {}", date(*not_after)))
                .help("give the node a new one; if that date is in the future, this machine's clock is wrong")
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            refusal(&format!("does not hold before {}", date(*not_before)))
                .help("look at the clocks of both machines")
        }
        // An authority that was made anew under its old name has another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => refusal(&format!("was signed by no authority in {ca}"))
            .help("`ca` wants the certificate of the authority that signed the node's, or that very certificate; what the node shows: `openssl s_client -connect HOST:PORT -showcerts`"),
        CertificateError::NotValidForNameContext { presented, .. } => {
            let wanted = match &tls.options.name {
                ExpectedName::Other(name) => name.as_str(),
                ExpectedName::Host | ExpectedName::Any => target.host(),
            };
            let refusal = refusal(&format!("is not made out for {wanted}"));
            let refusal = match presented.as_slice() {
                [] => refusal.note("it has no name at all: none in its subjectAltName"),
                names => refusal.note(format!("it is made out for {}", names.join(", "))),
            };
            refusal.help("give the node a certificate with its host's name, or say which name counts: `server_name => \"NAME\"`, or `server_name => disable` where any node of this authority may answer")
        }
        CertificateError::InvalidPurposeContext { .. } | CertificateError::InvalidPurpose => {
            refusal("is not meant for servers")
                .help("its extendedKeyUsage needs serverAuth, and clientAuth for nodes that connect to each other")
        }
        other => refusal(&format!("is not good: {other}"))
            .help("`openssl x509 -text -in FILE` shows what is in it"),
    }
}

/// What the node has against us.
fn alerted(target: &Address, tls: &Tls, alert: AlertDescription) -> Diagnostic {
    use AlertDescription as A;
    let shown = tls.options.cert.as_ref();
    match (alert, shown) {
        (A::CertificateRequired | A::HandshakeFailure | A::BadCertificate, None) => {
            failed(target, "it wants to see a certificate of ours")
                .note(format!("it said {alert:?}"))
                .help("add `cert => \"FILE\", key => \"FILE\"` to the target's `tls`")
        }
        (
            A::UnknownCA
            | A::BadCertificate
            | A::CertificateExpired
            | A::CertificateRevoked
            | A::CertificateUnknown
            | A::UnsupportedCertificate
            | A::AccessDenied,
            Some(cert),
        ) => failed(target, "it does not take our certificate")
            .note(format!("it said {alert:?} of the one from {cert}"))
            .help("it must be signed by an authority in the node's `cacertfile` (server options of ssl_dist_optfile), hold today, and be meant for clients"),
        (A::ProtocolVersion | A::HandshakeFailure | A::InsufficientSecurity, _) => {
            failed(target, "both sides have no version or cipher in common")
                .note(format!("it said {alert:?}"))
                .help(VERSIONS)
        }
        _ => failed(target, &format!("it said {alert:?}")).help("the node's log says why"),
    }
}

/// A day and a time, in UTC.
fn date(at: UnixTime) -> String {
    match UNIX_EPOCH.checked_add(Duration::from_secs(at.as_secs())) {
        // Beyond the year 9999 it cannot be written.
        Some(at)
            if at
                .duration_since(UNIX_EPOCH)
                .is_ok_and(|since| since.as_secs() < 253_402_300_800) =>
        {
            humantime::format_rfc3339_seconds(at).to_string()
        }
        _ => "a day after the year 9999".to_owned(),
    }
}
