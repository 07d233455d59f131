//! Khumbu's tests, one binary. A folder of cases is a folder under `fixtures/`; a new file there is a new case.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and says what it skipped")]
mod broker;
mod broker_abuse;
mod broker_clients;
mod broker_life;
mod broker_relay;
mod broker_sessions;
mod broker_wire;
mod clients;
