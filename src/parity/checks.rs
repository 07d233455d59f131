//! How the communication check stood when a recording began, as far as the recording shows it.

use super::roles::{Roles, Stimulus};
use super::station_file::StationFile;
use crate::protocol::channel::{ApiType, Channel};
use crate::recording::{Message, Recording};
use crate::station::CommunicationFault;

/// The last communication check before the recording, and when it came, relative to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Before {
    pub at_ms: i64,
    pub check: bool,
}

/// What the station file says, or else the first fault that is raised or cleared; `None` means that there was no check.
pub(super) fn before(
    recording: &Recording,
    file: &StationFile,
    roles: &Roles<'_>,
    tolerance_ms: i64,
) -> Option<Before> {
    // Just before, so that what it clears does not show.
    let just_before = -tolerance_ms;
    if let Some(check) = file.start.communication_check {
        return Some(Before { at_ms: just_before, check });
    }
    let is_true = |message: &&Message| {
        roles.stimulus(message) == Some(Stimulus::Received(ApiType::AUTH_CONSUMER, Channel::COMMUNICATION_CHECK))
            && message.payload == true
    };
    let first_true = recording.messages.iter().find(is_true).map(Message::at_ms);
    let timeout_ms = i64::from(file.station.auth_consumer.cfg_communication_check_to_s).max(0) * 1000;
    let faults = recording.messages.iter().filter_map(|message| Some((message, roles.recorded_fault(message)?)));
    match faults.into_iter().next() {
        Some((_, (CommunicationFault::Initial, _))) => None,
        // It went well until then.
        Some((message, (CommunicationFault::ConnectionLost, true))) => {
            let raised_ms = message.at_ms();
            let is_first = first_true.is_none_or(|first_ms| first_ms > raised_ms);
            let at_ms = if is_first { raised_ms - timeout_ms } else { just_before };
            (at_ms < 0).then_some(Before { at_ms, check: true })
        }
        // It was missing for longer than it may.
        Some((_, (CommunicationFault::ConnectionLost, false))) => {
            Some(Before { at_ms: just_before * 2 - timeout_ms, check: true })
        }
        // A `true` without effect, whatever follows: the check had been ended.
        None => first_true.map(|_| Before { at_ms: just_before, check: false }),
    }
}
