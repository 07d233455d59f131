//! Khumbu: protocol simulator and conformance test harness for the auth part of the EVerest API.
//!
//! The modules stand in ranks; a module imports lower ranks only. `ARCHITECTURE.md` has the map, and
//! `tests/suite/layering.rs` holds it. Ranks 0 to 5 without [`broker`], and [`report`], [`editor`], [`suite`], [`fuzz`] and [`author`], are pure: no clock,
//! no I/O, no randomness, ordered maps; time is an argument.
//!
//! | rank | modules |
//! | --- | --- |
//! | 0 | [`diagnostic`], [`timespan`], [`yaml`] |
//! | 1 | [`protocol`] |
//! | 2 | [`auth`], [`transcript`] |
//! | 3 | [`recording`], [`station`], [`verdict`] |
//! | 4 | [`scenario`], [`parity`], [`ocpp`], [`broker`] |
//! | 5 | [`conformance`] |
//! | 6 | [`editor`], [`report`], [`sim`] |
//! | 7 | [`fuzz`], [`gateway`], [`suite`] |
//! | 8 | [`author`], [`runner`] |
//! | 9 | [`cli`], [`testing`] |

pub mod auth;
pub mod author;
pub mod broker;
pub mod cli;
pub mod conformance;
pub mod diagnostic;
pub mod editor;
pub mod fuzz;
pub mod gateway;
pub mod ocpp;
pub mod parity;
pub mod protocol;
pub mod recording;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod sim;
pub mod station;
pub mod suite;
pub mod testing;
pub mod timespan;
pub mod transcript;
pub mod verdict;
pub mod yaml;
