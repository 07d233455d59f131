//! What a CSMS answers to the requests of a session, and what comes of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::{BOOT_AGAIN, Direction, Effect, Part, Session, What};
use crate::ocpp::call::{self, BootReason, Refusal, Registration, RegistrationStatus, read_as};
use crate::station::charge_point::{CsmsInput, Report, Request, Transaction};

impl Session {
    /// The CSMS has followed a request.
    pub(super) fn succeeded(&mut self, now: Duration, what: What, payload: Value) -> Result<(), Refusal> {
        let version = self.identity.version;
        match what {
            What::Boot => self.registered(now, read_as(payload)?),
            What::Authorize(request) => {
                let info = call::read_authorized(version, payload)?;
                self.out.push(Effect::Tell(CsmsInput::Authorized { request, info }));
            }
            What::Status(evse, status) => {
                self.told.insert(evse, status);
            }
            What::Kept => {
                let Some((report, ..)) = self.outbox.first() else { return Ok(()) };
                let (named, info) = match report {
                    Report::TransactionStarted { .. } => call::read_started(version, payload)?,
                    report => (None, call::read_noted(version, report, payload)?),
                };
                let told = match self.outbox.drop_first() {
                    Some(Report::TransactionStarted { transaction, .. }) => {
                        if let Some(named) = &named {
                            self.outbox.name(&transaction.id, named);
                        }
                        let Transaction { id, id_tag, .. } = transaction;
                        Some(CsmsInput::TransactionNoted { transaction: id, id_tag, named, info })
                    }
                    Some(Report::TransactionStopped { transaction, .. }) => {
                        info.map(|info| CsmsInput::TagNoted { id_tag: transaction.id_tag, info })
                    }
                    _ => None,
                };
                self.out.extend(told.map(Effect::Tell));
            }
            What::Other => {}
        }
        Ok(())
    }

    /// The CSMS has answered a boot.
    fn registered(&mut self, now: Duration, registration: Registration) {
        let interval = u64::try_from(registration.interval).ok().filter(|seconds| *seconds > 0);
        let was_online = self.is_online();
        self.registration = Some(registration.status);
        if registration.status == RegistrationStatus::Accepted {
            self.boot_reason = BootReason::PowerUp;
            if let Some(seconds) = interval.and_then(|seconds| u32::try_from(seconds).ok()) {
                self.keys.set("HeartbeatInterval", &seconds.to_string());
                let values = BTreeMap::from([("HeartbeatInterval".to_owned(), seconds.to_string())]);
                self.ask(Request::Configure(values), None);
            }
            if was_online {
                self.heartbeat_at = self.after("HeartbeatInterval", now);
            } else {
                self.go_online(now);
            }
            return;
        }
        self.boot_at = now.saturating_add(interval.map_or(BOOT_AGAIN, Duration::from_secs));
        if was_online {
            self.out.push(Effect::Tell(CsmsInput::Online(false)));
        }
    }

    /// The CSMS has not followed a request, or not in time.
    pub(super) fn failed(&mut self, now: Duration, what: What) {
        match what {
            What::Boot => self.boot_at = now.saturating_add(BOOT_AGAIN),
            What::Authorize(request) => self.out.push(Effect::Tell(CsmsInput::Unanswered(request))),
            What::Kept => {
                let interval = self.keys.seconds("TransactionMessageRetryInterval").unwrap_or_default();
                if !self.outbox.put_off(now, self.keys.number("TransactionMessageAttempts"), interval) {
                    self.note(
                        Direction::ToCsms,
                        Part::Notice,
                        "Dropped",
                        json!({"reason": "the CSMS does not take it"}),
                    );
                    self.outbox.drop_first();
                }
            }
            What::Status(..) | What::Other => {}
        }
    }
}
