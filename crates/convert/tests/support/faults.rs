//! A proxy in front of a registry that gives out tokens and does, by a seed, what networks and registries do on bad
//! days. One thread a connection, one request a connection.
//!
//! ```text
//! client ──► proxy ──► registry        GET /token  ──► the token of the day
//!              │                       anything without it  ──► 401 and where the token is
//!              │                       a body without a type  ──► 415
//!              └─ faults, drawn for every request: see [`Fault`]
//! ```

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What can happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// The token is no longer good.
    Expired,
    /// 429 with `Retry-After: 0`.
    TooMany,
    /// 500, 502 or 503.
    Server,
    /// The connection ends before anything is sent on.
    Reset,
    /// The registry does what it is asked; its answer is lost.
    LostAnswer,
    /// Half of the answer's body arrives.
    Truncated,
    /// A bit of the answer's body is another one.
    Flipped,
    /// The answer arrives in small pieces.
    Drip,
    /// The registry gets half of the request's body.
    HalfSent,
    /// The registry has forgotten the upload.
    Vanished,
}

impl Fault {
    fn befalls(self, request: &Request) -> bool {
        match self {
            // These take an answer with a body.
            Fault::Truncated | Fault::Flipped | Fault::Drip => request.method == "GET",
            Fault::HalfSent => !request.body.is_empty(),
            Fault::Vanished => request.path.contains("/uploads/") && request.method != "POST",
            _ => true,
        }
    }
}

const ALL: [Fault; 10] = [
    Fault::Expired,
    Fault::TooMany,
    Fault::Server,
    Fault::Reset,
    Fault::LostAnswer,
    Fault::Truncated,
    Fault::Flipped,
    Fault::Drip,
    Fault::HalfSent,
    Fault::Vanished,
];

/// What a day is like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Where the dice start.
    pub seed: u64,
    /// Faults in a thousand requests; twice as many where something is read.
    pub per_mille: u64,
    /// If given, only this one.
    pub only: Option<Fault>,
    /// From this request on nothing works any more: 403 where the seed is odd, 503 where it is even.
    pub end: Option<u64>,
}

/// A running proxy. Dropping it ends it.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    registry: SocketAddr,
    own: SocketAddr,
    weather: Weather,
    dice: Mutex<u64>,
    requests: AtomicU64,
    /// Number of the token that is good.
    token: AtomicU64,
    happened: Mutex<Vec<(Fault, String)>>,
    closed: AtomicBool,
}

/// A request as it came.
struct Request {
    method: String,
    path: String,
    head: Vec<String>,
    body: Vec<u8>,
}

impl Request {
    fn content_type(&self) -> Option<&str> {
        let mut fields = self.head.iter().filter_map(|line| line.split_once(':'));
        fields.find(|(name, _)| name.eq_ignore_ascii_case("content-type")).map(|(_, value)| value.trim())
    }
}

