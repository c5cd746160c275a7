//! What the world sends: inputs from public bug reports, as tables. A further report is a line in a table.

mod archives;
mod bounds;
mod documents;
mod index_bounds;
mod indexes;
mod kinds;
mod layers;
mod notation;
mod overwriting;
mod way_back;
