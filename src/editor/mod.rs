//! What an editor asks about a file while somebody writes it: what may stand at a place, and what stands there.
//!
//! Pure: a text and the JSON Schema of its kind come in, places and words go out. A text that is being written is seldom YAML;
//! what stands where is read off a text that is, with a mark where the cursor stands. [`crate::cli`] speaks the protocol.

mod complete;
mod hover;
mod position;
mod shape;
mod spot;

pub use complete::{Kind, Suggestion, complete};
pub use hover::{Explained, about_requirement, hover};
pub use position::{Position, to_byte, to_position};
pub use shape::kind_of;
