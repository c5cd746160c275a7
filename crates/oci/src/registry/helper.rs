//! Credential helpers: programs `docker-credential-NAME`, which get a host and answer with JSON.

use std::io::{self, Read, Write as _};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::error::RegistryError;
use super::login::Login;
use crate::text::excerpt;

/// User name that says that the secret is an identity token (docker credential helpers).
const TOKEN_USER: &str = "<token>";
/// How long a helper may take; some ask their user.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of an answer that are read.
const MAX_ANSWER: u64 = 1 << 20;

/// Asks the helper `name` for `host`; nothing if it knows nothing.
pub(super) fn ask(name: &str, host: &str) -> Result<Option<Login>, RegistryError> {
    let failed = |message: &str| RegistryError::Helper {
        name: excerpt(name),
        host: host.to_owned(),
        message: excerpt(message.trim()),
    };
    if name.contains('/') {
        return Err(failed("a helper is a name, not a path"));
    }
    let mut command = Command::new(format!("docker-credential-{name}"));
    let said = run(command.arg("get"), host, PATIENCE).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed("no such program is installed"),
        _ => failed(&error.to_string()),
    })?;
    said.login().map_err(|message| failed(&message))
}

/// What a helper answered.
struct Said {
    status: ExitStatus,
    output: Vec<u8>,
    errors: Vec<u8>,
}

impl Said {
    fn login(&self) -> Result<Option<Login>, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Found {
            #[serde(default)]
            username: String,
            #[serde(default)]
            secret: String,
        }
        if !self.status.success() {
            let output = String::from_utf8_lossy(&self.output);
            let errors = String::from_utf8_lossy(&self.errors);
            let is_absence = |text: &str| text.to_ascii_lowercase().contains("credentials not found");
            if is_absence(&output) || is_absence(&errors) {
                return Ok(None);
            }
            return match (output.trim(), errors.trim()) {
                ("", "") => Err(self.status.to_string()),
                ("", text) | (text, _) => Err(text.to_owned()),
            };
        }
        // What it said may be a secret: it is not repeated.
        let found: Found =
            serde_json::from_slice(&self.output).map_err(|_| "its answer is no JSON".to_owned())?;
        Ok(match found {
            Found { secret, .. } if secret.is_empty() => None,
            Found { username, secret } if username == TOKEN_USER => Some(Login::IdentityToken(secret)),
            Found { username, .. } if username.is_empty() => None,
            Found { username, secret } => Some(Login::User { name: username, password: secret }),
        })
    }
}

/// Runs a program with `input`, for no longer than `patience`.
fn run(command: &mut Command, input: &str, patience: Duration) -> io::Result<Said> {
    const STEP: Duration = Duration::from_millis(10);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let until = Instant::now() + patience;
    let output = child.stdout.take().map(collect);
    let errors = child.stderr.take().map(collect);
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not listen will say so in its own words. A host is shorter than a pipe is long.
        let _ = stdin.write_all(input.as_bytes());
    }
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= until {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other(format!("no answer in {} s", patience.as_secs())));
        }
        thread::sleep(STEP);
    };
    // Children of its own may keep the pipes open.
    let all = |pipe: Option<Receiver<Vec<u8>>>| {
        pipe.and_then(|pipe| pipe.recv_timeout(Duration::from_secs(1)).ok()).unwrap_or_default()
    };
    Ok(Said { status, output: all(output), errors: all(errors) })
}

/// All that comes out of a pipe, read beside.
fn collect(pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before a failure counts; no receiver is no matter.
        let _ = pipe.take(MAX_ANSWER).read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answer(script: &str) -> Result<Option<Login>, String> {
        run(Command::new("sh").args(["-c", script]), "r.example", Duration::from_secs(1))
            .map_err(|error| error.to_string())?
            .login()
    }

    #[test]
    fn answers() {
        let user = || Some(Login::User { name: "u".to_owned(), password: "p".to_owned() });
        for (script, login) in [
            (r#"echo '{"ServerURL":"x","Username":"u","Secret":"p"}'"#, user()),
            (r#"echo "{\"Username\":\"$(cat)\",\"Secret\":\"\"}""#, None),
            (r#"echo '{"Username":"<token>","Secret":"p"}'"#, Some(Login::IdentityToken("p".to_owned()))),
            (r#"echo '{"Username":"","Secret":""}'"#, None),
            (r#"echo '{"Username":"","Secret":"p"}'"#, None),
            ("echo 'credentials not found in native keychain'; exit 1", None),
            ("echo 'Error: Credentials Not Found' >&2; exit 1", None),
        ] {
            assert_eq!(answer(script), Ok(login), "{script}");
        }
        for (script, words) in [
            ("echo broken; echo more >&2; exit 1", "broken"),
            ("echo locked >&2; exit 2", "locked"),
            ("exit 3", "exit status: 3"),
            ("echo garbage", "no JSON"),
            ("exec sleep 30", "no answer in 1 s"),
        ] {
            let error = answer(script).unwrap_err();
            assert!(error.contains(words) && !error.contains("garbage"), "{script}: {error}");
        }
    }

    #[test]
    fn absent_helpers() {
        let error = ask("that-is-not-installed", "r.example").unwrap_err().to_string();
        assert!(error.contains("docker-credential-that-is-not-installed"), "{error}");
        assert!(error.contains("no such program is installed"), "{error}");
    }
}
