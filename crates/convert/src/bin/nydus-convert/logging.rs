//! What is being done, on stderr.

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// How much is logged, and in which form.
#[derive(Debug, Args)]
pub struct Log {
    /// Log what is done: sources, layers, retries; twice for every request and choice
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Log")]
    pub verbose: u8,
    /// Form of the log on stderr
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, help_heading = "Log", env = "NYDUS_CONVERT_LOG_FORMAT")]
    pub log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object in each line
    Json,
}

impl Log {
    /// Starts the log. `RUST_LOG` overrides the level.
    pub fn start(&self) {
        start(
            match self.verbose {
                0 => "warn",
                1 => "info",
                _ => "debug",
            },
            self.log_format,
        );
    }
}

/// Logs from a level on.
pub fn start(level: &str, format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // `init` would take records of the crate `log` too: the HTTP library's have whole requests, with their passwords.
    let started = match format {
        LogFormat::Text => tracing::subscriber::set_global_default(log.without_time().finish()),
        LogFormat::Json => tracing::subscriber::set_global_default(log.json().flatten_event(true).finish()),
    };
    if let Err(error) = started {
        eprintln!("warning: no log: {error}");
    }
}
