//! Which encoder made a gzip stream? Watched from beside while somebody else inflates it.
//!
//! ```text
//!  decoder ─► stored bytes, plain bytes, ends of members ─► Identifier ──► Trial ─► Verdict
//!                                                               │   (any thread)       │
//!                                                               └──────── finish ◄─────┘
//!                                                                           │
//!                                                            candidates: recipes, best first
//! ```
//!
//! The first candidate reproduces the sample (the first plain bytes, by default 4 MiB) exactly and fits how every member
//! ends; the others are near relatives of it. A candidate becomes a certainty by [`replay`](crate::replay()), as [`identify`](crate::identify()) does it.

mod assemble;
mod attempt;
mod budget;
mod candidates;
mod collect;
mod ending;
mod members;
mod sample;
mod shape;
#[cfg(test)]
mod tests;
mod trial;
mod watch;
pub(crate) mod whole;

pub use assemble::Identified;
pub use trial::{Trial, Verdict};
pub use watch::{Identifier, Sampling};
