//! Certificates made for a test, in a folder of its own, and nodes that speak TLS with them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tempfile::TempDir;
use updo::node::Tls;
use updo::node::tls::{self, ExpectedName, Pem};

use super::Options;

/// An authority, what it has signed, and the files of both. File names say what is in them.
pub struct Certs {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// When a certificate holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Today.
    Now,
    /// Until 2020.
    Expired,
    /// From 2090 on.
    Later,
}

impl Certs {
    /// `ca.pem`, with `node.pem` and `node.key` for this machine's names, and `client.pem` and `client.key` for us.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut params = params("Test authority", &[], Holds::Now);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let ca = params.self_signed(&key).expect("an authority");
        let issuer = Issuer::new(params, key);
        let made = Self { folder, issuer };
        made.write("ca.pem", &ca.pem());
        made.issue("node", &["localhost", "127.0.0.1"], Holds::Now);
        made.issue("client", &["updo"], Holds::Now);
        made
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// One of its files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that only its owner may access.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, text).expect("a file can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("its mode can be set");
        path
    }

    /// `NAME.pem` and `NAME.key`: signed by the authority, made out for these names.
    pub fn issue(&self, name: &str, names: &[&str], holds: Holds) {
        let key = KeyPair::generate().expect("a key");
        let params = params(name, names, holds);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        self.write(&format!("{name}.pem"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    /// The same, signed by itself as `openssl req -x509` does: it calls itself an authority.
    pub fn issue_alone(&self, name: &str, names: &[&str], holds: Holds) {
        let key = KeyPair::generate().expect("a key");
        let mut params = params(name, names, holds);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        self.write(&format!("{name}.pem"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    /// How we connect: `ca.pem`, and `client.pem` with its key.
    pub fn options(&self) -> tls::TlsOptions {
        tls::TlsOptions {
            ca: Some(Pem::File(self.path("ca.pem"))),
            cert: Some(Pem::File(self.path("client.pem"))),
            key: Some(Pem::File(self.path("client.key"))),
            name: ExpectedName::Host,
            optfile: None,
        }
    }

    /// The same, loaded.
    pub fn tls(&self) -> Tls {
        load(&self.options())
    }

    /// Arguments for a node that shows `NAME.pem` and wants to see a certificate of the authority. `more` goes to its
    /// server options: `{versions,['tlsv1.2']}`.
    pub fn node_args(&self, name: &str, more: &str) -> Vec<String> {
        let more = if more.is_empty() {
            String::new()
        } else {
            format!(",{more}")
        };
        let file = |name: &str| format!("{:?}", self.path(name));
        let (ca, cert, key) = (
            file("ca.pem"),
            file(&format!("{name}.pem")),
            file(&format!("{name}.key")),
        );
        let own = format!("{{certfile,{cert}}},{{keyfile,{key}}},{{cacertfile,{ca}}}");
        let options = format!(
            "[{{server,[{own},{{verify,verify_peer}},{{fail_if_no_peer_cert,true}}{more}]}},\n \
              {{client,[{own},{{verify,verify_peer}}]}}].\n"
        );
        let number = fs::read_dir(self.folder()).expect("a folder").count();
        let path = self.write(&format!("dist{number}.config"), &options);
        ["-proto_dist", "inet_tls", "-ssl_dist_optfile"]
            .map(str::to_owned)
            .into_iter()
            .chain([path.display().to_string()])
            .collect()
    }

    /// A node that shows `NAME.pem`, about to be started; `with` is how the test connects to it.
    pub fn node(&self, name: &str, more: &str, with: Tls) -> Options {
        Options {
            args: self.node_args(name, more),
            tls: Some(with),
            ..Options::default()
        }
    }
}

/// Loads options that must be good.
pub fn load(options: &tls::TlsOptions) -> Tls {
    Tls::load(options, &|_| None).unwrap_or_else(|reported| panic!("{reported:?}"))
}

fn params(name: &str, names: &[&str], holds: Holds) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("good names");
    params.distinguished_name.push(DnType::CommonName, name);
    let (from, until) = match holds {
        Holds::Now => (date_time_ymd(2020, 1, 1), date_time_ymd(2080, 1, 1)),
        Holds::Expired => (date_time_ymd(2010, 1, 1), date_time_ymd(2020, 6, 30)),
        Holds::Later => (date_time_ymd(2090, 1, 1), date_time_ymd(2095, 1, 1)),
    };
    (params.not_before, params.not_after) = (from, until);
    params
}
