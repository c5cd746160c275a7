//! Arguments for registries: as they are typed, and what they mean for the library.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use nydus_convert::oci::registry::{Credentials, Login, Retry};
use nydus_convert::oci::{RegistryOptions, StreamLimits};

use crate::values;

/// For commands that read and write.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registries")]
pub struct Registries {
    /// Credentials for the source
    #[arg(long, value_name = "USER:PASSWORD", value_parser = login, env = "NYDUS_CONVERT_SRC_CREDS", hide_env_values = true)]
    pub src_creds: Option<Login>,
    /// Credentials for the target
    #[arg(long, value_name = "USER:PASSWORD", value_parser = login, env = "NYDUS_CONVERT_DEST_CREDS", hide_env_values = true)]
    pub dest_creds: Option<Login>,
    /// Speak plain HTTP with the source's registry
    #[arg(long, env = "NYDUS_CONVERT_SRC_PLAIN_HTTP")]
    pub src_plain_http: bool,
    /// Speak plain HTTP with the target's registry
    #[arg(long, env = "NYDUS_CONVERT_DEST_PLAIN_HTTP")]
    pub dest_plain_http: bool,
    /// Take any certificate of the source's registry
    #[arg(long, env = "NYDUS_CONVERT_SRC_INSECURE")]
    pub src_insecure: bool,
    /// Take any certificate of the target's registry
    #[arg(long, env = "NYDUS_CONVERT_DEST_INSECURE")]
    pub dest_insecure: bool,
    /// PEM certificates of authorities to trust for the source, beside the system's
    #[arg(long, value_name = "FILE", env = "NYDUS_CONVERT_SRC_CA_FILE")]
    pub src_ca_file: Option<PathBuf>,
    /// PEM certificates of authorities to trust for the target, beside the system's
    #[arg(long, value_name = "FILE", env = "NYDUS_CONVERT_DEST_CA_FILE")]
    pub dest_ca_file: Option<PathBuf>,
    #[command(flatten)]
    pub common: Common,
}

/// For commands that only read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registries")]
pub struct Registry {
    /// Credentials
    #[arg(long, visible_alias = "src-creds", value_name = "USER:PASSWORD", value_parser = login,
          env = "NYDUS_CONVERT_SRC_CREDS", hide_env_values = true)]
    pub creds: Option<Login>,
    /// Take any certificate of the registry
    #[arg(long, visible_alias = "src-insecure", env = "NYDUS_CONVERT_SRC_INSECURE")]
    pub insecure: bool,
    /// PEM certificates of authorities to trust, beside the system's
    #[arg(long, visible_alias = "src-ca-file", value_name = "FILE", env = "NYDUS_CONVERT_SRC_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct Common {
    /// File with credentials [default: where podman and docker look]
    #[arg(long, value_name = "FILE", env = "NYDUS_CONVERT_AUTHFILE")]
    pub authfile: Option<PathBuf>,
    /// Speak plain HTTP with registries that are not on this machine
    #[arg(long, env = "NYDUS_CONVERT_PLAIN_HTTP")]
    pub plain_http: bool,
    /// Retries after temporary errors
    #[arg(long, value_name = "N", default_value_t = Retry::default().times, env = "NYDUS_CONVERT_RETRY_TIMES")]
    pub retry_times: u32,
    /// Wait before the second try; it doubles from try to try. A registry's Retry-After goes before it
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time, env = "NYDUS_CONVERT_RETRY_DELAY")]
    pub retry_delay: Duration,
    /// How long to wait for a connection, and for the next bytes to move
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = time, env = "NYDUS_CONVERT_TIMEOUT")]
    pub timeout: Duration,
    /// Directory for temporary files: upload buffers, downloaded blobs, data not prefetched [default: the system's]
    #[arg(long, value_name = "DIR", help_heading = "Resources", env = "NYDUS_CONVERT_TMPDIR")]
    pub tmpdir: Option<PathBuf>,
    /// Refuse zstd layers that need a larger window; large ones are read one at a time [default: 512MiB]
    #[arg(long, value_name = "SIZE", help_heading = "Resources", value_parser = values::size, env = "NYDUS_CONVERT_MAX_ZSTD_WINDOW")]
    pub max_zstd_window: Option<u64>,
}

impl Registries {
    /// How to speak with the source's registry.
    pub fn source(&self) -> RegistryOptions {
        let (login, plain_http) = (self.src_creds.as_ref(), self.src_plain_http);
        RegistryOptions {
            insecure: self.src_insecure,
            ca_file: self.src_ca_file.clone(),
            ..self.common.options(login, plain_http)
        }
    }

    /// How to speak with the target's registry.
    pub fn target(&self) -> RegistryOptions {
        let (login, plain_http) = (self.dest_creds.as_ref(), self.dest_plain_http);
        RegistryOptions {
            insecure: self.dest_insecure,
            ca_file: self.dest_ca_file.clone(),
            ..self.common.options(login, plain_http)
        }
    }
}

impl Registry {
    /// How to speak with the registry.
    pub fn source(&self) -> RegistryOptions {
        RegistryOptions {
            insecure: self.insecure,
            ca_file: self.ca_file.clone(),
            ..self.common.options(self.creds.as_ref(), false)
        }
    }
}

impl Common {
    /// Largest window of zstd layers.
    pub fn max_zstd_window(&self) -> u64 {
        self.max_zstd_window.unwrap_or(StreamLimits::DEFAULT_ZSTD_WINDOW)
    }

    fn options(&self, login: Option<&Login>, plain_http: bool) -> RegistryOptions {
        RegistryOptions {
            plain_http: plain_http || self.plain_http,
            credentials: match (login, &self.authfile) {
                (Some(login), _) => Credentials::Given(login.clone()),
                (None, Some(file)) => Credentials::File(file.clone()),
                (None, None) => Credentials::Environment,
            },
            retry: Retry { times: self.retry_times, delay: self.retry_delay },
            timeout: self.timeout,
            staging: self.tmpdir.clone(),
            max_zstd_window: self.max_zstd_window(),
            ..RegistryOptions::default()
        }
    }
}

/// `USER:PASSWORD`.
fn login(text: &str) -> Result<Login, String> {
    // The text is a secret: no message repeats it.
    let (name, password) = text.split_once(':').ok_or("credentials are written USER:PASSWORD")?;
    Ok(Login::User { name: name.to_owned(), password: password.to_owned() })
}

/// Seconds, or a number with `ms`, `s`, `m` or `h`.
fn time(text: &str) -> Result<Duration, String> {
    let problem = || format!("'{text}' is not a time; write it like 10s, 500ms or 2m");
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let number: u64 = digits.parse().map_err(|_| problem())?;
    let milliseconds = match unit.trim() {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(problem()),
    };
    number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(problem)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times() {
        for (text, milliseconds) in
            [("0", 0), ("7", 7000), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(time(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "1.5s", "-1", "1d", "99999999999999999h"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn messages_keep_secrets() {
        assert!(!login("secret").unwrap_err().contains("secret"));
    }
}
