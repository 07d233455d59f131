//! What was seen: the record of every packet, and what is made of it.
//!
//! Pure. The broker writes [`record::Record`]s, everything else reads them.

pub mod golden;
pub mod injected;
pub mod record;
pub mod snapshot;
