//! The kept inputs: that they reach what they are for, and how those are made that no person writes.
//!
//! `UPDO_BLESS=1 cargo test --test fuzz corpus::` writes them anew: beams of the compiler that is there (under the name of
//! its release), handshakes with the right proof, frames that a node has sent during a run, the record of that run.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use md5::{Digest, Md5};
use updo::facts::beam::BeamFacts;
use updo::node::untrusted;
use updo::report::replay;
use updo::term::etf;

use crate::support::apps::{Deployed, bank};
use crate::support::desk::{Desk, walk};
use crate::{kept, root};

/// The longest input that is kept.
const LONGEST: usize = 8 << 10;

fn blessing() -> bool {
    std::env::var_os("UPDO_BLESS").is_some()
}

fn put(target: &str, name: &str, bytes: &[u8]) {
    let folder = root().join("fuzz/corpus").join(target);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(name), bytes).expect("written");
}

/// How many kept inputs of a target hold something.
fn count(target: &str, holds: impl Fn(&[u8]) -> bool) -> usize {
    kept(target)
        .iter()
        .filter(|(_, bytes)| holds(bytes))
        .count()
}

#[test]
fn beams() {
    if blessing() {
        let folder = tempfile::tempdir().expect("a folder");
        let release =
            crate::support::TestNode::shared().eval_text("erlang:system_info(otp_release)");
        let release = release.trim_matches('"').to_owned();
        for (module, option) in [
            ("desk_load", "+debug_info"),
            ("kin_porter", "+deterministic"),
            ("clerk", "+debug_info"),
            ("ticker", "+deterministic"),
            ("spawner", "+compressed"),
            ("ear", "+no_line_info"),
            ("oc_server", "+deterministic"),
            ("hu_till", "+deterministic"),
        ] {
            let source = root().join(format!("tests/fixtures/modules/{module}.erl"));
            let ran = std::process::Command::new("erlc")
                .args([option, "-DVERSION=1", "-DVSN=1", "-o"])
                .args([folder.path(), &source])
                .output()
                .expect("erlc");
            assert!(
                ran.status.success(),
                "{}",
                String::from_utf8_lossy(&ran.stdout)
            );
            let beam = fs::read(folder.path().join(format!("{module}.beam"))).expect("a beam");
            put("beam", &format!("{module}-otp{release}.beam"), &beam);
        }
    }
    let read = count("beam", |bytes| BeamFacts::read(bytes).is_ok());
    assert!(read >= 6, "{read}");
}

/// A message of a handshake: its length in front.
fn message(parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u16::try_from(body.len()).expect("short");
    [&length.to_be_bytes()[..], &body].concat()
}

/// The challenge of a node, as OTP 25 sends it.
fn challenge(flags: u64, name: &str) -> Vec<u8> {
    let length = u16::try_from(name.len()).expect("short");
    message(&[
        b"N",
        &flags.to_be_bytes(),
        &7u32.to_be_bytes(),
        &9u32.to_be_bytes(),
        &length.to_be_bytes(),
        name.as_bytes(),
    ])
}

#[test]
fn handshakes() {
    if blessing() {
        let text = format!("{}{}", untrusted::COOKIE, untrusted::CHALLENGE);
        let proof = message(&[b"a", &Md5::digest(text)]);
        let flags = 0x0D_07DF_7FBD;
        let good = challenge(flags, untrusted::NODE);
        let status = |text: &str| message(&[b"s", text.as_bytes()]);
        let old = message(&[b"n", &[0, 5], &[0; 8], b"shop@localhost"]);
        let all: [(&str, &[&[u8]]); 14] = [
            ("through", &[&status("ok"), &good, &proof]),
            ("simultaneous", &[&status("ok_simultaneous"), &good, &proof]),
            (
                "wrong_cookie",
                &[&status("ok"), &good, &message(&[b"a", &[7; 16]])],
            ),
            (
                "short_proof",
                &[&status("ok"), &good, &message(&[b"a", &[7; 3]])],
            ),
            ("closed", &[&status("ok"), &good]),
            ("busy", &[&status("nok")]),
            ("not_allowed", &[&status("not_allowed")]),
            ("alive", &[&status("alive")]),
            ("named", &[&status("named:\0\x05a@b.c\0\0\0\x07")]),
            (
                "other_name",
                &[
                    &status("ok"),
                    &challenge(flags, "shop@web1.example.com"),
                    &proof,
                ],
            ),
            (
                "no_name",
                &[&status("ok"), &challenge(flags, "\u{1b}[2J@"), &proof],
            ),
            (
                "too_old",
                &[&status("ok"), &challenge(0x3, untrusted::NODE), &proof],
            ),
            ("older", &[&status("ok"), &old]),
            ("tls", &[&[0x15, 3, 1, 0, 2, 2, 40]]),
        ];
        for (name, parts) in all {
            put("handshake", name, &parts.concat());
        }
    }
    let through = |bytes: &[u8]| untrusted::handshake(bytes).is_ok_and(|through| through);
    assert_eq!(count("handshake", through), 2);
    assert!(count("handshake", |bytes| untrusted::handshake(bytes).is_err()) >= 8);
}

