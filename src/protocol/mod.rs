//! The EVerest API on the wire: topics, channels, types, envelope, message schemas.
//!
//! Pure. Wire input is decoded as leniently as EVerest decodes it; what the specification allows is a separate
//! question, answered by [`schema`].

pub mod api;
pub mod asyncapi;
mod auth_apis;
pub mod channel;
pub mod codec;
pub mod control;
pub mod deviations;
pub mod drift;
pub mod release;
pub mod schema;
pub mod side;
pub mod topic;
pub mod types;
pub mod wire;
