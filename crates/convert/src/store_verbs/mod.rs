//! The chunk store as people look at it: stat, list, verify, gc, remove, export.
//!
//! ```text
//!   what is typed ─► names ─► results and blobs ─► ChunkStore::verify, prune, … ─► report, which is text and JSON
//! ```
//! Every verb takes a store that is there already ([`ChunkStore::open_existing`](crate::store::ChunkStore::open_existing))
//! and gives one report. Nothing here can make a conversion's result wrong: what is removed is made again.

mod error;
mod export;
mod list;
mod names;
mod remove;
mod stat;
mod text;
mod verify;

pub use error::StoreVerbError;
pub use export::{ExportOptions, ExportReport, ExportedBlob, export};
pub use list::{ListOptions, ListReport, ListedBlob, ListedImage, list};
pub use remove::{
    ForgottenImage, GcOptions, KeptBlob, RemovalReport, RemoveOptions, RemovedBlob, WhyForgotten, WhyKept,
    WhyRemoved, gc, remove,
};
pub use stat::{BytesReport, StatReport, stat};
pub use verify::{ProblemReport, VerifyStoreOptions, VerifyStoreReport, verify};