/// Listens, passes on to a node, and notes what the node sends.
fn listening(port: u16) -> (u16, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let at = listener.local_addr().expect("an address").port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&heard);
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut node = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the node");
            let (mut from, mut to) = (
                client.try_clone().expect("shared"),
                node.try_clone().expect("shared"),
            );
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let all = Arc::clone(&all);
            std::thread::spawn(move || {
                let number = {
                    let mut all = all.lock().expect("no panic");
                    all.push(Vec::new());
                    all.len() - 1
                };
                let mut bytes = [0; 65536];
                while let Ok(n @ 1..) = node.read(&mut bytes) {
                    all.lock().expect("no panic")[number].extend_from_slice(&bytes[..n]);
                    if client.write_all(&bytes[..n]).is_err() {
                        break;
                    }
                }
                let _ = client.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    (at, heard)
}

/// The frames of a connection: what follows the three messages of the handshake.
fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    for _ in 0..3 {
        let Some((head, rest)) = bytes.split_first_chunk::<2>() else {
            return Vec::new();
        };
        bytes = rest
            .get(usize::from(u16::from_be_bytes(*head))..)
            .unwrap_or_default();
    }
    let mut frames = Vec::new();
    while let Some(head) = bytes.first_chunk::<4>() {
        let length = 4 + u32::from_be_bytes(*head) as usize;
        let Some((frame, rest)) = bytes.split_at_checked(length) else {
            break;
        };
        frames.push(frame);
        bytes = rest;
    }
    frames
}

/// What a frame is like: the words and numbers of its terms, but for those that differ from one to the next.
fn kind(frame: &[u8]) -> String {
    let Some((control, used)) = frame
        .get(5..)
        .and_then(|rest| etf::decode_prefix(rest).ok())
    else {
        return String::new();
    };
    let payload = frame
        .get(5 + used..)
        .and_then(|rest| etf::decode(rest).ok());
    let tag = control
        .as_tuple()
        .and_then(|fields| fields.first()?.as_i64());
    let words: String = payload
        .map(|term| term.to_string())
        .unwrap_or_default()
        .split(|c: char| !c.is_ascii_lowercase() && c != '_')
        .filter(|word| word.len() > 2)
        .take(4)
        .collect();
    format!("{tag:?}{words}")
}

#[test]
fn frames_and_records() {
    if blessing() {
        let bank_1 = Deployed::bank();
        let node = &bank_1.node;
        bank_1.replace(&bank().two);
        let port = node.eval(&format!(
            "begin {{port, P, _}} = erl_epmd:port_please(\"{}\", {{127,0,0,1}}), P end",
            node.short()
        ));
        let (port, heard) = listening(u16::try_from(port.as_i64().expect("a port")).expect("one"));
        let desk = Desk::rehearsing();
        let plan = format!(
            "plan \"Fees\".\ncode on_disk.\nold from {:?}.\n\
             verify \"there\" -> true = is_pid(whereis(bank_sup)).\n",
            bank().one
        );
        desk.write("p.updo", &plan);
        let port = port.to_string();
        for args in [
            &["preview", "p.updo"][..],
            &["run", "p.updo", "--yes"],
            &["rollback", "--yes"],
        ] {
            let ran = desk.on(node, args).env("UPDO_PORT", &port).run();
            assert!(matches!(ran.code, Some(0 | 3)), "{ran}");
        }
        let mut kinds: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for connection in heard.lock().expect("no panic").iter() {
            for frame in split(connection) {
                let smallest = kinds.entry(kind(frame)).or_insert_with(|| frame.to_vec());
                if frame.len() < smallest.len() {
                    *smallest = frame.to_vec();
                }
            }
        }
        kinds.retain(|_, frame| frame.len() <= LONGEST);
        for (number, frame) in (1..).zip(kinds.values()) {
            put("frames", &format!("run-{number:02}"), frame);
        }
        let several: Vec<u8> = kinds.values().take(12).flatten().copied().collect();
        put("frames", "several", &several);
        put("frames", "tick", &[0; 12]);
        records(&desk);
    }
    let frames = count("frames", |bytes| untrusted::frames(bytes) > 0);
    let several = count("frames", |bytes| untrusted::frames(bytes) > 2);
    assert!(frames >= 20 && several >= 2, "{frames} {several}");
    let events = count("records", |bytes| {
        let text = bytes.strip_prefix(b"e").map(String::from_utf8_lossy);
        text.is_some_and(|text| replay::lines(&text).iter().filter_map(replay::read).count() > 5)
    });
    let terms = count("records", |bytes| {
        bytes
            .strip_prefix(b"t")
            .is_some_and(|bytes| etf::decode(bytes).is_ok())
    });
    assert!(events >= 2 && terms >= 2, "{events} {terms}");
    for first in *b"metfs" {
        assert!(
            count("records", |bytes| bytes.first() == Some(&first)) > 0,
            "{first}"
        );
    }
}

/// Files of the state folder, each behind the letter that says which it is.
fn records(desk: &Desk) {
    let (figures, seen) = crate::inputs::node_files();
    put("records", "figures", &[b"f", &figures[..]].concat());
    put("records", "seen", &[b"s", &seen[..]].concat());
    let mut files = Vec::new();
    walk(&desk.path().join("state"), &mut files);
    let mut runs: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for file in files {
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        let letter = match name.as_str() {
            "meta.json" => b'm',
            "events.jsonl" => b'e',
            _ if name.ends_with(".etf") => b't',
            _ => continue,
        };
        let parent = file.parent().unwrap_or(Path::new("")).to_owned();
        let known = runs.len();
        let run = *runs.entry(parent).or_insert(known);
        let mut bytes = vec![letter];
        bytes.extend(fs::read(&file).expect("readable"));
        if bytes.len() <= 2 * LONGEST {
            put("records", &format!("{run}-{name}"), &bytes);
        }
    }
}
