//! Images in registries (OCI distribution specification, Docker's registry API).
//!
//! ```text
//! RegistrySource   manifests  GET, compared with their digest, kept
//!                  blobs      GET, compared while they stream; cut off, they go on where they ended (Range)
//!                  both from the first that has the image: mirrors, then the registry (rules.rs)
//! RegistrySink     blobs      staged in a nameless file, then HEAD, POST, PUT or PATCH… PUT on threads of their own
//!                  manifests  kept back until all blobs are there; then in order, by digest; the tag last
//! ```
//! No blob is held in memory. Nothing but blobs is written before [`commit`](crate::Sink::commit), and a tag moves in one
//! request after everything it needs. Requests are authorised as the registry demands (basic or tokens) and sent again
//! as [`Retry`] says.
//!
//! Everything is synchronous. The HTTP library is known to `http.rs` and `tls.rs` alone.

mod access;
mod auth;
mod authfile;
mod certs;
mod challenge;
mod client;
mod credentials;
mod distrust;
mod download;
mod environment;
mod error;
mod helper;
#[cfg(test)]
mod hostile;
mod http;
mod login;
mod options;
mod proxy;
mod referrers;
mod retry;
mod rules;
mod sink;
mod source;
mod tls;
mod trust;
mod upload;
mod uploads;
mod url;

pub use credentials::Credentials;
pub use error::{RegistryError, Unusual};
pub use login::Login;
pub use options::RegistryOptions;
pub use retry::Retry;
pub use sink::RegistrySink;
pub use source::RegistrySource;
