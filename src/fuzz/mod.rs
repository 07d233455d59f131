//! Fuzzing: inputs that nobody thought of, drawn from a model of the station, and made as small as they get.
//!
//! A case is a list of [`Input`]s, and is played as a scenario: what is found is a file that `khumbu run` plays. Of an
//! EVerest under test the model says what each input has to lead to; a client under test is judged by the monitors and by
//! what it owes, told or not. Pure: drawing takes a seed, shrinking asks whoever plays. Playing is for [`crate::cli`].

mod case;
mod corpus;
mod coverage;
mod find;
mod input;
mod model;
mod payload;
mod shrink;
mod site;
pub mod strategies;

pub use case::{Case, Ground, Head, Joined, at_stake};
pub use coverage::Coverage;
pub use find::Find;
pub use input::{Input, Payload};
pub use model::{Led, Model};
pub use shrink::{SHORT, Shrink, without_some};
pub use site::Site;
