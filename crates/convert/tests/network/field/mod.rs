//! What the world sends: inputs from public bug reports, as tables. A further report is a line in a table.

mod clients;
mod habits;
