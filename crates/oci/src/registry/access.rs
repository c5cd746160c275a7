//! Whether the repository may be written to, asked before anything is made for it.

use super::client::{Client, Tried};
use super::error::RegistryError;
use super::http::{Answer, Request};

/// An error if the registry refuses us. Other trouble is left to the first blob, which is tried again where that may help.
pub(super) fn ask(client: &Client) -> Result<(), RegistryError> {
    let request = Request::new("POST", client.url("blobs/uploads/"));
    let answer = match client.once(&request) {
        Ok(answer) => answer,
        Err(Tried::Failed(error @ RegistryError::Denied { .. })) => return Err(error),
        Err(_) => return Ok(()),
    };
    let location = answer.header("location").and_then(|location| request.url.join(location));
    let begun = answer.status() == 202;
    answer.discard();
    if let Some(location) = location.filter(|_| begun) {
        // Registries tidy up too.
        let _ = client.once(&Request::new("DELETE", location)).map(Answer::discard);
    }
    Ok(())
}
