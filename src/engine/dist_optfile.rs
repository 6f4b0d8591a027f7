//! The file that a node itself has for TLS: `-ssl_dist_optfile`, a term with options of OTP's ssl.
//!
//! Takes its path and what plan and environment say, gives the [`TlsOptions`] of a client: `[{server, Opts}, {client, Opts}].`
//! Those of `client` count, as for a node that connects; where there are none, those of `server`: both name the same
//! authority, and the same certificate, in most nodes. The node's certificate is checked with `cacertfile` whatever
//! `verify` says there: a node that trusts its network need not be trusted by the machine that upgrades it. What plan or
//! environment say counts more than the file, word by word.

use std::path::Path;

use crate::diag::{Code, Diagnostic, Result};
use crate::node::tls::{ExpectedName, OptFile, Pem, TlsOptions};
use crate::release::consult::consult;
use crate::term::Term;

/// What there is to say when the file is no such file.
const FORM: &str = "the file of `-ssl_dist_optfile` is a term: `[{server, [{certfile, \"node.pem\"}, …]}, {client, [{cacertfile, \"ca.pem\"}, …]}].`";

/// The options with what the file adds to them.
///
/// # Errors
/// E509 when the file cannot be read, is none of this form, or has something that updo cannot use.
pub(super) fn completed(given: &TlsOptions, file: &OptFile) -> Result<TlsOptions> {
    let shown = file.path.display();
    let bad =
        |why: &str| Diagnostic::new(Code::E509, format!("the options of TLS in {shown} {why}"));
    let read = consult(&file.path)
        .map_err(|why| Box::new(bad(&format!("cannot be read: {}", why.what)).help(FORM)))?;
    let options = of_client(&read.term)
        .ok_or_else(|| Box::new(bad("have no `client` and no `server`").help(FORM)))?;
    let folder = file.path.parent().unwrap_or(Path::new("."));
    // An identity may be one of several; the first is as good as any.
    let keys = options.iter().find_map(|option| match option.as_tuple() {
        Some([key, Term::List(all)]) if key.is_atom("certs_keys") => all.first(),
        _ => None,
    });
    let word = |name: &str| value(options, name).or_else(|| in_map(keys?, name));
    let path = |name: &str| -> Result<Option<Pem>> {
        let Some(term) = word(name) else {
            return Ok(None);
        };
        match term.to_text().filter(|text| !text.is_empty()) {
            Some(text) => Ok(Some(Pem::File(folder.join(text)))),
            None => Err(Box::new(
                bad(&format!("have a `{name}` that is no path")).help(FORM),
            )),
        }
    };
    // Certificates and keys that are in the term itself, in DER.
    let inline = |name: &str, ours: &str, covered: bool| match word(name) {
        Some(_) if !covered => Err(Box::new(
            bad(&format!("have `{name}` in place of a file")).help(format!(
                "name a file in PEM as well: `{ours} => \"FILE\"` on the target's `tls`"
            )),
        )),
        _ => Ok(()),
    };
    let ca = match (&given.ca, file.checked) {
        (Some(ca), _) => Some(ca.clone()),
        (None, false) => None,
        (None, true) => match path("cacertfile")? {
            Some(ca) => Some(ca),
            None => {
                inline("cacerts", "ca", false)?;
                return Err(Box::new(
                    bad("name no `cacertfile`: the node's certificate cannot be checked")
                        .help("`ca => \"FILE\"` on the target's `tls`, or UPDO_TLS_CA; without a check, `verify => verify_none`"),
                ));
            }
        },
    };
    let (cert, key) = match (&given.cert, &given.key) {
        (Some(cert), key) => (Some(cert.clone()), key.clone()),
        (None, key) => {
            let cert = path("certfile")?;
            inline("cert", "cert", cert.is_some())?;
            let own = path("keyfile")?;
            inline("key", "key", key.is_some() || own.is_some())?;
            (cert, key.clone().or(own))
        }
    };
    let name = match (&given.name, word("server_name_indication")) {
        (ExpectedName::Host, Some(term)) if term.is_atom("disable") => ExpectedName::Any,
        (ExpectedName::Host, Some(term)) => match term.to_text().filter(|text| !text.is_empty()) {
            Some(name) => ExpectedName::Other(name),
            None => {
                return Err(Box::new(
                    bad("have a `server_name_indication` that is no name").help(FORM),
                ));
            }
        },
        (name, _) => name.clone(),
    };
    Ok(TlsOptions {
        ca,
        cert,
        key,
        name,
        optfile: None,
    })
}

