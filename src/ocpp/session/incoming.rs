//! What a CSMS asks of a session, and how it is answered.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Asked, Direction, Effect, How, Identity, LAST_WORDS, Part, Phase, Restart, Session, Waiting, What, heartbeat,
};
use crate::ocpp::call::{self, BootReason, Incoming, Refusal, RegistrationStatus, Reset, Situation, Trigger};
use crate::ocpp::frame::{ErrorCode, Frame};
use crate::ocpp::version::OcppVersion;
use crate::station::charge_point::{Answer, Request, StopReason};

/// Not before the CSMS has accepted the charge point (1.6, 4.2; 2.0.1, B02).
const ONLY_WHEN_ACCEPTED: [&str; 4] =
    ["RemoteStartTransaction", "RemoteStopTransaction", "RequestStartTransaction", "RequestStopTransaction"];

impl Session {
    /// The CSMS asks for something.
    pub(super) fn called(&mut self, now: Duration, id: String, action: String, payload: Value) {
        let version = self.identity.version;
        if self.registration == Some(RegistrationStatus::Rejected) {
            // 1.6, 4.2: not answered at all; 2.0.1, B03.
            if version == OcppVersion::Ocpp201 {
                self.refuse(id, &action, ErrorCode::Security, "the charging station is rejected");
            }
            return;
        }
        let situation = Situation {
            keys: &self.keys,
            evses: self.identity.evses,
            vendor: &self.identity.vendor,
            busy: &self.busy,
            outbox: &self.outbox,
            states: &self.statuses,
            now,
        };
        match call::read(version, &action, payload, situation) {
            Ok(_) if !self.is_online() && ONLY_WHEN_ACCEPTED.contains(&action.as_str()) => {
                self.answer(id, &action, call::of_status("Rejected"));
            }
            Ok(Incoming::Ask(request, translation)) => {
                self.ask(request, Some(Asked { id, action, how: How::Answer(translation) }));
            }
            Ok(Incoming::Tell(answer)) => self.answer(id, &action, answer),
            Ok(Incoming::TellThen(answer, calls)) => {
                self.answer(id, &action, answer);
                for call in calls {
                    self.push(Waiting { call, what: What::Other, is_early: true });
                }
            }
            Ok(Incoming::Trigger(Trigger::Meter, evse)) => {
                self.ask(Request::ReadMeters(evse), Some(Asked { id, action, how: How::Meters }));
            }
            Ok(Incoming::Trigger(trigger, evse)) => {
                self.answer(id, &action, call::of_status("Accepted"));
                self.triggered(now, trigger, evse);
            }
            Ok(Incoming::Reset(Reset::OnIdle)) if !self.busy.is_empty() => {
                self.restart = Restart::WhenIdle;
                self.answer(id, &action, call::of_status("Scheduled"));
            }
            Ok(Incoming::Reset(kind)) => {
                self.answer(id, &action, call::of_status("Accepted"));
                self.reset(now, kind);
            }
            Err(Refusal { code, why }) => self.refuse(id, &action, code, &why),
        }
    }

    fn answer(&mut self, id: String, action: &str, payload: Value) {
        let frame = Frame::Result { id, payload };
        self.out.push(Effect::Send(frame.to_text()));
        if let Frame::Result { id, payload } = frame {
            self.note(Direction::ToCsms, Part::Answer(id), action, payload);
        }
    }

    pub(super) fn refuse(&mut self, id: String, action: &str, code: ErrorCode, why: &str) {
        let version = self.identity.version;
        self.out.push(Effect::Send(Frame::error(version, id.clone(), code, why).to_text()));
        let part = Part::Answer(id);
        self.note(Direction::ToCsms, part, action, json!({"errorCode": code.name(version), "errorDescription": why}));
    }

    fn triggered(&mut self, now: Duration, trigger: Trigger, evse: Option<i32>) {
        match trigger {
            Trigger::Boot => {
                let Identity { version, vendor, model, .. } = &self.identity;
                let call = call::boot(*version, vendor, model, BootReason::Triggered);
                self.push(Waiting { call, what: What::Boot, is_early: true });
            }
            Trigger::Heartbeat => self.push(Waiting { call: heartbeat(), what: What::Other, is_early: true }),
            Trigger::Status => {
                for evse in evse.map_or(self.places(), |evse| evse..=evse) {
                    self.push_status(evse, now);
                }
            }
            // Read first.
            Trigger::Meter => {}
        }
    }

    /// The charge point has answered.
    pub(super) fn answered(&mut self, now: Duration, outcome: Result<Answer, String>) {
        let Some(Some(asked)) = self.asked.pop_front() else { return };
        match asked.how {
            How::Answer(translate) => self.answer(asked.id, &asked.action, translate(outcome)),
            How::Meters => {
                let Ok(Answer::Meters(meters)) = outcome else {
                    return self.answer(asked.id, &asked.action, call::of_status("Rejected"));
                };
                self.answer(asked.id, &asked.action, call::of_status("Accepted"));
                for meter in meters {
                    let named = meter.transaction_id.as_deref().and_then(|id| self.outbox.named(id));
                    let call = call::meter(self.identity.version, &meter, named, now);
                    self.push(Waiting { call, what: What::Other, is_early: true });
                }
            }
        }
    }

    /// Ends all transactions and restarts. The CSMS is told of their end first, but for a hard reset, after which it
    /// hears of it (1.6, 5.14; 2.0.1, B12).
    pub(super) fn reset(&mut self, now: Duration, kind: Reset) {
        self.boot_reason = BootReason::RemoteReset;
        let until = now.saturating_add(LAST_WORDS);
        match (kind, self.restart) {
            (Reset::Hard, _) => self.restart = Restart::WhenAnswered(until),
            // It goes before that.
            (_, Restart::WhenAnswered(_)) => {}
            _ => {
                self.ask(Request::EndTransactions(StopReason::SoftReset), None);
                self.restart = Restart::WhenTold(until);
            }
        }
    }

    pub(super) fn restart_if_due(&mut self, now: Duration) {
        match self.restart {
            Restart::WhenTold(until) => {
                let is_told = self.asked.is_empty()
                    && self.busy.is_empty()
                    && self.outbox.at().is_none()
                    && self.current.is_none();
                if is_told || until <= now || !self.is_online() {
                    self.restart(now);
                }
            }
            // A CSMS that finds the connection closed when it answers may never read the answer to its Reset.
            Restart::WhenAnswered(until)
                if self.current.is_none() || until <= now || !matches!(self.phase, Phase::Open) =>
            {
                self.ask(Request::EndTransactions(StopReason::HardReset), None);
                // One that still waits is this one.
                self.restart(now);
            }
            Restart::WhenAnswered(_) | Restart::WhenIdle | Restart::No => {}
        }
    }

    /// Takes leave of the CSMS, so that it has the answer to its Reset, and restarts.
    fn restart(&mut self, now: Duration) {
        self.restart = Restart::No;
        self.out.push(Effect::Close);
        if matches!(self.phase, Phase::Open | Phase::Opening) {
            self.closed(now);
        }
        self.phase = Phase::Idle;
        self.out.push(Effect::Restart);
    }

    pub(super) fn ask(&mut self, request: Request, asked: Option<Asked>) {
        self.asked.push_back(asked);
        self.out.push(Effect::Ask(request));
    }
}
