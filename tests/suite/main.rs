//! Khumbu's tests, one binary. A folder of cases is a folder under `fixtures/`; a new file there is a new case.

mod model;
mod model_api;
mod model_desk;
mod model_oracle;
mod model_recording;
mod model_sessions;
