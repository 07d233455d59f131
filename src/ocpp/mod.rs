//! OCPP-J for a charge point: what is said to a CSMS, what it may ask, and when anything is sent at all.
//!
//! Pure: no clock, no socket, no randomness; [`Session`] takes frames, reports of the charge point and the time, and says
//! what is to be done. Moments count from the Unix epoch. The socket is [`crate::sim`]'s. What the charge point decides,
//! [`crate::station::charge_point`] decides; here it is put into words of OCPP 1.6 (edition 2, with OCPP-J 1.6) or 2.0.1
//! (edition 2, part 4 for the framing).
//!
//! | file | has |
//! | --- | --- |
//! | `version` | the two versions |
//! | `frame` | CALL, CALLRESULT, CALLERROR |
//! | `moment` | moments as RFC 3339 has them |
//! | `call` | what the two versions have in common |
//! | `v16`, `v201` | requests and answers of each |
//! | `base_report` | what a charging station of 2.0.1 reports of itself |
//! | `outbox` | messages that wait to be sent, those of transactions also for days |
//! | `backoff` | how long to wait before the next connection |
//! | `session` | boot, heartbeat, the order of things |

mod backoff;
mod base_report;
pub mod call;
pub mod frame;
mod moment;
mod outbox;
mod session;
mod v16;
mod v201;
mod version;

pub use backoff::Backoff;
pub use moment::{from_rfc3339, rfc3339};
pub use session::{Direction, Effect, Identity, Input, Note, Part, Session};
pub use version::OcppVersion;
