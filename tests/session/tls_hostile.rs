//! Peers that only pretend to speak TLS, or to be nodes behind it: never a panic, never a hang, little memory.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use updo::diag::Code;
use updo::node::Session;

use super::tls::says;
use crate::support::certs::Certs;
use crate::support::{TestNode, server};

/// What servers may answer that are no nodes and mean harm: never a panic, never a hang, little memory.
#[test]
fn nonsense_instead_of_tls() {
    let certs = Certs::new();
    let node = TestNode::shared();
    let record = |kind: u8, length: u16, body: &[u8]| {
        let length = length.to_be_bytes();
        [&[kind, 3, 3, length[0], length[1]], body].concat()
    };
    let answers: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        b"\0\x03sok".to_vec(),
        record(0x15, 2, &[2, 40]),
        record(0x15, 2, &[2, 70]),
        record(0x15, 2, &[1, 0]),
        record(0x16, 0xffff, &[0xff; 200]),
        // A handshake message of 16 MB, begun and never ended.
        record(0x16, 4, &[2, 0xff, 0xff, 0xff]).repeat(4000),
        record(0x16, 0, &[]).repeat(20_000),
        record(0x17, 100, &[7; 100]).repeat(1000),
        (0..4000u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect(),
    ];
    for answer in answers {
        let bytes = Arc::new(answer);
        let port = server({
            let bytes = Arc::clone(&bytes);
            move |stream| {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(&bytes);
            }
        });
        let mut connect = node.connect();
        connect.tls = Some(certs.tls());
        connect.port = Some(port);
        let started = Instant::now();
        let diagnostic = Session::connect(&connect).expect_err("nonsense");
        assert_eq!(diagnostic.code, Code::E503, "{diagnostic:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{diagnostic:?}");
    }
    // One that takes the connection and says nothing costs the timeout, no more.
    let port = server(|stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let mut connect = node.connect();
    connect.tls = Some(certs.tls());
    connect.port = Some(port);
    connect.timeout = Duration::from_millis(700);
    let started = Instant::now();
    let diagnostic = Session::connect(&connect).expect_err("silence");
    says(&diagnostic, Code::E503, &["did not go on in time"]);
    assert!(started.elapsed() < Duration::from_secs(3));
}

/// TLS as it should be with the node's certificate; what is served over it is another matter.
fn secured(certs: &Certs, serve: impl Fn(&mut dyn ReadWrite) + Send + Sync + 'static) -> u16 {
    let chain = CertificateDer::from_pem_file(certs.path("node.pem")).expect("PEM");
    let key = PrivateKeyDer::from_pem_file(certs.path("node.key")).expect("PEM");
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("key and certificate belong together");
    let config = Arc::new(config);
    server(move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
        let stream: TcpStream = stream.try_clone().expect("a socket");
        serve(&mut StreamOwned::new(connection, stream));
    })
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

#[test]
fn nonsense_behind_good_tls() {
    let certs = Certs::new();
    let node = TestNode::shared();
    let connect = |port: u16| {
        let mut connect = node.connect();
        connect.tls = Some(certs.tls());
        connect.port = Some(port);
        connect.timeout = Duration::from_secs(2);
        let started = Instant::now();
        let diagnostic = Session::connect(&connect).expect_err("no node");
        assert!(started.elapsed() < Duration::from_secs(5), "{diagnostic:?}");
        *diagnostic
    };
    let answers: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0xff; 4],
        vec![0, 0, 0, 0],
        b"\0\0\0\x03sok".to_vec(),
        b"\0\0\0\x03sok\0\0\0\x01N".to_vec(),
        b"\0\0\0\x03sok\0\0\xff\xff".to_vec(),
        b"\0\x03sok".to_vec(),
        vec![7; 5 << 20],
    ];
    for answer in answers {
        let length = answer.len();
        let port = secured(&certs, move |stream| {
            // Our name, and then whatever was prepared; a peer that has gone is fine.
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(&answer);
            let _ = stream.flush();
        });
        let diagnostic = connect(port);
        assert!(
            matches!(diagnostic.code, Code::E506 | Code::E508),
            "{length}: {diagnostic:?}"
        );
    }
    // Nothing at all, with the connection held open.
    let port = secured(&certs, |stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    says(
        &connect(port),
        Code::E508,
        &["did not finish the handshake in time"],
    );
}
