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
mod diagnostics;
mod golden;
mod layering;
mod misbehaviour;
mod model;
mod model_api;
mod model_desk;
mod model_deviations;
mod model_oracle;
mod model_recording;
mod model_releases;
mod model_sessions;
mod model_sisters;
mod monitors;
mod patterns;
mod project;
mod reports;
mod run_cli;
mod run_end;
mod run_goldens;
mod run_hostile;
mod run_module;
mod run_steps;
mod scenario_files;
mod schemas;
mod sim;
mod sim_releases;
