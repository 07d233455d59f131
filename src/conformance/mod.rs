//! What a module must do: the requirements, the monitors that watch for them in every scenario, and the judge of what a
//! scenario expects.
//!
//! Pure: records with their times come in and become sightings, which monitors and judge read; decisions and diagnostics go
//! out.

pub mod deliveries;
pub mod judge;
pub mod losses;
pub mod monitors;
pub mod occasions;
pub mod prompts;
pub mod requirements;
pub mod risks;
pub mod sighting;
pub mod survived;
