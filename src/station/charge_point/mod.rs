//! The charge point's own authorization: local authorization list, authorization cache, and when its CSMS is asked.
//!
//! OCPP 1.6 (sections 3.5 and 9) and OCPP 2.0.1 (use cases C01, C10 to C15, D01, D02) say the same in other
//! words; one set of keys serves both ([`keys`]). Pure: no clock, no I/O. Every moment is counted from the Unix epoch,
//! because expiry dates are.
//!
//! | file | has |
//! | --- | --- |
//! | `tag` | id tags and what is known of them |
//! | `local_list` | what the CSMS sent ahead, with a version that rises |
//! | `cache` | what the CSMS answered before |
//! | `keys` | the configuration |
//! | `authorization` | who decides about a tag |
//! | `connector` | states of connectors, meters |
//! | `course` | what flowed in a transaction over time |
//! | `machine` | the charge point at work within the station |
//! | `requests` | what a gateway asks of it |
//! | `remote` | what a CSMS asks of it |
//! | `report` | what it and its CSMS say to each other |
//! | `overview` | what it looks like to people |

mod authorization;
mod cache;
pub mod config;
mod connector;
mod course;
pub mod keys;
mod local_list;
mod machine;
mod overview;
mod remote;
mod report;
mod requests;
mod tag;

pub use authorization::{Authorization, DecidedBy, Decision};
pub use cache::{Cache, CachedTag};
pub use connector::{ConnectorStatus, Transaction};
pub use course::{ChangeOverview, CourseOverview};
pub use keys::{Keys, SetResult};
pub use local_list::{LocalList, UpdateStatus, UpdateType};
pub(super) use machine::ChargePoint;
pub use overview::{ConnectorOverview, Overview, TransactionOverview};
pub use report::{CsmsInput, Report, StopReason, report_schema};
pub use requests::{Answer, ListEntry, Meter, Request, Scope, Where};
pub use tag::{IdTag, TagInfo, TagTooLong};
