//! Khumbu's tests, one binary. A folder of cases is a folder under `fixtures/`; a new file there is a new case.

mod diagnostics;
mod layering;
mod monitors;
mod reports;
mod schemas;
