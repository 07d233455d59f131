//! What a module must do: the requirements, and the monitors that watch for them in every scenario.
//!
//! Pure: a monitor sees records with their times and gives back diagnostics.

pub mod monitors;
pub mod occasions;
pub mod redelivery;
pub mod requirements;

/// The side of the API on which the module under test stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// It is an API client; khumbu plays EVerest.
    Client,
    /// It is EVerest's side; khumbu plays the client.
    Everest,
}
