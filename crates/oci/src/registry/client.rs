//! Requests to one repository: authorised, redirected, tried again; and what their failures mean.

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;

use super::auth::{Auth, Demand, MAX_TOKEN_ANSWER, TokenService};
use super::certs::HostCerts;
use super::credentials::Found;
use super::error::RegistryError;
use super::http::{Answer, Http, Request, is_transient as is_transient_error, reason};
use super::login::{Login, basic};
use super::options::{Known, RegistryOptions};
use super::retry::{self, Retry, is_transient};
use super::rules::Place;
use super::trust::Trust;
use super::url::{Scheme, Url, is_loopback};
use crate::reference::RegistryName;
use crate::text::excerpt;

/// Redirects of one request that are followed.
const MAX_REDIRECTS: usize = 5;
/// Times one request is sent with other credentials.
const MAX_AUTHORISATIONS: usize = 3;
/// Bytes of an error's body that are read.
const MAX_ERROR: u64 = 8 << 10;

/// The name of Docker's registry, and the host that answers for it.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// A repository, and all it takes to speak with it.
pub(super) struct Client {
    http: Http,
    name: RegistryName,
    base: Url,
    found: Found,
    scopes: Vec<String>,
    auth: Mutex<Auth>,
    /// Whether the registry was asked what it demands of everybody.
    pinged: AtomicBool,
    retry: Retry,
    /// Set when nobody wants the results any more.
    pub cancelled: AtomicBool,
}

/// How one try ended that did not succeed.
pub(super) enum Tried {
    /// Another try may succeed, after this long if the registry said so.
    Again(RegistryError, Option<Duration>),
    /// It will not.
    Failed(RegistryError),
}

impl From<RegistryError> for Tried {
    fn from(error: RegistryError) -> Self {
        Self::Failed(error)
    }
}

impl Client {
    /// A client for the repository at `place`. `scopes` are the rights it needs, as token services call them.
    pub fn new(place: &Place, options: &RegistryOptions, scopes: Vec<String>) -> Result<Self, RegistryError> {
        let name = &place.name;
        let authority = if name.host == DOCKER_HUB.0 { DOCKER_HUB.1 } else { name.host.as_str() };
        let certs = if options.machine_rules { HostCerts::of(&name.host)? } else { HostCerts::default() };
        let known = Known { insecure: place.insecure, certs: !certs.is_empty() };
        let security = options.security(authority, known);
        let authorities = match &options.ca_file {
            Some(file) => vec![file.as_path()],
            None => certs.authorities.iter().map(PathBuf::as_path).collect(),
        };
        let client = certs.client.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        let trust = Trust { insecure: security.insecure, authorities, client };
        let http = Http::new(&trust, options.timeout)?;
        let scheme = security.scheme.unwrap_or_else(|| http.scheme_of(authority));
        let base = Url { scheme, authority: authority.to_owned(), path: format!("/v2/{}/", name.repository) };
        Ok(Self {
            http,
            found: options.credentials.find(name)?,
            name: name.clone(),
            base,
            scopes,
            auth: Mutex::default(),
            pinged: AtomicBool::new(false),
            retry: options.retry,
            cancelled: AtomicBool::new(false),
        })
    }

    /// The same, tried again as `retry` says.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// The registry, for messages.
    pub fn host(&self) -> String {
        self.name.host.clone()
    }

    /// The repository with its host, for messages.
    pub fn repository(&self) -> String {
        self.name.name()
    }

    /// `manifests/REF`, `blobs/DIGEST`, … of the repository.
    pub fn url(&self, path: &str) -> Url {
        Url { path: format!("{}{path}", self.base.path), ..self.base.clone() }
    }

    /// Tries until it works, fails for good, or has failed too often.
    pub fn retrying<T>(&self, mut attempt: impl FnMut() -> Result<T, Tried>) -> Result<T, RegistryError> {
        let mut tries = 0;
        loop {
            match attempt() {
                Ok(result) => return Ok(result),
                Err(tried) => self.pause(tried, &mut tries)?,
            }
        }
    }

