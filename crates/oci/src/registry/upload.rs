//! One blob to a registry: in one request, or in parts that can go on where they were cut off.
//!
//! ```text
//! HEAD  blobs/D ──► there already
//! POST  blobs/uploads/ ──► Location ─┬─ small: PUT Location?digest=D, all bytes
//!                                    └─ large: PATCH Location, one part; …; PUT Location?digest=D, nothing
//! cut off: GET Location ──► Range: 0-N, go on behind it; or begin anew
//! ```

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
    /// Parts are not understood.
    whole: bool,
}

/// Whether the repository has a blob.
pub(super) fn exists(client: &Client, blob: Blob) -> Result<bool, Tried> {
    let request = Request::new("HEAD", client.url(&format!("blobs/{}", blob.digest)));
    let answer = client.once(&request)?;
    match answer.status() {
        200 => {
            let length = answer.header("content-length").and_then(|length| length.parse::<u64>().ok());
            Ok(length.is_none_or(|length| length == blob.size))
        }
        404 => Ok(false),
        _ => Err(client.status(&request, answer).into()),
    }
}

/// Asks for a blob that another repository of the registry has; `false` if that is not possible.
pub(super) fn mount(client: &Client, digest: &Digest, from: &str) -> Result<bool, RegistryError> {
    let url = client.url("blobs/uploads/").with_query("mount", &digest.to_string()).with_query("from", from);
    let request = Request::new("POST", url);
    let answer = match client.call(&request) {
        Ok(answer) => answer,
        // No right to read the other one is no reason to fail.
        Err(RegistryError::Denied { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    let mounted = answer.status() == 201;
    if answer.status() == 202
        && let Some(location) = answer.header("location").and_then(|location| request.url.join(location))
    {
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
    let mut push = Push { client, file, blob, part: part.max(1), session: None, whole: false };
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
                client.pause(tried, &mut tries)?;
                push.recover();
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
        if session.offset == 0 && (self.whole || size <= session.part) {
            return self.finish(session, size).map(|()| true);
        }
        if session.offset == size {
            return self.finish(session, 0).map(|()| true);
        }
        self.session = Some(self.patch(session)?);
        Ok(false)
    }

    fn start(&self) -> Result<Session, Tried> {
        let request = Request::new("POST", self.client.url("blobs/uploads/"));
        let answer = self.client.once(&request)?;
        if answer.status() != 202 {
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
            201 | 204 => {
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

    fn patch(&self, session: &Session) -> Result<Session, Tried> {
        let length = session.part.min(self.blob.size - session.offset);
        let last = session.offset + length - 1;
        let request = Request::new("PATCH", session.location.clone())
            .header("content-type", "application/octet-stream")
            .header("content-range", format!("{}-{last}", session.offset))
            .payload(self.payload(session.offset, length));
        let answer = self.client.once(&request)?;
        if !matches!(answer.status(), 201 | 202 | 204) {
            return Err(self.refused(&request, answer));
        }
        let location = self.location(&request, &answer)?;
        // What the registry says that it has counts.
        let has = answer.header("range").and_then(range_end).unwrap_or(last + 1);
        answer.discard();
        if has <= session.offset || has > last + 1 {
            return Err(Tried::Again(self.client.protocol(&request, "with an impossible range"), None));
        }
        Ok(Session { location, offset: has, part: session.part })
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
        if session.offset == 0 && session.part >= self.blob.size {
            return;
        }
        let request = Request::new("GET", session.location.clone());
        let Ok(answer) = self.client.once(&request) else { return };
        if answer.status() != 204 {
            // Uploads in parts that are lost without a trace may never have been understood.
            self.whole |= session.offset == 0 && matches!(answer.status(), 405 | 501);
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
