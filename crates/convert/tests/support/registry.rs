//! Real registries on loopback, each with a storage directory of its own.

use super::tools::{Tool, available};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running registry. Dropping it ends the process and removes what it stored.
pub struct Registry {
    child: Child,
    dir: TempDir,
    address: SocketAddr,
}

/// Implementations of registries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Program {
    /// Debian's `docker-registry`: takes anything, mounts blobs, has no list of referrers.
    #[default]
    Distribution,
    /// zot: takes what the OCI specification knows and nothing else, lists referrers.
    Zot,
    /// That of crane: nothing but what the specification demands; no password, no TLS.
    Crane,
}

impl Program {
    /// Those with all features that this machine has; which it has not is told as [`available`] does.
    pub fn all() -> impl Iterator<Item = Program> {
        [Program::Distribution, Program::Zot].into_iter().filter(|program| program.is_available())
    }

    /// Whether this machine has it, or a line that says so.
    pub fn is_available(&self) -> bool {
        available(&[self.tool()])
    }

    fn tool(self) -> &'static str {
        match self {
            Program::Distribution => "docker-registry",
            Program::Zot => "zot",
            Program::Crane => "crane",
        }
    }

    /// The configuration of a registry that keeps what it has in `dir`.
    fn config(self, dir: &Path, address: SocketAddr, wants: Wants<'_>) -> Value {
        let (storage, htpasswd) = (dir.join("storage"), dir.join("htpasswd"));
        let mut config = match self {
            Program::Distribution => json!({
                "version": "0.1",
                "log": { "level": "info" },
                "storage": { "filesystem": { "rootdirectory": storage }, "delete": { "enabled": true } },
                "http": { "addr": address.to_string() },
            }),
            Program::Crane => json!({}),
            Program::Zot => json!({
                "distSpecVersion": "1.0.1",
                "log": { "level": "info" },
                "storage": { "rootDirectory": storage },
                "http": { "address": address.ip().to_string(), "port": address.port().to_string() },
            }),
        };
        if wants.password {
            match self {
                Program::Distribution => {
                    config["auth"] = json!({ "htpasswd": { "realm": "tests", "path": htpasswd } });
                }
                Program::Zot => config["http"]["auth"] = json!({ "htpasswd": { "path": htpasswd } }),
                Program::Crane => panic!("crane's registry knows no passwords"),
            }
        }
        if let Some((certificate, key)) = wants.tls {
            config["http"]["tls"] = match self {
                Program::Distribution => json!({ "certificate": certificate, "key": key }),
                Program::Zot => json!({ "cert": certificate, "key": key }),
                Program::Crane => panic!("crane's registry knows no TLS"),
            };
        }
        if let Some(ca) = wants.client_of {
            config["http"]["tls"]["clientcas"] = json!([ca]);
        }
        config
    }
}

/// What a registry wants of its clients.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wants<'a> {
    /// Whose registry it is.
    pub program: Program,
    /// The user `user` with the password `secret`.
    pub password: bool,
    /// TLS, with this certificate and key.
    pub tls: Option<(&'a Path, &'a Path)>,
    /// Over TLS, a certificate by this authority (`docker-registry` alone).
    pub client_of: Option<&'a Path>,
}

/// bcrypt of `secret`, cost 5.
const HTPASSWD: &str = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

impl Registry {
    /// Starts a registry that speaks plain HTTP, wants no credentials and allows deletion; returns when it answers.
    /// Needs the tool `docker-registry`; others need theirs.
    pub fn start() -> Registry {
        Registry::that(Wants::default())
    }

    /// The same, for clients that bring what it `wants`.
    pub fn that(wants: Wants<'_>) -> Registry {
        // The port is free when looked at, but another process may take it first: then the registry ends at once.
        let mut failures = String::new();
        for _ in 0..5 {
            match Registry::start_on(free_address(), wants) {
                Ok(registry) => return registry,
                Err(log) => failures.push_str(&log),
            }
        }
        panic!("{:?} does not start\n{failures}", wants.program)
    }

    /// A registry of `program` without further wishes.
    pub fn of(program: Program) -> Registry {
        Registry::that(Wants { program, ..Wants::default() })
    }

    /// `127.0.0.1:PORT`, as it stands in a reference.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The file that holds a blob in a `docker-registry`.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let blobs = self.dir.path().join("storage/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// What the registry has logged, requests included.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn start_on(address: SocketAddr, wants: Wants<'_>) -> Result<Registry, String> {
        let dir = TempDir::new().unwrap();
        let config = wants.program.config(dir.path(), address, wants);
        // JSON is YAML, which docker-registry reads; zot goes by the name.
        let path = dir.path().join("config.json");
        fs::write(&path, config.to_string()).unwrap();
        fs::write(dir.path().join("htpasswd"), HTPASSWD).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let mut command = Tool::get(wants.program.tool()).command();
        match wants.program {
            Program::Crane => command.args(["registry", "serve", "--address", &address.to_string()]),
            Program::Distribution | Program::Zot => command.arg("serve").arg(path),
        };
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        let mut registry = Registry { child, dir, address };
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(30) {
            if registry.child.try_wait().unwrap().is_some() {
                break;
            }
            if registry.answers() {
                return Ok(registry);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(registry.log())
    }

    /// The answer to a plain `GET`, head and all.
    pub fn get(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn answers(&self) -> bool {
        // To a plain question, one that speaks TLS says 400.
        self.get("/v2/").is_ok_and(|answer| answer.starts_with("HTTP/1.0 "))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}
