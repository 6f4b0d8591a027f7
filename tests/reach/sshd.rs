//! A real sshd on a free port of 127.0.0.1, for the current user and keys of its own, and a configuration of ssh for it.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{Guarded, free_port};

/// An sshd that ends when this is dropped.
pub struct Sshd {
    folder: TempDir,
    process: Guarded,
}

impl Sshd {
    /// One that forwards to everywhere.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// One with more lines in its configuration.
    pub fn start_with(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        for key in ["host", "id", "other"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(path(key))
                .stdin(Stdio::null())
                .status();
            assert!(made.expect("ssh-keygen starts").success());
        }
        std::fs::copy(path("id.pub"), path("authorized")).expect("a file can be copied");
        // sshd of root wants it, and Debian's service makes it.
        let _ = std::fs::create_dir_all("/run/sshd");
        let program = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .expect("sshd is installed (scripts/setup.sh)");
        for _ in 0..5 {
            let port = free_port();
            let at = |name: &str| path(name).display().to_string();
            let text = format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
                 StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n{more}\n",
                at("host"),
                at("authorized"),
            );
            std::fs::write(path("sshd_config"), text).expect("a file can be written");
            let command = [program, "-D", "-e", "-f", &at("sshd_config")];
            let process = Guarded::start(&command, &path("sshd.log"), &[]);
            let host = std::fs::read_to_string(path("host.pub")).expect("the key is there");
            let host: Vec<&str> = host.split(' ').take(2).collect();
            let known = format!("[127.0.0.1]:{port} {}\n", host.join(" "));
            std::fs::write(path("known"), known).expect("a file can be written");
            for (name, key) in [("ssh_config", "id"), ("stranger_config", "other")] {
                let text = format!(
                    "Host bastion\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {}\n  IdentitiesOnly yes\n  \
                     IdentityAgent none\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n  \
                     StrictHostKeyChecking yes\n",
                    at(key),
                    at("known"),
                );
                std::fs::write(path(name), text).expect("a file can be written");
            }
            let until = Instant::now() + Duration::from_secs(5);
            while Instant::now() < until {
                if TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok() {
                    return Self { folder, process };
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        panic!("sshd does not start");
    }

    /// Value of UPDO_SSH: the host `bastion` is this sshd.
    pub fn ssh(&self) -> String {
        format!("ssh -F {}", self.path("ssh_config").display())
    }

    /// The same with a key that it does not know.
    pub fn stranger(&self) -> String {
        format!("ssh -F {}", self.path("stranger_config").display())
    }

    /// One of its files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Ends the connections that there are, as a cut line does.
    pub fn cut(&self) {
        let listener = self.process.pid().to_string();
        for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let parent = stat
                .rsplit(") ")
                .next()
                .and_then(|rest| rest.split(' ').nth(1));
            if parent == Some(&listener) {
                let kill = Command::new("kill")
                    .arg("-9")
                    .arg(entry.file_name())
                    .status();
                assert!(kill.expect("kill starts").success());
            }
        }
    }

    /// Ends it.
    pub fn end(&mut self) {
        self.process.end();
    }
}

/// The processes whose command line has a text: `(pid, command line)`.
pub fn processes(text: &str) -> Vec<(String, String)> {
    let all = std::fs::read_dir("/proc").expect("/proc").flatten();
    all.filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(text)
            .then(|| (entry.file_name().to_string_lossy().into_owned(), line))
    })
    .collect()
}
