//! One HTTP request and its answer. With `tls.rs` the only file that knows the HTTP library.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use ureq::config::AutoHeaderValue;
use ureq::http;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, TcpConnector};
use ureq::{Agent, Body, Proxy, SendBody};

use super::distrust;
use super::error::RegistryError;
use super::proxy::Proxies;
use super::tls::Tls;
use super::trust::Trust;
use super::url::{Scheme, Url};

/// What goes with a request.
#[derive(Clone, Copy)]
pub(super) enum Payload<'a> {
    /// Nothing.
    Empty,
    /// These bytes.
    Bytes(&'a [u8]),
    /// A part of a file; given up when the flag is set.
    Part { file: &'a File, offset: u64, length: u64, cancelled: &'a AtomicBool },
}

/// A request.
pub(super) struct Request<'a> {
    pub method: &'static str,
    pub url: Url,
    pub headers: Vec<(&'static str, String)>,
    pub payload: Payload<'a>,
}

impl<'a> Request<'a> {
    /// A request without headers and payload.
    pub fn new(method: &'static str, url: Url) -> Self {
        Self { method, url, headers: Vec::new(), payload: Payload::Empty }
    }

    /// The same with one header more.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same with a payload.
    #[must_use]
    pub fn payload(mut self, payload: Payload<'a>) -> Self {
        self.payload = payload;
        self
    }

    /// Method and path, for messages.
    pub fn shown(&self) -> String {
        self.url.shown(self.method)
    }
}

/// An answer of any status; its body is still to be read.
pub(super) struct Answer(http::Response<Body>);

impl Answer {
    /// The status.
    pub fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    /// A header's first value, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers().get(name)?.to_str().ok()
    }

    /// All values of a header.
    pub fn headers<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.headers().get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// Length of the body in bytes, where stated.
    pub fn length(&self) -> Option<u64> {
        self.0.body().content_length()
    }

    /// The body, as it arrives.
    pub fn into_reader(self) -> impl Read + Send {
        self.0.into_body().into_reader()
    }

    /// At most `limit` bytes of the body.
    pub fn read(self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.into_reader().take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// What is left of a short body, so that the connection can be used again.
    pub fn discard(self) {
        const SHORT: u64 = 64 << 10;
        // Else the connection is closed, which does no harm.
        let _ = io::copy(&mut self.into_reader().take(SHORT), &mut io::sink());
    }
}

/// Sends requests; keeps connections.
pub(super) struct Http {
    proxies: Proxies,
    direct: Agent,
    http_proxy: Option<Agent>,
    https_proxy: Option<Agent>,
}

impl Http {
    /// A client that waits `timeout` for a connection and for the next bytes to move.
    pub fn new(trust: &Trust<'_>, timeout: Duration) -> Result<Self, RegistryError> {
        let tls = Arc::new(trust.config()?);
        let proxies = Proxies::from(|name| env::var(name).ok());
        let through =
            |proxy: &Option<String>| proxy.as_ref().map(|url| proxied(url, &tls, timeout)).transpose();
        Ok(Self {
            direct: agent(&tls, timeout, None),
            http_proxy: through(&proxies.http)?,
            https_proxy: through(&proxies.https)?,
            proxies,
        })
    }

    /// Sends one request once. Redirects are answers like others.
    pub fn send(&self, request: &Request<'_>) -> Result<Answer, ureq::Error> {
        let mut head = http::Request::builder().method(request.method).uri(request.url.to_string());
        for (name, value) in &request.headers {
            head = head.header(*name, value);
        }
        let agent = self.agent(&request.url);
        let answer = match request.payload {
            Payload::Empty if matches!(request.method, "GET" | "HEAD") => agent.run(head.body(())?)?,
            Payload::Empty => agent.run(head.body(&[][..])?)?,
            Payload::Bytes(bytes) => agent.run(head.body(bytes)?)?,
            Payload::Part { file, offset, length, cancelled } => {
                let mut part = Part { file, offset, left: length, cancelled };
                let head = head.header("content-length", length);
                agent.run(head.body(SendBody::from_reader(&mut part))?)?
            }
        };
        Ok(Answer(answer))
    }

    /// TLS if the host answers anything over TLS, else none.
    pub fn scheme_of(&self, authority: &str) -> Scheme {
        let url = Url { scheme: Scheme::Https, authority: authority.to_owned(), path: "/v2/".to_owned() };
        match self.send(&Request::new("GET", url)) {
            Ok(answer) => {
                answer.discard();
                Scheme::Https
            }
            Err(_) => Scheme::Http,
        }
    }

    /// The proxy between here and `url`, without credentials.
    pub fn proxy(&self, url: &Url) -> Option<&str> {
        self.proxies.between(url)
    }

    fn agent(&self, url: &Url) -> &Agent {
        let proxied = match url.scheme {
            Scheme::Http => &self.http_proxy,
            Scheme::Https => &self.https_proxy,
        };
        match proxied {
            Some(agent) if self.proxy(url).is_some() => agent,
            _ => &self.direct,
        }
    }
}

/// Whether the same request may succeed when it is sent again.
pub(super) fn is_transient(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Io(_) => tls_trouble(error).is_none(),
        ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed | ureq::Error::Protocol(_) => true,
        _ => false,
    }
}

/// Why there is no answer, for messages.
pub(super) fn reason(error: ureq::Error) -> Box<dyn std::error::Error + Send + Sync> {
    match tls_trouble(&error) {
        Some(trouble) => distrust::words(trouble).into(),
        None => error.into(),
    }
}

fn tls_trouble(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

fn agent(tls: &Arc<ClientConfig>, timeout: Duration, proxy: Option<Proxy>) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("nydus-convert/", env!("CARGO_PKG_VERSION")))
        .accept(AutoHeaderValue::None)
        .accept_encoding(AutoHeaderValue::None)
        .proxy(proxy)
        .timeout_connect(Some(timeout))
        .timeout_per_read(Some(timeout))
        .timeout_per_write(Some(timeout))
        .output_buffer_size(256 << 10)
        .input_buffer_size(256 << 10)
        .build();
    let connector = ConnectProxyConnector::default().chain(TcpConnector::default()).chain(Tls(tls.clone()));
    Agent::with_parts(config, connector, DefaultResolver::default())
}

fn proxied(url: &str, tls: &Arc<ClientConfig>, timeout: Duration) -> Result<Agent, RegistryError> {
    let proxy = Proxy::new(url).map_err(|source| RegistryError::Transport {
        host: "the proxy of the environment".to_owned(),
        request: "use".to_owned(),
        source: Box::new(source),
    })?;
    Ok(agent(tls, timeout, Some(proxy)))
}

/// Reads a part of a file without moving the file's own position.
struct Part<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
    cancelled: &'a AtomicBool,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(io::Error::other("given up"));
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let n = self.file.read_at(buffer.get_mut(..most).unwrap_or_default(), self.offset)?;
        self.offset += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}
