//! The sense of steps at the station: connectors that are there, reservations that can be made, and what can happen at once.

use std::time::Duration;

use super::Checker;
use crate::protocol::channel::{ApiType, Channel};
use crate::scenario::api::is_spoken;
use crate::scenario::model::{Reserve, SetReply};
use crate::scenario::step::Step;
use crate::scenario::{Pointer, played};

impl Checker<'_> {
    pub(super) fn check_connector(&mut self, evse: i32, connector: Option<i32>, pointer: &Pointer) {
        let Some(connector) = connector else { return };
        let connectors = &self.scenario.model.station.connectors;
        let count = u8::try_from(evse).ok().and_then(|evse| connectors.get(&evse)).map_or(1, Vec::len);
        if usize::try_from(connector).map_or(true, |connector| connector == 0 || connector > count) {
            let has = match count {
                0 => "none".to_owned(),
                1 => "1 connector".to_owned(),
                _ => format!("connectors 1 to {count}"),
            };
            let headline = format!("unknown connector `{connector}`: EVSE {evse} has {has}");
            self.report("scenario/unknown-connector", pointer, headline).help =
                Some(format!("`station: {{connectors: {{{evse}: [cCCS2, sType2]}}}}` gives it more"));
        }
    }

    pub(super) fn check_reserve(&mut self, reserve: &Reserve, at: &Pointer) {
        match (&reserve.token, &reserve.id_token) {
            (Some(_), Some(_)) => {
                let headline = "reserve has both `token` and `id_token`";
                self.report_key("scenario/two-tokens", &at.key("id_token"), headline).help =
                    Some("`token` names a token of the station, `id_token` is the value of one".to_owned());
            }
            (None, None) => {
                self.report_key("scenario/no-token", at, "reserve has neither `token` nor `id_token`").help =
                    Some("say for whom: `token: ALICE`, or `id_token: \"04A2F3B1\"`".to_owned());
            }
            _ => {}
        }
        if let Some(evse) = reserve.evse_id.filter(|evse| *evse < 1) {
            let headline = format!("EVSE ids begin with 1, not with `{evse}`");
            self.report("scenario/unknown-evse", &at.key("evse_id"), headline).help =
                Some("leave `evse_id` out for a reservation of any EVSE".to_owned());
        }
        if let (Some(_), Some(_)) = (reserve.expires_in, reserve.expired_for) {
            let headline = "reserve has both `expires_in` and `expired_for`";
            self.report_key("scenario/bad-timespan", &at.key("expired_for"), headline);
        }
        if reserve.expires_in.is_some_and(|span| span.0 < Duration::from_millis(1)) {
            let headline = "a reservation that expires at once; `expired_for` makes one that has expired";
            self.report("scenario/bad-timespan", &at.key("expires_in"), headline);
        }
    }

    pub(super) fn check_set_reply(&mut self, set: &SetReply, at: &Pointer) {
        let model = &self.scenario.model;
        let spoken = ApiType::all().filter(|api| is_spoken(*api, model));
        let requests = spoken.flat_map(ApiType::channels).filter(|it| it.is_request() && !it.is_from_everest());
        let names: Vec<_> = requests.map(Channel::name).collect();
        if !names.contains(&set.to.name()) {
            let headline = format!("no client asks EVerest `{}` here", set.to.name());
            let names = if names.is_empty() { "there are no requests".to_owned() } else { names.join(", ") };
            self.report("scenario/no-request", &at.key("to"), headline).evidence.push(format!("requests: {names}"));
        }
        if set.payload.is_some() && set.never {
            let headline = "set_reply has both `payload` and `never`";
            self.report_key("scenario/two-replies", &at.key("never"), headline).help =
                Some("`payload` is the reply, `never: true` means that there is none".to_owned());
        }
        match set.after {
            Some(_) if set.payload.is_none() => {
                let headline = "`after` says when a reply comes that `payload` says";
                self.report_key("scenario/two-replies", &at.key("after"), headline).help =
                    Some("EVerest's own reply comes late with `delay: {message: reply, by: 2s}`".to_owned());
            }
            Some(after) => self.check_span(after.0, "a delay", &at.key("after")),
            None => {}
        }
    }

    pub(super) fn check_at_once(&mut self, steps: &[Step], at: &Pointer) {
        if steps.len() < 2 {
            self.report_key("scenario/at-once", at, "at_once needs two steps or more");
        }
        for (pointer, step) in played(steps, at, self.release) {
            if step.row(self.scenario.model.frame()).may_be_at_once {
                self.check_step(step, &pointer, 0);
            } else {
                let headline = "at_once holds what happens at the station only, such as `present_token` and `plug_in`";
                self.report("scenario/at-once", &pointer, headline);
            }
        }
    }
}
