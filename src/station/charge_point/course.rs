//! What flowed in a transaction, and when that changed. Between two changes power is constant, so that a few of them draw
//! all of it, however long it ran. Pure.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::connector::to_watt_hours;

/// So many changes are kept; of more than that, every other one is forgotten. What flowed in all stays right.
const MOST: usize = 200;

/// The course of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Course {
    transaction_id: String,
    began_at: Duration,
    /// The register of the meter then.
    began_with: u64,
    changes: Vec<Change>,
    /// When it ended, and the register then.
    end: Option<(Duration, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    at: Duration,
    register: u64,
    power: u32,
}

/// The course of a connector's latest transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CourseOverview {
    /// The transaction.
    pub transaction_id: String,
    /// Whether it has ended.
    pub has_ended: bool,
    /// How long it has run, in milliseconds.
    pub ran_ms: u64,
    /// What has flowed, in watt-hours.
    pub energy_wh: u64,
    /// When power changed, from the beginning on; the latest 200 or so.
    pub changes: Vec<ChangeOverview>,
}

/// A change of power.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChangeOverview {
    /// How long the transaction had run, in milliseconds.
    pub at_ms: u64,
    /// What had flowed until then, in watt-hours.
    pub energy_wh: u64,
    /// What flows from then on, in watts.
    pub power_w: u32,
}

impl Course {
    pub fn begin(transaction_id: String, at: Duration, register: u64) -> Self {
        Self { transaction_id, began_at: at, began_with: register, changes: Vec::new(), end: None }
    }

    /// Since this moment, and this state of the register, so many watts have flowed.
    pub fn flows(&mut self, at: Duration, register: u64, power: u32) {
        if self.end.is_some() || self.changes.last().is_some_and(|last| last.power == power) {
            return;
        }
        self.changes.push(Change { at, register, power });
        if self.changes.len() > MOST {
            let mut number = 0;
            self.changes.retain(|_| {
                number += 1;
                number % 2 == 1
            });
        }
    }

    /// The transaction, which is called so by now, ends.
    pub fn end(&mut self, id: &str, at: Duration, register: u64) {
        if self.end.is_none() {
            id.clone_into(&mut self.transaction_id);
            self.end = Some((at, register));
        }
    }

    /// As it looks at this moment; `id` is what the transaction is called now, if it runs.
    pub fn overview(&self, now: (Duration, u64), power: u32, id: Option<&str>) -> CourseOverview {
        let mut so_far = self.clone();
        so_far.flows(now.0, now.1, power);
        let (at, register) = self.end.unwrap_or(now);
        let millis = |at: Duration| u64::try_from(at.saturating_sub(self.began_at).as_millis()).unwrap_or(u64::MAX);
        let energy = |register: u64| to_watt_hours(register).saturating_sub(to_watt_hours(self.began_with));
        let changes = so_far.changes.iter().map(|it| ChangeOverview {
            at_ms: millis(it.at),
            energy_wh: energy(it.register),
            power_w: it.power,
        });
        CourseOverview {
            transaction_id: id.unwrap_or(&self.transaction_id).to_owned(),
            has_ended: self.end.is_some(),
            ran_ms: millis(at),
            energy_wh: energy(register),
            changes: changes.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILOWATT_HOUR: u64 = 3_600_000_000;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn changes(course: &CourseOverview) -> Vec<(u64, u64, u32)> {
        course.changes.iter().map(|it| (it.at_ms, it.energy_wh, it.power_w)).collect()
    }

    #[test]
    fn it_has_when_power_changed_and_what_had_flowed_by_then() {
        let mut course = Course::begin("1".to_owned(), secs(100), KILOWATT_HOUR);
        let now = course.overview((secs(100), KILOWATT_HOUR), 7000, Some("named"));
        assert_eq!((now.transaction_id.as_str(), changes(&now)), ("named", vec![(0, 0, 7000)]));
        course.flows(secs(100), KILOWATT_HOUR, 7000);
        course.flows(secs(101), KILOWATT_HOUR + 1, 7000);
        course.flows(secs(160), 2 * KILOWATT_HOUR, 0);
        let now = course.overview((secs(200), 2 * KILOWATT_HOUR), 3000, None);
        assert_eq!(changes(&now), [(0, 0, 7000), (60_000, 1000, 0), (100_000, 1000, 3000)]);
        assert_eq!((now.has_ended, now.ran_ms, now.energy_wh), (false, 100_000, 1000));
    }

    #[test]
    fn it_stays_as_it_ended() {
        let mut course = Course::begin("1".to_owned(), secs(0), 0);
        course.flows(secs(0), 0, 7000);
        course.end("named", secs(10), KILOWATT_HOUR);
        course.flows(secs(20), KILOWATT_HOUR, 0);
        course.end("other", secs(30), 2 * KILOWATT_HOUR);
        let later = course.overview((secs(40), KILOWATT_HOUR), 0, None);
        assert_eq!((later.has_ended, later.ran_ms, later.energy_wh), (true, 10_000, 1000));
        assert_eq!((later.transaction_id.as_str(), changes(&later)), ("named", vec![(0, 0, 7000)]));
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let mut course = Course::begin("1".to_owned(), secs(0), 0);
        (0..10_000).for_each(|second| course.flows(secs(second), second, u32::try_from(second % 7).unwrap_or(0)));
        assert!(course.changes.len() <= MOST);
        assert_eq!(course.changes[0].at, secs(0), "its beginning stays");
    }
}
