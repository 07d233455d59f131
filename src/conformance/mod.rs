//! What a module must do: the requirements, and the monitors that watch for them in every scenario.
//!
//! Pure: a monitor sees records with their times and gives back diagnostics.

pub mod judge;
pub mod monitors;
pub mod occasions;
pub mod redelivery;
pub mod requirements;
pub mod sighting;