/// The options of the side that connects.
fn of_client(term: &Term) -> Option<&[Term]> {
    let sides = term.as_list()?;
    value(sides, "client")
        .or_else(|| value(sides, "server"))?
        .as_list()
}

fn value<'a>(options: &'a [Term], name: &str) -> Option<&'a Term> {
    options.iter().find_map(|option| match option.as_tuple() {
        Some([key, value]) if key.is_atom(name) => Some(value),
        _ => None,
    })
}

fn in_map<'a>(term: &'a Term, name: &str) -> Option<&'a Term> {
    let Term::Map(pairs) = term else {
        return None;
    };
    let mut pairs = pairs.iter();
    pairs
        .find(|(key, _)| key.is_atom(name))
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str, given: &TlsOptions, checked: bool) -> Result<TlsOptions> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("dist.config");
        crate::atomic_file::replace(&path, text.as_bytes()).expect("a file can be written");
        let mut read = completed(given, &OptFile { path, checked })?;
        for pem in [&mut read.ca, &mut read.cert, &mut read.key]
            .into_iter()
            .flatten()
        {
            if let Pem::File(path) = pem
                && let Ok(inside) = path.strip_prefix(folder.path())
            {
                *path = inside.to_owned();
            }
        }
        Ok(read)
    }

    fn file(name: &str) -> Option<Pem> {
        Some(Pem::File(name.into()))
    }

    #[test]
    fn the_options_of_the_client_count() {
        let text = "%% made by hand\n[{server, [{certfile, \"s.pem\"}, {verify, verify_peer}]},\n \
             {client, [{cacertfile, \"ca.pem\"}, {certfile, <<\"/etc/c.pem\">>}, {keyfile, \"c.key\"},\n \
             {verify, verify_none}, {secure_renegotiate, true}, {server_name_indication, disable}]}].";
        let read = with(text, &TlsOptions::default(), true).expect("options");
        let wanted = TlsOptions {
            ca: file("ca.pem"),
            cert: file("/etc/c.pem"),
            key: file("c.key"),
            name: ExpectedName::Any,
            optfile: None,
        };
        assert_eq!(read, wanted);
        // The plan counts more; a key goes with its certificate.
        let given = TlsOptions {
            cert: file("mine.pem"),
            name: ExpectedName::Other("shop".to_owned()),
            ..TlsOptions::default()
        };
        let read = with(text, &given, true).expect("options");
        assert_eq!((read.cert, read.key), (file("mine.pem"), None));
        assert_eq!(read.name, ExpectedName::Other("shop".to_owned()));
    }

    #[test]
    fn those_of_the_server_when_there_are_no_others() {
        let text = "[{server, [{cacertfile, \"ca.pem\"}, {certs_keys, [#{certfile => \"n.pem\", keyfile => \"n.key\"}]}]}].";
        let read = with(text, &TlsOptions::default(), true).expect("options");
        assert_eq!(
            (read.ca, read.cert, read.key),
            (file("ca.pem"), file("n.pem"), file("n.key"))
        );
    }

    #[test]
    fn files_that_are_none() {
        for (text, why) in [
            ("", "cannot be read"),
            ("[{server", "cannot be read"),
            ("{client, []}.", "no `client` and no `server`"),
            ("[{other, []}].", "no `client` and no `server`"),
            ("[{client, [{certfile, \"c\"}]}].", "no `cacertfile`"),
            (
                "[{client, [{cacerts, [<<1>>]}]}].",
                "`cacerts` in place of a file",
            ),
            ("[{client, [{cacertfile, 7}]}].", "that is no path"),
            (
                "[{client, [{cacertfile, \"c\"}, {cert, <<1>>}]}].",
                "`cert` in place of a file",
            ),
            (
                "[{client, [{cacertfile, \"c\"}, {server_name_indication, 1}]}].",
                "that is no name",
            ),
        ] {
            let error = with(text, &TlsOptions::default(), true).expect_err(text);
            assert_eq!(error.code, Code::E509, "{text}");
            assert!(error.title.contains(why), "{text}: {}", error.title);
        }
        let unchecked = with("[{client, []}].", &TlsOptions::default(), false).expect("none");
        assert_eq!(unchecked.ca, None);
    }
}
