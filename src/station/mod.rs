//! The charging station around the auth manager: EVSEs, the API module, its heartbeat, check and latch.
//!
//! Pure: no clock, no I/O, no randomness. Time is an argument, topics are made outside.

pub mod config;
