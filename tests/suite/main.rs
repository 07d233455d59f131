//! Khumbu's tests, one binary. A folder of cases is a folder under `fixtures/`; a new file there is a new case.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod broker;
mod broker_abuse;
mod broker_clients;
mod broker_relay;
mod broker_sessions;
mod broker_wire;
mod clients;
mod diagnostics;
mod golden;
mod layering;
mod misbehaviour;
mod model;
mod model_api;
mod model_desk;
mod model_oracle;
mod model_recording;
mod model_sessions;
mod monitors;
mod patterns;
mod reports;
mod scenario_files;
mod schemas;
