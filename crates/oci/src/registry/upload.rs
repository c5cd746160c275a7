//! One blob to a registry: in one request, or in parts that can go on where they were cut off.
//!
//! ```text
//! HEAD  blobs/D ──► there already
//! POST  blobs/uploads/ ──► Location ─┬─ small: PUT Location?digest=D, all bytes
//!                                    └─ large: PATCH Location, one part; …; PUT Location?digest=D, nothing
//! cut off: GET Location ──► Range: 0-N, go on behind it; or begin anew
//! refused: the next way. Large: in parts, in one PATCH, in one PUT; small: in one PUT, in one PATCH
//! ```
//! What was sent is counted here: of what registries say about it in answers to PATCH, much is wrong.

use std::fs::File;

use super::client::{Client, Tried};
use super::error::RegistryError;
use super::http::{Answer, Payload, Request};
use super::url::Url;
use crate::descriptor::Blob;
use crate::digest::Digest;

/// An upload under way.
struct Session {
    location: Url,
    /// Bytes the registry has.
    offset: u64,
    /// Bytes of one part.
    part: u64,
}

/// A blob that is being pushed.
struct Push<'a> {
    client: &'a Client,
    file: &'a File,
    blob: Blob,
    part: u64,
    session: Option<Session>,
    /// Ways to send it that are not refused yet, the next one last.
    ways: Vec<Way>,
    /// Times that the registry knew nothing of an upload under way.
    vanished: u32,
}

/// How the bytes are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// In parts, each with its range; then an empty PUT.
    Parts,
    /// In one PATCH without a range; then an empty PUT.
    Stream,
    /// In one PUT.
    Whole,
}

/// Times that an upload has to vanish until another way is tried.
const VANISHES: u32 = 3;

/// Whether the repository has a blob. Some registries refuse to say, or redirect to who does, and yet give the blob.
pub(super) fn exists(client: &Client, blob: Blob) -> Result<bool, Tried> {
    let url = client.url(&format!("blobs/{}", blob.digest));
    has(client, blob, &Request::new("HEAD", url.clone())).or_else(|error| {
        // The body is not read.
        has(client, blob, &Request::new("GET", url)).map_err(|_| error)
    })
}

fn has(client: &Client, blob: Blob, request: &Request<'_>) -> Result<bool, Tried> {
    let answer = client.once(request)?;
    match answer.status() {
        200 => {
            let length = answer.header("content-length").and_then(|length| length.parse::<u64>().ok());
            Ok(length.is_none_or(|length| length == blob.size))
        }
        404 => Ok(false),
        _ => Err(client.status(request, answer).into()),
    }
}

/// Asks for a blob that another repository of the registry has; `false` if that is not possible.
pub(super) fn mount(client: &Client, digest: &Digest, from: &str) -> Result<bool, RegistryError> {
    let url = client.url("blobs/uploads/").with_query("mount", &digest.to_string()).with_query("from", from);
    let request = Request::new("POST", url);
    let answer = match client.call(&request) {
        Ok(answer) => answer,
        // It is only a shorter way, to which there may be no right; the long one tells what else is wrong.
        Err(_) => return Ok(false),
    };
    let location = answer.header("location").and_then(|location| request.url.join(location));
    let begun = location.filter(|location| answer.status() == 202 || location.path.contains("/uploads/"));
    let mounted = answer.status() == 201 && begun.is_none();
    if let Some(location) = begun {
        // An upload was begun instead; registries tidy up too.
        let _ = client.once(&Request::new("DELETE", location)).map(Answer::discard);
    }
    Ok(mounted)
}

/// Pushes the first `blob.size` bytes of `file`.
pub(super) fn push(client: &Client, file: &File, blob: Blob, part: u64) -> Result<(), RegistryError> {
    if client.retrying(|| exists(client, blob))? {
        return Ok(());
    }
    let part = part.max(1);
    let ways = match blob.size > part {
        true => vec![Way::Whole, Way::Stream, Way::Parts],
        false => vec![Way::Stream, Way::Whole],
    };
    let mut push = Push { client, file, blob, part, session: None, ways, vanished: 0 };
    let (mut tries, mut furthest) = (0, 0);
    loop {
        match push.step() {
            Ok(true) => return Ok(()),
            Ok(false) => {
                let offset = push.session.as_ref().map_or(0, |session| session.offset);
                if offset > furthest {
                    (tries, furthest) = (0, offset);
                }
            }
            Err(tried) => {
                match push.gives_up_way(&tried) {
                    true => push.session = None,
                    false => {
                        client.pause(tried, &mut tries)?;
                        push.recover();
                    }
                }
                // The answer may have been lost, not the blob.
                if push.session.is_none() && exists(client, blob).unwrap_or(false) {
                    return Ok(());
                }
            }
        }
    }
}

