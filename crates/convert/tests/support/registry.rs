//! A real registry on loopback: Debian's `docker-registry` with a storage directory of its own.

use super::tools::Tool;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running registry. Dropping it ends the process and removes what it stored.
pub struct Registry {
    child: Child,
    dir: TempDir,
    address: SocketAddr,
}

/// What a registry wants of its clients.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wants<'a> {
    /// The user `user` with the password `secret`.
    pub password: bool,
    /// TLS, with this certificate and key.
    pub tls: Option<(&'a Path, &'a Path)>,
}

/// bcrypt of `secret`, cost 5.
const HTPASSWD: &str = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

impl Registry {
    /// Starts a registry that speaks plain HTTP, wants no credentials and allows deletion; returns when it answers.
    /// Needs the tool `docker-registry`.
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
        panic!("docker-registry does not start\n{failures}")
    }

    /// `127.0.0.1:PORT`, as it stands in a reference.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// What the registry has logged, requests included.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn start_on(address: SocketAddr, wants: Wants<'_>) -> Result<Registry, String> {
        let dir = TempDir::new().unwrap();
        let mut config = serde_json::json!({
            "version": "0.1",
            "log": { "level": "info" },
            "storage": {
                "filesystem": { "rootdirectory": dir.path().join("storage") },
                "delete": { "enabled": true },
            },
            "http": { "addr": address.to_string() },
        });
        if wants.password {
            let path = dir.path().join("htpasswd");
            fs::write(&path, HTPASSWD).unwrap();
            config["auth"] = serde_json::json!({ "htpasswd": { "realm": "tests", "path": path } });
        }
        if let Some((certificate, key)) = wants.tls {
            config["http"]["tls"] = serde_json::json!({ "certificate": certificate, "key": key });
        }
        // JSON is YAML, which it reads.
        fs::write(dir.path().join("config.yml"), config.to_string()).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let child = Tool::get("docker-registry")
            .command()
            .arg("serve")
            .arg(dir.path().join("config.yml"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
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

    fn answers(&self) -> bool {
        let ask = || -> std::io::Result<Vec<u8>> {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET /v2/ HTTP/1.0\r\n\r\n")?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(answer)
        };
        // To a plain question, one that speaks TLS says 400.
        ask().is_ok_and(|answer| answer.starts_with(b"HTTP/1.0 "))
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
