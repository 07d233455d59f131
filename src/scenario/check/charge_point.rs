//! The sense of steps at the charge point: they need one of khumbu's own.

use super::Checker;
use crate::protocol::side::Side;
use crate::scenario::Pointer;
use crate::scenario::model::{Gateway, SendLocalList};
use crate::station::charge_point::config::CsmsLink;

/// The statuses that end a request (RFC 9110, 15).
const STATUSES: std::ops::RangeInclusive<u16> = 200..=599;

impl Checker<'_> {
    /// A step at a charge point that is not there, or a part of a step.
    pub(super) fn check_has_charge_point(&mut self, key: &str, at: &Pointer, below: &str) {
        let model = &self.scenario.model;
        let name = format!("{key}{}", below.replace('/', ": "));
        let (headline, help) = if model.under_test == Side::Everest {
            let headline = format!("`{name}` needs a charge point that khumbu plays, and EVerest is under test");
            (headline, "use it in a scenario with `under_test: client`")
        } else if model.station.charge_point.is_none() {
            (format!("`{name}` needs a charge point, and the station has none"), "add `station: {charge_point: {}}`")
        } else {
            return;
        };
        self.report_key("scenario/no-charge-point", &at.below(below), headline).help = Some(help.to_owned());
    }

    /// In a scenario nobody outside would answer.
    pub(super) fn check_csms_link(&mut self) {
        let charge_point = self.scenario.model.station.charge_point.as_ref();
        if charge_point.is_some_and(|it| it.csms == CsmsLink::Outside) {
            let headline = "a scenario has no CSMS outside, only the simulated one inside";
            self.report("scenario/bad-station", "/station/charge_point/csms", headline).help =
                Some("leave `csms` out".to_owned());
        }
    }

    pub(super) fn check_gateway(&mut self, gateway: &Gateway, at: &Pointer) {
        let path = &gateway.path;
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            let headline = format!("`{}` is no path of a request", path.escape_debug());
            self.report("scenario/bad-path", &at.key("path"), headline).help =
                Some("a path begins with `/` and has visible ASCII characters, such as `/ocpp/chargers`".to_owned());
        }
        if !STATUSES.contains(&gateway.status) {
            let headline = format!("`{}` is no status of an answer, they go from 200 to 599", gateway.status);
            self.report("scenario/bad-http-status", &at.key("status"), headline);
        }
        if let Some(body) = &gateway.body {
            self.check_filling(body, &at.key("body"));
        }
        let answers = self.known.answers;
        let schema = answers.and_then(|answers| answers(gateway.method.name(), path, gateway.status));
        let name = format!("the answer {} at `{path}`", gateway.status);
        let captured = self.check_beside(gateway.reply.as_ref(), &at.key("reply"), schema.as_ref(), &name);
        self.captured.extend(captured);
    }

    pub(super) fn check_local_list(&mut self, list: &SendLocalList, at: &Pointer) {
        for token in list.entries.keys() {
            let pointer = at.key("entries").key(token);
            let known = self.found.len();
            self.check_token(token, &pointer);
            // The name is the key here.
            for place in self.found[known..].iter_mut().filter_map(|found| found.place.as_mut()) {
                place.range = self.scenario.place_of_key(&pointer).range;
            }
        }
    }
}
