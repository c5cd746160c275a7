//! What `Authorization` a registry gets: nothing until it asks, then what it asks for (basic, or a token from where it
//! says), and a new token when the old one has run out, be it in the middle of a push.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::challenge::Challenge;
use super::http::{Answer, Payload, Request};
use super::login::{Login, basic};
use super::url::{Scheme, Url, is_loopback};

/// Life of a token that does not say how long it lives (distribution, `token-authentication.md`).
const DEFAULT_LIFE: u64 = 60;
/// No process lives longer.
const LONGEST_LIFE: f64 = 1e9;
/// Bytes of an answer with a token that are read.
pub(super) const MAX_TOKEN_ANSWER: u64 = 1 << 20;
/// How we call ourselves to who gives tokens.
const CLIENT_ID: &str = "nydus-convert";

/// What a registry is told at the moment.
#[derive(Default)]
pub(super) enum Auth {
    /// Nothing.
    #[default]
    Nothing,
    /// Name and password, or a token that does not change.
    Fixed(String),
    /// A token.
    Bearer(Token),
}

/// A token, and where the next one comes from.
pub(super) struct Token {
    header: String,
    /// When it is better replaced before it is refused.
    until: Instant,
    pub service: TokenService,
}

/// Who gives tokens.
#[derive(Clone)]
pub(super) struct TokenService {
    realm: Url,
    service: Option<String>,
    /// The rights that what was refused takes.
    scope: Option<String>,
}

impl Auth {
    /// The header's value.
    pub fn header(&self) -> Option<&str> {
        match self {
            Self::Nothing => None,
            Self::Fixed(header) => Some(header),
            Self::Bearer(token) => Some(&token.header),
        }
    }

    /// Who to ask for a new token, if this one runs out.
    pub fn stale(&self) -> Option<TokenService> {
        match self {
            Self::Bearer(token) if Instant::now() >= token.until => Some(token.service.clone()),
            _ => None,
        }
    }
}

/// What to do about an answer 401.
pub(super) enum Demand {
    /// Send name and password.
    Basic,
    /// Get a token.
    Bearer(TokenService),
}

impl Demand {
    /// What the registry at `registry` demands; none if it is nothing we can do or should do.
    pub fn of(answer: &Answer, registry: &Url) -> Option<Self> {
        let challenges: Vec<Challenge> =
            answer.headers("www-authenticate").flat_map(Challenge::parse_all).collect();
        let bearer = challenges.iter().find(|challenge| challenge.scheme == "bearer");
        if let Some(challenge) = bearer {
            let realm = Url::parse(challenge.get("realm")?)?;
            let [service, scope] = ["service", "scope"].map(|name| challenge.get(name).map(str::to_owned));
            // Whoever keeps the registry secret keeps the password secret.
            let leaks = registry.scheme == Scheme::Https
                && realm.scheme == Scheme::Http
                && !is_loopback(realm.host());
            return (!leaks).then_some(Self::Bearer(TokenService { realm, service, scope }));
        }
        challenges.iter().any(|challenge| challenge.scheme == "basic").then_some(Self::Basic)
    }
}

impl TokenService {
    /// The host that gives tokens.
    pub fn host(&self) -> &str {
        &self.realm.authority
    }

    /// The rights that what was refused takes, if the registry says it.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref().filter(|scope| !scope.is_empty())
    }

    /// Asks for a token with the rights `scopes`, as `login`. `form` keeps the text of a form alive.
    pub fn request<'a>(&self, login: &Login, scopes: &[String], form: &'a mut String) -> Request<'a> {
        if let Login::IdentityToken(token) = login {
            *form = format!("grant_type=refresh_token&client_id={CLIENT_ID}&refresh_token={}", escape(token));
            form.push_str(&format!("&scope={}", escape(&scopes.join(" "))));
            form.extend(self.service.iter().map(|service| format!("&service={}", escape(service))));
            return Request::new("POST", self.realm.clone())
                .header("content-type", "application/x-www-form-urlencoded")
                .payload(Payload::Bytes(form.as_bytes()));
        }
        let mut url = self.realm.clone();
        if let Some(service) = &self.service {
            url = url.with_query("service", &escape(service));
        }
        for scope in scopes {
            url = url.with_query("scope", &escape(scope));
        }
        let request = Request::new("GET", url);
        match login {
            Login::User { name, password } => request.header("authorization", basic(name, password)),
            _ => request,
        }
    }

    /// The token in an answer. Services write the life of a token as they like; what is none is passed over.
    pub fn token(self, answer: &[u8]) -> Option<Token> {
        #[derive(Deserialize)]
        struct Given {
            token: Option<String>,
            access_token: Option<String>,
            expires_in: Option<Box<RawValue>>,
        }
        let given: Given = serde_json::from_slice(answer).ok()?;
        let token =
            [given.token, given.access_token].into_iter().flatten().find(|token| !token.is_empty())?;
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let life = given.expires_in.and_then(|life| life.get().trim_matches('"').parse::<f64>().ok());
        let life =
            life.filter(|life| *life >= 1.0).map_or(DEFAULT_LIFE, |life| life.min(LONGEST_LIFE) as u64);
        // Nine tenths of it: a request is under way for a while.
        let until = Instant::now().checked_add(Duration::from_secs(life) * 9 / 10)?;
        Some(Token { header: format!("Bearer {token}"), until, service: self })
    }
}

/// Percent-encoding for queries and forms.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b',' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn service() -> TokenService {
        let realm = Url::parse("https://auth.example/token?a=b").unwrap();
        TokenService { realm, service: Some("the registry".to_owned()), scope: None }
    }

    #[test]
    fn tokens_are_asked_for() {
        let scopes = ["repository:a/b:pull,push".to_owned(), "repository:c:pull".to_owned()];
        let mut form = String::new();
        let user = Login::User { name: "n".to_owned(), password: "p".to_owned() };
        let request = service().request(&user, &scopes, &mut form);
        assert_eq!(
            request.url.to_string(),
            "https://auth.example/token?a=b&service=the%20registry&scope=repository:a/b:pull,push&scope=repository:c:pull"
        );
        assert_eq!(request.headers, [("authorization", "Basic bjpw".to_owned())]);
        let request = service().request(&Login::IdentityToken("t&t".to_owned()), &scopes, &mut form);
        assert_eq!(request.method, "POST");
        assert!(
            form.contains("&refresh_token=t%26t&scope=repository:a/b:pull,push%20repository:c:pull&"),
            "{form}"
        );
    }

    #[test]
    fn tokens_are_read() {
        let read = |text: &str| service().token(text.as_bytes()).map(|token| token.header);
        assert_eq!(read(r#"{"token":"a","access_token":"b"}"#), Some("Bearer a".to_owned()));
        assert_eq!(
            read(r#"{"access_token":"b","expires_in":18446744073709551615}"#),
            Some("Bearer b".to_owned())
        );
        for life in ["-1", "0", "300.5", "1e400", "\"300\"", "\"soon\"", "null", "[]"] {
            let answer = format!(r#"{{"token":null,"access_token":"b","expires_in":{life},"issued_at":7}}"#);
            assert_eq!(read(&answer), Some("Bearer b".to_owned()), "{life}");
        }
        for bad in ["", "{}", "[]", r#"{"token":""}"#, r#"{"token":"a\r\nx: y"}"#] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
