//! The sense of steps at the station: connectors that are there, reservations that can be made, and what can happen at once.

use std::time::Duration;

use super::Checker;
use crate::scenario::model::{AtConnector, Reserve, Step};
use crate::scenario::played;

impl Checker<'_> {
    pub(super) fn check_connector(&mut self, it: AtConnector, at: &str) {
        self.check_evse(it.evse, &format!("{at}/evse"));
        let Some(connector) = it.connector else { return };
        let connectors = &self.scenario.model.station.connectors;
        let count = u8::try_from(it.evse).ok().and_then(|evse| connectors.get(&evse)).map_or(1, Vec::len);
        if usize::try_from(connector).map_or(true, |connector| connector == 0 || connector > count) {
            let has = if count == 1 { "1 connector".to_owned() } else { format!("connectors 1 to {count}") };
            let headline = format!("unknown connector `{connector}`: EVSE {} has {has}", it.evse);
            self.report("scenario/unknown-connector", &format!("{at}/connector"), headline).help =
                Some(format!("`station: {{connectors: {{{}: [cCCS2, sType2]}}}}` gives it more", it.evse));
        }
    }

    pub(super) fn check_reserve(&mut self, reserve: &Reserve, at: &str) {
        if let Some(token) = &reserve.token {
            self.check_token(token, &format!("{at}/token"));
        }
        match (&reserve.token, &reserve.id_token) {
            (Some(_), Some(_)) => {
                let headline = "reserve has both `token` and `id_token`";
                self.report_key("scenario/two-tokens", &format!("{at}/id_token"), headline).help =
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
            self.report("scenario/unknown-evse", &format!("{at}/evse_id"), headline).help =
                Some("leave `evse_id` out for a reservation of any EVSE".to_owned());
        }
        if let (Some(_), Some(_)) = (reserve.expires_in, reserve.expired_for) {
            let headline = "reserve has both `expires_in` and `expired_for`";
            self.report_key("scenario/bad-timespan", &format!("{at}/expired_for"), headline);
        }
        if reserve.expires_in.is_some_and(|span| span.0 < Duration::from_millis(1)) {
            let headline = "a reservation that expires at once; `expired_for` makes one that has expired";
            self.report("scenario/bad-timespan", &format!("{at}/expires_in"), headline);
        }
    }

    pub(super) fn check_at_once(&mut self, steps: &[Step], at: &str) {
        if steps.len() < 2 {
            self.report_key("scenario/at-once", at, "at_once needs two steps or more");
        }
        for (pointer, step) in played(steps, at, self.release) {
            match step {
                Step::PresentToken(_)
                | Step::PlugIn(_)
                | Step::Unplug(_)
                | Step::StartTransaction(_)
                | Step::StopTransaction(_)
                | Step::PauseCharging(_)
                | Step::ResumeCharging(_)
                | Step::InjectFault(_)
                | Step::ClearFault(_)
                | Step::Disable(_)
                | Step::Enable(_) => self.check_step(step, &pointer, 0),
                _ => {
                    let headline =
                        "at_once holds what happens at the station only, such as `present_token` and `plug_in`";
                    self.report("scenario/at-once", &pointer, headline);
                }
            }
        }
    }
}