impl Push<'_> {
    /// The next request; `true` if the blob is there.
    fn step(&mut self) -> Result<bool, Tried> {
        let Some(session) = &self.session else {
            self.session = Some(self.start()?);
            return Ok(false);
        };
        let size = self.blob.size;
        let length = match self.way() {
            Way::Whole => return self.finish(session, size).map(|()| true),
            _ if session.offset == size => return self.finish(session, 0).map(|()| true),
            Way::Stream => size,
            Way::Parts => session.part.min(size - session.offset),
        };
        self.session = Some(self.patch(session, length)?);
        Ok(false)
    }

    fn way(&self) -> Way {
        self.ways.last().copied().unwrap_or(Way::Whole)
    }

    /// Whether the failure is one of the way, and there is another one.
    fn gives_up_way(&mut self, tried: &Tried) -> bool {
        let (Tried::Again(error, _) | Tried::Failed(error)) = tried;
        let RegistryError::Status { status, request, .. } = error else { return false };
        let is_way = match status {
            _ if request.starts_with("POST") || request.starts_with("HEAD") => false,
            // Or it was lost, as happens when a registry starts anew.
            404 => {
                self.vanished += 1;
                self.vanished >= VANISHES || self.way() == Way::Whole
            }
            400 | 405 | 411 | 416 | 501 => true,
            _ => false,
        };
        is_way && self.ways.len() > 1 && self.ways.pop().is_some()
    }

    fn start(&self) -> Result<Session, Tried> {
        let request = Request::new("POST", self.client.url("blobs/uploads/"));
        let answer = self.client.once(&request)?;
        if !(200..300).contains(&answer.status()) {
            return Err(self.client.status(&request, answer).into());
        }
        let least = answer.header("oci-chunk-min-length").and_then(|least| least.parse::<u64>().ok());
        let location = self.location(&request, &answer)?;
        answer.discard();
        Ok(Session { location, offset: 0, part: self.part.max(least.unwrap_or(0)) })
    }

    fn location(&self, request: &Request<'_>, answer: &Answer) -> Result<Url, Tried> {
        let location = answer.header("location").and_then(|location| request.url.join(location));
        location.ok_or_else(|| self.client.protocol(request, "without a location").into())
    }

    fn payload(&self, offset: u64, length: u64) -> Payload<'_> {
        if length == 0 {
            return Payload::Empty;
        }
        Payload::Part { file: self.file, offset, length, cancelled: &self.client.cancelled }
    }

    /// Ends the upload with the last `length` bytes.
    fn finish(&self, session: &Session, length: u64) -> Result<(), Tried> {
        let offset = self.blob.size - length;
        let url = session.location.with_query("digest", &self.blob.digest.to_string());
        let request = Request::new("PUT", url)
            .header("content-type", "application/octet-stream")
            .payload(self.payload(offset, length));
        let answer = self.client.once(&request)?;
        match answer.status() {
            200..300 => {
                let stored = answer.header("docker-content-digest").map(str::to_owned);
                answer.discard();
                match stored.filter(|stored| *stored != self.blob.digest.to_string()) {
                    Some(actual) => {
                        let (host, expected) = (self.client.host(), self.blob.digest);
                        Err(Tried::Again(RegistryError::Corrupt { host, expected, actual }, None))
                    }
                    None => Ok(()),
                }
            }
            _ => Err(self.refused(&request, answer)),
        }
    }

    /// Sends the next `length` bytes.
    fn patch(&self, session: &Session, length: u64) -> Result<Session, Tried> {
        let end = session.offset + length;
        let mut request = Request::new("PATCH", session.location.clone())
            .header("content-type", "application/octet-stream")
            .payload(self.payload(session.offset, length));
        if self.way() == Way::Parts {
            request = request.header("content-range", format!("{}-{}", session.offset, end - 1));
        }
        let answer = self.client.once(&request)?;
        if !(200..300).contains(&answer.status()) {
            return Err(self.refused(&request, answer));
        }
        let location = self.location(&request, &answer).unwrap_or_else(|_| session.location.clone());
        answer.discard();
        Ok(Session { location, offset: end, part: session.part })
    }

    /// An answer that ends the upload; often a new one succeeds.
    fn refused(&self, request: &Request<'_>, answer: Answer) -> Tried {
        let status = answer.status();
        let error = self.client.status(request, answer);
        // Too large, no room: it will be the same again.
        if matches!(status, 413 | 507) { Tried::Failed(error) } else { Tried::Again(error, None) }
    }

    /// After a failure: where the upload stands, by the registry's own word; none, if it is to begin anew.
    fn recover(&mut self) {
        let Some(session) = self.session.take() else { return };
        if self.way() != Way::Parts {
            return;
        }
        let request = Request::new("GET", session.location.clone());
        let Ok(answer) = self.client.once(&request) else { return };
        if !(200..300).contains(&answer.status()) {
            return;
        }
        let offset = answer.header("range").and_then(range_end).filter(|end| *end <= self.blob.size);
        let location = answer.header("location").and_then(|location| request.url.join(location));
        if let Some(offset) = offset {
            // An empty upload and one of a single byte look the same.
            let offset = if offset == 1 { 0 } else { offset };
            let part = session.part;
            self.session = Some(Session { location: location.unwrap_or(session.location), offset, part });
        }
    }
}

/// Bytes the registry has by `0-9` (or `bytes=0-9`): ten.
fn range_end(value: &str) -> Option<u64> {
    let (_, last) = value.trim().rsplit_once('-')?;
    last.parse::<u64>().ok()?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::range_end;

    #[test]
    fn ranges() {
        assert_eq!(range_end("0-9"), Some(10));
        assert_eq!(range_end("bytes=0-0"), Some(1));
        assert_eq!(range_end("10"), None);
        assert_eq!(range_end("0-18446744073709551615"), None);
    }
}
