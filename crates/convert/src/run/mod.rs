//! What the operations of a run share.

mod observer;
mod readahead;
mod side_by_side;

pub use observer::{LayerLabel, Observer, Stop};
pub use readahead::ReadAhead;
pub use side_by_side::side_by_side;
