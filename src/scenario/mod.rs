//! Scenario files: text to model, patterns, schema.
//!
//! Pure: text comes in, a [`Scenario`] or diagnostics go out. Reading files is the business of [`crate::cli`].
//! `scenarios/README.md` is the manual of the language.

mod api;
mod check;
mod deserialize;
mod draft;
mod expect_reply;
mod fault;
mod features;
mod format;
mod involves;
pub mod model;
mod near_topic;
mod parse;
pub mod pattern;
pub mod placeholder;
mod reference;
mod releases;
mod repair;
mod rules;
mod schema;
mod specified;
pub mod step;
mod suggest;
pub mod written;

pub use crate::yaml::Pointer;
pub use api::{api_of, channel_of};
pub use draft::Draft;
pub use features::{lacking, looks_inside};
pub use format::format;
pub use involves::{idle, shown_channels};
pub use near_topic::{KnownTopic, near_topics, without_empty_levels};
pub use parse::{
    AnswerSchema, Known, LARGEST, Scenario, parse, parse_around_station, parse_as, parse_checked, parse_station,
};
pub use reference::reference;
pub use releases::played;
pub use rules::{faults_of_station, from_hex};
pub use schema::{Takes, keys, schema, schema_of, step_names, steps};
pub use suggest::{distance, suggestion};
