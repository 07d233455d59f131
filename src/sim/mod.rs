//! The sides that khumbu plays, as real MQTT clients in real time: EVerest's side around a [`crate::station`], and the
//! client's side for each of the APIs.
//!
//! Nothing here judges. The same code serves as the counterpart of a module under test, as built-in module under test,
//! and as `khumbu sim`.

pub mod bugs;
pub mod client;
pub mod csms;
pub mod everest;
pub mod link;
pub mod player;
pub mod tap;
mod validator;