    /// Waits for the next try, or gives the error if there is none.
    pub fn pause(&self, tried: Tried, tries: &mut u32) -> Result<(), RegistryError> {
        let (error, after) = match tried {
            Tried::Failed(error) => return Err(error),
            Tried::Again(error, after) => (error, after),
        };
        *tries += 1;
        match self.retry.wait(*tries, after) {
            Some(wait) if !self.is_cancelled() => {
                tracing::info!("{error}; try {} in {wait:?}", *tries + 1);
                retry::sleep(wait, &self.cancelled);
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Whether nobody wants results any more.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Sends a request, again where that may help. The answer is of any status but those that stand for a refusal or
    /// a passing trouble.
    pub fn call(&self, request: &Request<'_>) -> Result<Answer, RegistryError> {
        self.retrying(|| self.once(request))
    }

    /// Sends a request once (more often only to authorise it or where it is redirected).
    pub fn once(&self, request: &Request<'_>) -> Result<Answer, Tried> {
        let mut url = request.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let hop = Request { url: url.clone(), headers: request.headers.clone(), ..*request };
            let answer = self.authorised(&hop)?;
            let reads = matches!(request.method, "GET" | "HEAD");
            match answer.status() {
                status @ (301 | 302 | 303 | 307 | 308) if reads || matches!(status, 307 | 308) => {
                    let to = answer.header("location").and_then(|location| url.join(location));
                    let safe = |to: &Url| {
                        to.scheme == Scheme::Https || url.scheme == Scheme::Http || is_loopback(to.host())
                    };
                    match to.filter(safe) {
                        Some(to) => url = to,
                        None => return Err(self.protocol(&hop, "with a redirect to nowhere").into()),
                    }
                    answer.discard();
                }
                status if is_transient(status) => {
                    let after = answer.header("retry-after");
                    let after = after.and_then(|value| retry::retry_after(value, answer.header("date")));
                    return Err(Tried::Again(self.status(&hop, answer), after));
                }
                _ => return Ok(answer),
            }
        }
        Err(self.protocol(request, "with too many redirects").into())
    }

    /// Sends a request to wherever it goes, authorised if that is the registry.
    fn authorised(&self, request: &Request<'_>) -> Result<Answer, Tried> {
        if request.url.authority != self.base.authority {
            // Where content is kept, signed URLs are all the rights it takes.
            let answer = self.send(request)?;
            return if matches!(answer.status(), 401 | 403) {
                Err(self.denied(&request.url.authority, answer).into())
            } else {
                Ok(answer)
            };
        }
        for _ in 0..MAX_AUTHORISATIONS {
            let used = self.authorization()?;
            let mut headers = request.headers.clone();
            headers.extend(used.iter().map(|used| ("authorization", used.clone())));
            let answer = self.send(&Request { url: request.url.clone(), headers, ..*request })?;
            match answer.status() {
                401 => match Demand::of(&answer, &self.base) {
                    Some(demand) if self.comply(&demand, used.as_deref())? => answer.discard(),
                    _ => return Err(self.denied(&self.name.host, answer).into()),
                },
                // Who is unknown hears no more of a private repository, not even what to do; the registry itself says that.
                403 | 404 if used.is_none() && self.is_challenged()? => answer.discard(),
                403 => return Err(self.denied(&self.name.host, answer).into()),
                _ => return Ok(answer),
            }
        }
        let (host, what, login) = (self.host(), self.repository(), self.who(401));
        Err(RegistryError::Denied { host, what, detail: None, login }.into())
    }

    /// Whether the registry as a whole demands something, with which things may be different. It is asked once.
    fn is_challenged(&self) -> Result<bool, Tried> {
        if self.pinged.swap(true, Ordering::Relaxed) {
            return Ok(false);
        }
        let answer = self.send(&Request::new("GET", Url { path: "/v2/".to_owned(), ..self.base.clone() }))?;
        match answer.status() {
            401 => match Demand::of(&answer, &self.base) {
                Some(demand) => self.comply(&demand, None),
                None => Ok(false),
            },
            _ => Ok(false),
        }
    }

    fn send(&self, request: &Request<'_>) -> Result<Answer, Tried> {
        let answer = self.http.send(request).map_err(|error| {
            let again = is_transient_error(&error);
            let error = self.transport(request, reason(error));
            if again { Tried::Again(error, None) } else { Tried::Failed(error) }
        })?;
        tracing::debug!("{} of {}: {}", request.shown(), request.url.authority, answer.status());
        if answer.status() == 407 {
            return Err(self.transport(request, "the proxy wants (other) credentials (407)".into()).into());
        }
        Ok(answer)
    }

    fn transport(&self, request: &Request<'_>, source: Box<dyn Error + Send + Sync>) -> RegistryError {
        let host = &request.url.authority;
        let host = match self.http.proxy(&request.url) {
            Some(proxy) => format!("{host} through the proxy {proxy}"),
            None => host.clone(),
        };
        RegistryError::Transport { host, request: request.shown(), source }
    }

    fn lock(&self) -> MutexGuard<'_, Auth> {
        // A panic elsewhere leaves whole values behind.
        self.auth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to send at the moment; a token that runs out is replaced first.
    fn authorization(&self) -> Result<Option<String>, Tried> {
        let mut auth = self.lock();
        if let Some(service) = auth.stale() {
            *auth = self.fetch_token(&service, &self.scopes)?;
        }
        Ok(auth.header().map(str::to_owned))
    }

    /// Does what the registry demands, unless somebody else did since `used` was read; `false` if it was done before
    /// and did not help.
    fn comply(&self, demand: &Demand, used: Option<&str>) -> Result<bool, Tried> {
        let mut auth = self.lock();
        if auth.header() != used {
            return Ok(true);
        }
        match (demand, &self.found.login) {
            (Demand::Bearer(_), Login::RegistryToken(token)) if used.is_none() => {
                *auth = Auth::Fixed(format!("Bearer {token}"));
            }
            (Demand::Bearer(_), Login::RegistryToken(_)) => return Ok(false),
            // A token service may have honoured another of the rights that were asked for.
            (Demand::Bearer(service), _) => {
                let alone = service.scope().filter(|_| used.is_some()).map(|scope| vec![scope.to_owned()]);
                *auth = self.fetch_token(service, alone.as_ref().unwrap_or(&self.scopes))?;
            }
            (Demand::Basic, Login::User { name, password }) if used.is_none() => {
                *auth = Auth::Fixed(basic(name, password));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn fetch_token(&self, service: &TokenService, scopes: &[String]) -> Result<Auth, Tried> {
        let mut form = String::new();
        let request = service.request(&self.found.login, scopes, &mut form);
        let answer = self.send(&request)?;
        match answer.status() {
            200 => {}
            401 | 403 => return Err(self.denied(service.host(), answer).into()),
            status => {
                let error = self.status(&request, answer);
                return Err(if is_transient(status) {
                    Tried::Again(error, None)
                } else {
                    Tried::Failed(error)
                });
            }
        }
        let broken = || self.protocol(&request, "without a token");
        let bytes = answer.read(MAX_TOKEN_ANSWER).map_err(|_| Tried::Again(broken(), None))?;
        let token = service.clone().token(&bytes).ok_or_else(broken)?;
        Ok(Auth::Bearer(token))
    }

    fn denied(&self, host: &str, answer: Answer) -> RegistryError {
        let login = self.who(answer.status());
        RegistryError::Denied {
            host: host.to_owned(),
            what: self.repository(),
            detail: detail(answer),
            login,
        }
    }

    /// Who was refused.
    fn who(&self, status: u16) -> String {
        let Found { login, origin, failure } = &self.found;
        match (login, failure) {
            (Login::Anonymous, None) => "no credentials were found".to_owned(),
            (Login::Anonymous, Some(failure)) => format!("no credentials were found: {failure}"),
            _ if status == 401 => format!("{origin} are not accepted"),
            _ => format!("{origin} do not suffice"),
        }
    }

    /// The error of an answer whose status is not the one hoped for.
    pub fn status(&self, request: &Request<'_>, answer: Answer) -> RegistryError {
        let (host, status) = (request.url.authority.clone(), answer.status());
        // What servers say to plain HTTP where they want TLS; often with words that are no JSON.
        let plain = (status == 400 && request.url.scheme == Scheme::Http)
            .then(|| "over plain HTTP; it may want TLS".to_owned());
        RegistryError::Status { host, request: request.shown(), status, detail: detail(answer).or(plain) }
    }

    /// The error of an answer that is none.
    pub fn protocol(&self, request: &Request<'_>, problem: &str) -> RegistryError {
        let host = request.url.authority.clone();
        RegistryError::Protocol { host, request: request.shown(), problem: problem.to_owned() }
    }

    /// The error of something that the registry does not have.
    pub fn not_found(&self, what: String) -> RegistryError {
        RegistryError::NotFound { host: self.host(), what }
    }
}

/// The registry's own words about an error: `CODE: message`, or the text of what it says instead, which may be a page.
fn detail(answer: Answer) -> Option<String> {
    let bytes = answer.read(MAX_ERROR).ok()?;
    first_error(&bytes).or_else(|| {
        let text = String::from_utf8_lossy(&bytes);
        // What is between `<` and `>` is not for reading.
        let parts = text.split('<').enumerate();
        let shown =
            parts.map(|(n, part)| if n == 0 { part } else { part.split_once('>').map_or("", |both| both.1) });
        let words: Vec<&str> = shown.flat_map(str::split_whitespace).collect();
        (!words.is_empty()).then(|| excerpt(&words.join(" ")))
    })
}

fn first_error(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        errors: Vec<Reason>,
    }
    #[derive(Deserialize)]
    struct Reason {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let body: Body = serde_json::from_slice(bytes).ok()?;
    let first = body.errors.into_iter().next()?;
    let words = [first.code, first.message].into_iter().filter(|word| !word.is_empty());
    Some(excerpt(&words.collect::<Vec<_>>().join(": ")))
}