impl Proxy {
    /// Starts a proxy in front of the registry at `host`.
    pub fn start(host: &str, weather: Weather) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            registry: host.parse().unwrap(),
            own: address,
            weather,
            dice: Mutex::new(weather.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            requests: AtomicU64::new(0),
            token: AtomicU64::new(0),
            happened: Mutex::default(),
            closed: AtomicBool::new(false),
        });
        let state = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if state.closed.load(Ordering::Relaxed) {
                    break;
                }
                let state = Arc::clone(&state);
                // Connections that break are what this is for.
                thread::spawn(move || state.serve(stream));
            }
        });
        Proxy { address, shared, thread: Some(thread) }
    }

    /// `127.0.0.1:PORT`, as it stands in a reference.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Everything that went wrong, and with requests of which method.
    pub fn happened(&self) -> Vec<(Fault, String)> {
        self.shared.happened.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// The next number, xorshift64*.
    fn roll(&self, sides: u64) -> u64 {
        let mut state = self.dice.lock().unwrap();
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }

    /// One of the faults that can befall the request, or none. Reading takes few requests, so it is tried harder.
    fn draw(&self, request: &Request) -> Option<Fault> {
        let chance = self.weather.per_mille * if request.method == "GET" { 2 } else { 1 };
        if self.roll(1000) >= chance {
            return None;
        }
        let possible =
            |fault: &Fault| fault.befalls(request) && self.weather.only.is_none_or(|only| only == *fault);
        let faults: Vec<Fault> = ALL.into_iter().filter(possible).collect();
        match faults.len() as u64 {
            0 => None,
            sides => Some(faults[self.roll(sides) as usize]),
        }
    }

    fn note(&self, fault: Fault, request: &Request) {
        self.happened.lock().unwrap().push((fault, request.method.clone()));
    }

    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let request = read_request(&mut stream)?;
        if request.path.starts_with("/token") {
            let body = format!("{{\"token\":\"t{}\"}}", self.token.load(Ordering::Relaxed));
            return answer(&mut stream, "200 OK", "", &body);
        }
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        if self.weather.end.is_some_and(|end| number >= end) {
            let status = if self.weather.seed % 2 == 1 { "403 Forbidden" } else { "503 Service Unavailable" };
            return answer(&mut stream, status, "", "{}");
        }
        let fault = self.draw(&request);
        if fault == Some(Fault::Expired) {
            self.note(Fault::Expired, &request);
            self.token.fetch_add(1, Ordering::Relaxed);
        }
        let token = format!("authorization: bearer t{}", self.token.load(Ordering::Relaxed));
        if !request.head.iter().any(|line| line.to_ascii_lowercase() == token) {
            let challenge =
                format!("WWW-Authenticate: Bearer realm=\"http://{}/token\",service=\"s\"\r\n", self.own);
            return answer(&mut stream, "401 Unauthorized", &challenge, "{}");
        }
        if !request.body.is_empty() && request.content_type().is_none() {
            return answer(&mut stream, "415 Unsupported Media Type", "", "{}");
        }
        let fault = fault.filter(|fault| *fault != Fault::Expired);
        if let Some(fault) = fault {
            self.note(fault, &request);
        }
        match fault {
            Some(Fault::TooMany) => answer(&mut stream, "429 Too Many Requests", "Retry-After: 0\r\n", "{}"),
            Some(Fault::Server) => {
                let status = ["500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable"];
                answer(&mut stream, status[self.roll(3) as usize], "", "<html>")
            }
            Some(Fault::Reset) => Ok(()),
            Some(Fault::Vanished) => {
                let body = r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown"}]}"#;
                answer(&mut stream, "404 Not Found", "", body)
            }
            fault => self.forward(&mut stream, &request, fault),
        }
    }

    fn forward(&self, stream: &mut TcpStream, request: &Request, fault: Option<Fault>) -> io::Result<()> {
        let mut registry = TcpStream::connect(self.registry)?;
        registry.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut head = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", request.method, request.path);
        for line in &request.head {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            if !matches!(name.as_str(), "connection" | "authorization") {
                head.push_str(&format!("{line}\r\n"));
            }
        }
        registry.write_all(format!("{head}\r\n").as_bytes())?;
        if fault == Some(Fault::HalfSent) {
            return registry.write_all(&request.body[..request.body.len() / 2]);
        }
        registry.write_all(&request.body)?;
        let mut whole = Vec::new();
        registry.read_to_end(&mut whole)?;
        let split = whole.windows(4).position(|four| four == b"\r\n\r\n").map_or(whole.len(), |at| at + 4);
        let (head, body) = whole.split_at_mut(split);
        match fault {
            Some(Fault::LostAnswer) => Ok(()),
            Some(Fault::Truncated) => {
                stream.write_all(head)?;
                stream.write_all(&body[..body.len() / 2])
            }
            Some(Fault::Flipped) => {
                if let Some(byte) = body.len().checked_sub(1).and_then(|last| body.get_mut(last / 2)) {
                    *byte ^= 4;
                }
                stream.write_all(head)?;
                stream.write_all(body)
            }
            Some(Fault::Drip) => {
                stream.write_all(head)?;
                for piece in body.chunks((body.len() / 20).max(7)) {
                    stream.write_all(piece)?;
                    thread::sleep(Duration::from_millis(1));
                }
                Ok(())
            }
            _ => {
                stream.write_all(head)?;
                stream.write_all(body)
            }
        }
    }
}

fn read_request(stream: &mut TcpStream) -> io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut words = lines.first().map(String::as_str).unwrap_or_default().split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let head: Vec<String> = lines.into_iter().skip(1).collect();
    let length = head.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    if method.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Request { method, path, head, body })
}

fn answer(stream: &mut TcpStream, status: &str, headers: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
}
