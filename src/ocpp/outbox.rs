//! Messages of transactions: kept until the CSMS has them, in their order (OCPP 1.6, 4.2 and 3.7; 2.0.1, E04 and E13).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::call::Occasion;
use crate::station::charge_point::Report;

/// The messages of transactions that the CSMS has not taken.
#[derive(Debug, Clone, Default)]
pub struct Outbox {
    kept: VecDeque<Kept>,
    /// What the CSMS calls transactions that the charge point had named before.
    names: BTreeMap<String, String>,
    /// The number of the next event of each transaction.
    numbers: BTreeMap<String, i32>,
    /// When the first one may be sent again.
    not_before: Duration,
}

#[derive(Debug, Clone)]
struct Kept {
    report: Report,
    occasion: Occasion,
    attempts: u32,
}

/// The most messages; of more, meter values are forgotten first.
const MOST: usize = 10_000;

/// Which transaction a report is about.
pub fn transaction(report: &Report) -> Option<&str> {
    match report {
        Report::TransactionStarted { transaction, .. } | Report::TransactionStopped { transaction, .. } => {
            Some(&transaction.id)
        }
        Report::MeterValue { transaction_id, .. } | Report::ChargingState { transaction_id, .. } => {
            Some(transaction_id)
        }
        Report::Authorize { .. }
        | Report::Status { .. }
        | Report::ReservationEnded { .. }
        | Report::Booted { .. }
        | Report::Configured(_) => None,
    }
}

impl Outbox {
    /// Keeps a report about a transaction.
    pub fn keep(&mut self, report: Report, at: Duration, is_offline: bool) {
        let Some(id) = transaction(&report) else { return };
        let number = self.numbers.entry(id.to_owned()).or_default();
        let occasion = Occasion { at, seq_no: Some(*number), is_offline };
        *number = number.saturating_add(1);
        if matches!(report, Report::TransactionStopped { .. }) {
            let id = id.to_owned();
            self.numbers.remove(&id);
        }
        if self.kept.len() >= MOST {
            // The first one may be on its way.
            let is_meter = |kept: &Kept| matches!(kept.report, Report::MeterValue { .. });
            let position = self.kept.iter().skip(1).position(is_meter).map_or(1, |position| position + 1);
            self.kept.remove(position);
        }
        self.kept.push_back(Kept { report, occasion, attempts: 0 });
    }

    /// When the first one may be sent; `None` if there is none.
    pub fn at(&self) -> Option<Duration> {
        (!self.kept.is_empty()).then_some(self.not_before)
    }

    /// The first one, and what the CSMS calls its transaction.
    pub fn first(&self) -> Option<(&Report, Occasion, Option<&str>)> {
        let kept = self.kept.front()?;
        Some((&kept.report, kept.occasion, self.named(transaction(&kept.report)?)))
    }

    /// Whether messages of this transaction are waiting, or of any.
    pub fn has(&self, id: Option<&str>) -> bool {
        self.kept.iter().any(|kept| id.is_none_or(|id| transaction(&kept.report) == Some(id)))
    }

    /// What the CSMS calls a transaction, if it gave it a name.
    pub fn named(&self, id: &str) -> Option<&str> {
        self.names.get(id).map(String::as_str)
    }

    /// The CSMS has the first one, or will never have it.
    pub fn drop_first(&mut self) -> Option<Report> {
        self.not_before = Duration::ZERO;
        let report = self.kept.pop_front()?.report;
        if let Report::TransactionStopped { transaction, .. } = &report {
            self.names.retain(|id, named| *id != transaction.id && *named != transaction.id);
        }
        Some(report)
    }

    /// The CSMS names a transaction.
    pub fn name(&mut self, id: &str, named: &str) {
        self.names.insert(id.to_owned(), named.to_owned());
    }

    /// The CSMS did not take the first one. It is tried again after `interval` times the tries so far, unless there
    /// were `most` (OCPP 1.6, TransactionMessageAttempts); `false` if that is so.
    pub fn put_off(&mut self, now: Duration, most: u32, interval: Duration) -> bool {
        let Some(first) = self.kept.front_mut() else { return true };
        first.attempts = first.attempts.saturating_add(1);
        self.not_before = now.saturating_add(interval.saturating_mul(first.attempts));
        first.attempts < most
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn meter(id: &str, meter_wh: u64) -> Report {
        Report::MeterValue { evse: 1, transaction_id: id.to_owned(), meter_wh, power_w: 0 }
    }

    #[test]
    fn events_are_numbered_within_their_transaction() {
        let mut outbox = Outbox::default();
        for id in ["a", "b", "a", "a", "b"] {
            outbox.keep(meter(id, 0), Duration::ZERO, false);
        }
        let mut numbers = Vec::new();
        while let Some((report, occasion, _)) = outbox.first() {
            numbers.push(format!("{}{}", transaction(report).unwrap(), occasion.seq_no.unwrap()));
            outbox.drop_first();
        }
        assert_eq!(numbers, ["a0", "b0", "a1", "a2", "b1"]);
    }

    #[test]
    fn what_fails_is_tried_again_later_and_not_for_ever() {
        let mut outbox = Outbox::default();
        outbox.keep(meter("a", 1), Duration::ZERO, false);
        let interval = Duration::from_secs(60);
        assert!(outbox.put_off(Duration::from_secs(100), 3, interval));
        assert_eq!(outbox.at(), Some(Duration::from_secs(160)));
        assert!(outbox.put_off(Duration::from_secs(160), 3, interval));
        assert_eq!(outbox.at(), Some(Duration::from_secs(280)));
        assert!(!outbox.put_off(Duration::from_secs(280), 3, interval));
        assert_eq!(outbox.drop_first(), Some(meter("a", 1)));
        assert_eq!(outbox.at(), None);
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let mut outbox = Outbox::default();
        for number in 0..(MOST as u64 + 5) {
            outbox.keep(meter("a", number), Duration::ZERO, true);
        }
        assert_eq!(outbox.kept.len(), MOST);
        assert_eq!(outbox.drop_first(), Some(meter("a", 0)), "it may be on its way");
        assert_eq!(outbox.drop_first(), Some(meter("a", 6)));
    }
}
