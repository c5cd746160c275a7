//! A registry in memory that obeys the distribution specification, except for a habit that it is given. One connection a
//! request.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use super::sha256_hex;

/// What the registry does instead of obeying; `None` if it obeys.
pub type Habit = fn(&Request, &Shared) -> Option<Answer>;

/// A request, as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.path.contains(part)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What is answered; status 0 closes the connection without a word.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn of(status: u16) -> Answer {
        Answer { status, ..Answer::default() }
    }

    /// With a header; one of that name before is replaced.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn without(mut self, name: &str) -> Answer {
        self.headers.retain(|(known, _)| *known != name);
        self
    }

    #[must_use]
    pub fn saying(mut self, body: impl Into<Vec<u8>>) -> Answer {
        self.body = body.into();
        self
    }
}

/// What the registry has.
#[derive(Default)]
pub struct State {
    pub blobs: HashMap<String, Vec<u8>>,
    pub manifests: HashMap<String, (String, Vec<u8>)>,
    pub uploads: HashMap<String, Vec<u8>>,
    /// Requests so far: method and path.
    pub log: Vec<String>,
    /// Whether the first download of each blob ends in its middle.
    pub cuts: bool,
    /// Where that was done.
    cut: HashSet<String>,
}

pub struct Shared {
    pub host: SocketAddr,
    state: Mutex<State>,
}

impl Shared {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What the specification wants.
    pub fn obey(&self, request: &Request) -> Answer {
        let mut state = self.state();
        let last = request.path.rsplit('/').next().unwrap_or_default().to_owned();
        let digest =
            request.query.split('&').find_map(|part| part.strip_prefix("digest=")).map(str::to_owned);
        match request.method.as_str() {
            "GET" if request.path == "/v2/" => Answer::of(200),
            "POST" => {
                let id = format!("up{}", state.log.len());
                state.uploads.insert(id.clone(), Vec::new());
                Answer::of(202).with("Location", format!("/v2/app/blobs/uploads/{id}"))
            }
            "PATCH" | "PUT" if request.path.contains("/uploads/") => {
                let Some(upload) = state.uploads.get_mut(&last) else { return Answer::of(404) };
                let start =
                    request.header("content-range").map(|range| range.split('-').next().unwrap().to_owned());
                if start.is_some_and(|start| start != upload.len().to_string()) {
                    return Answer::of(416);
                }
                upload.extend(&request.body);
                if let Some(digest) = digest {
                    let bytes = state.uploads.remove(&last).unwrap();
                    if format!("sha256:{}", sha256_hex(&bytes)) != digest {
                        return Answer::of(400).saying(r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#);
                    }
                    state.blobs.insert(digest, bytes);
                    return Answer::of(201);
                }
                let range = format!("0-{}", upload.len() - 1);
                Answer::of(202).with("Location", request.path.clone()).with("Range", range)
            }
            "GET" if request.path.contains("/uploads/") => match state.uploads.get(&last) {
                Some(upload) => Answer::of(204).with("Range", format!("0-{}", upload.len().max(1) - 1)),
                None => Answer::of(404),
            },
            "PUT" => {
                let digest = format!("sha256:{}", sha256_hex(&request.body));
                let kind = request.header("content-type").unwrap_or_default().to_owned();
                state.manifests.insert(last, (kind.clone(), request.body.clone()));
                state.manifests.insert(digest, (kind, request.body.clone()));
                Answer::of(201)
            }
            "GET" | "HEAD" if request.path.contains("/manifests/") => match state.manifests.get(&last) {
                Some((kind, bytes)) => {
                    Answer::of(200).with("Content-Type", kind.clone()).saying(bytes.clone())
                }
                None => Answer::of(404),
            },
            "GET" | "HEAD" => match state.blobs.get(&last) {
                Some(bytes) => Answer::of(200).saying(bytes.clone()),
                None => Answer::of(404),
            },
            "DELETE" => Answer::of(204),
            _ => Answer::of(405),
        }
    }
}

/// A running registry, until the process ends.
pub struct Mock(Arc<Shared>);

impl Mock {
    pub fn start(habit: Habit) -> Mock {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let shared = Arc::new(Shared { host: listener.local_addr().unwrap(), state: Mutex::default() });
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&served);
                thread::spawn(move || serve(stream, &shared, habit));
            }
        });
        Mock(shared)
    }

    pub fn host(&self) -> String {
        self.0.host.to_string()
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.state()
    }
}

fn serve(mut stream: TcpStream, shared: &Shared, habit: Habit) -> io::Result<()> {
    let request = read(&stream)?;
    shared.state().log.push(format!("{} {}", request.method, request.path));
    let answer = habit(&request, shared).unwrap_or_else(|| shared.obey(&request));
    if answer.status == 0 {
        return Ok(());
    }
    let answer = ranged(&request, answer);
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if answer.status != 204 {
        head.push_str(&format!("Content-Length: {}\r\n", answer.body.len()));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method != "HEAD" {
        let is_blob = request.method == "GET" && request.path.contains("/blobs/sha256:");
        let mut state = shared.state();
        let is_cut = is_blob && answer.status == 200 && state.cuts && state.cut.insert(request.path.clone());
        drop(state);
        let length = if is_cut { answer.body.len() / 2 } else { answer.body.len() };
        stream.write_all(&answer.body[..length])?;
    }
    stream.flush()
}

/// What is left of an answer from where the client wants it.
fn ranged(request: &Request, answer: Answer) -> Answer {
    let from = request
        .header("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    match from {
        Some(from) if request.method == "GET" && answer.status == 200 && from < answer.body.len() => {
            let (all, body) = (answer.body.len(), answer.body[from..].to_vec());
            let range = format!("bytes {from}-{}/{all}", all - 1);
            Answer { status: 206, body, ..answer }.with("Content-Range", range)
        }
        _ => answer,
    }
}

fn read(stream: &TcpStream) -> io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Request { method, path: path.to_owned(), query: query.to_owned(), headers, body })
}
