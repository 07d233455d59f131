//! Reservations: the outcomes that EVerest's own tests expect (`reservation_tests.cpp`, `auth_tests.cpp`), and what tells
//! EVSEs and the world of them.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::protocol::types::ConnectorType::{self, Other3Ph, Unknown, cCCS2, cTesla, cType1, cType2, sType2, sType3};
use crate::protocol::types::ReservationResult::{self, Accepted, Faulted, Occupied, Rejected, Unavailable};

impl Bench {
    fn with_evses(evses: &[&[ConnectorType]]) -> Self {
        let mut bench = Bench::new(u8::try_from(evses.len()).unwrap(), &config());
        for (id, types) in (1..).zip(evses) {
            bench.auth = bench.auth.with_connectors(id, types);
        }
        bench
    }

    fn wish(&mut self, reservation: Reservation) -> ReservationResult {
        let id = reservation.reservation_id;
        let from = self.trace.len();
        self.feed(Input::Reserve(reservation));
        let results = [Accepted, Faulted, Occupied, Rejected, Unavailable];
        let is_it = |result: &ReservationResult| self.trace[from..].contains(&format!("reservation {id} {result:?}"));
        results.into_iter().find(is_it).unwrap()
    }

    fn reserve(&mut self, id: i32, token: &str, evse: Option<i32>) -> ReservationResult {
        self.wish(reservation(id, token, evse))
    }

    fn cancel(&mut self, reservation_id: i32) {
        self.feed(Input::CancelReservation { reservation_id });
    }
}

/// For an hour.
fn reservation(reservation_id: i32, token: &str, evse_id: Option<i32>) -> Reservation {
    Reservation {
        reservation_id,
        id_token: token.to_owned(),
        parent_id_token: None,
        evse_id,
        connector_type: None,
        expires: Some(seconds(3600)),
    }
}

#[test]
fn global_reservations_leave_every_car_an_evse_in_whatever_order_they_come() {
    const BOTH: &[ConnectorType] = &[cCCS2, cType2];
    const CCS: &[ConnectorType] = &[cCCS2];
    type Wishes<'a> = &'a [(ConnectorType, ReservationResult)];
    let one_of_three: &[&[ConnectorType]] = &[CCS, BOTH, BOTH];
    let cases: [(&[&[ConnectorType]], Wishes<'_>); 12] = [
        (
            one_of_three,
            &[(cCCS2, Accepted), (cCCS2, Accepted), (cCCS2, Accepted), (cCCS2, Occupied), (cType2, Occupied)],
        ),
        (one_of_three, &[(cType2, Accepted), (cCCS2, Accepted), (cType2, Occupied), (cCCS2, Occupied)]),
        (one_of_three, &[(cType2, Accepted), (cType2, Accepted), (cCCS2, Occupied), (cType2, Occupied)]),
        (one_of_three, &[(cCCS2, Accepted), (cType2, Accepted), (cType2, Occupied)]),
        (&[CCS, CCS, BOTH, CCS], &[(cCCS2, Accepted), (cType2, Occupied), (cCCS2, Accepted)]),
        (&[CCS, CCS, BOTH], &[(cType2, Accepted), (cType2, Occupied), (cCCS2, Occupied)]),
        (&[&[cCCS2, sType3]], &[(cType2, Rejected), (Unknown, Accepted)]),
        (
            &[BOTH, BOTH, BOTH],
            &[(cCCS2, Accepted), (Unknown, Accepted), (Unknown, Accepted), (cCCS2, Occupied), (Unknown, Occupied)],
        ),
        (&[BOTH, BOTH, BOTH], &[(Unknown, Accepted), (cCCS2, Accepted), (cType2, Accepted), (cCCS2, Occupied)]),
        (
            &[&[Unknown, Unknown], &[Unknown, Unknown], &[Unknown, Unknown]],
            &[(cCCS2, Accepted), (Unknown, Accepted), (Other3Ph, Accepted), (cCCS2, Occupied)],
        ),
        (
            &[CCS, CCS, CCS],
            &[(cCCS2, Accepted), (Unknown, Accepted), (cType2, Rejected), (cCCS2, Accepted), (cCCS2, Occupied)],
        ),
        (
            &[BOTH, &[cType2, cTesla], &[cTesla, cCCS2]],
            &[
                (cType1, Rejected),
                (cCCS2, Accepted),
                (cType2, Accepted),
                (cTesla, Occupied),
                (cCCS2, Occupied),
                (cType2, Occupied),
            ],
        ),
    ];
    for (case, (evses, wishes)) in (1..).zip(cases) {
        let mut bench = Bench::with_evses(evses);
        for (id, (wanted, expected)) in (0..).zip(wishes) {
            let wish = Reservation { connector_type: Some(*wanted), ..reservation(id, "T", None) };
            assert_eq!(bench.wish(wish), *expected, "scenario {case}, wish {id}");
        }
    }
}

#[test]
fn an_evse_that_cannot_be_used_cannot_be_reserved() {
    let mut bench = Bench::with_evses(&[&[cCCS2, sType2], &[cCCS2]]);
    assert_eq!(bench.reserve(1, "A", Some(3)), Rejected, "no such EVSE");
    let of_type = |kind| Reservation { connector_type: Some(kind), ..reservation(1, "A", Some(1)) };
    assert_eq!(bench.wish(of_type(cTesla)), Rejected, "no such connector");
    let late = Reservation { expires: None, ..reservation(1, "A", Some(1)) };
    assert_eq!(bench.wish(late), Rejected, "expired");
    let report = |bench: &mut Bench, connector, event| bench.feed(Input::Session { evse: 1, connector, event });
    report(&mut bench, 1, SessionEvent::Disabled);
    assert_eq!(bench.wish(of_type(cCCS2)), Unavailable);
    assert_eq!(bench.wish(of_type(sType2)), Accepted);
    bench.cancel(1);
    report(&mut bench, 2, SessionEvent::Faulted);
    assert_eq!(bench.wish(of_type(sType2)), Faulted);
    assert_eq!(bench.reserve(1, "A", Some(1)), Faulted, "the worse of the two");
    report(&mut bench, 2, SessionEvent::FaultCleared);
    bench.plug_in(1);
    assert_eq!(bench.reserve(1, "A", Some(1)), Occupied);
    bench.refuses = true;
    assert_eq!(bench.reserve(2, "A", Some(2)), Rejected, "the EVSE has its say");
    bench.refuses = false;
    assert_eq!(bench.reserve(2, "A", Some(2)), Accepted);
    assert_eq!(bench.reserve(3, "B", Some(2)), Occupied, "one a time");
    assert_eq!(bench.reserve(2, "B", Some(2)), Accepted, "the same id takes its place");
}

#[test]
fn a_reserved_evse_is_granted_to_its_token_or_group_and_to_nobody_else() {
    let mut bench = Bench::new(2, &plug_events());
    let group = Reservation { parent_id_token: Some("FLEET".to_owned()), ..reservation(7, "alice", Some(1)) };
    assert_eq!(bench.wish(group), Accepted);
    assert_eq!(bench.seen(), ["evse 1: reserve 7", "update 7 Placed", "reservation 7 Accepted"]);
    bench.plug_in(1);
    bench.present(rfid_for("B", &[1, 2]));
    bench.answer(&[accepted()]);
    let seen = bench.seen();
    assert!(seen.contains(&"evse 1: response NotAtThisTime".to_owned()), "{seen:?}");
    assert_eq!(seen.last().unwrap(), "B Rejected [1, 2]");
    bench.present(rfid_for("C", &[1, 2]));
    bench.answer(&[of_group("fleet")]);
    let seen = bench.seen();
    assert_eq!(seen.last().unwrap(), "C UsedToStart [1] of fleet", "{seen:?}");
    // It is used up, and nobody is told.
    assert!(!seen.iter().any(|line| line.contains("update") || line.contains("cancel")), "{seen:?}");
    bench.cancel(7);
    assert_eq!(bench.seen(), ["reservation 7 cancelled: false"]);
}

#[test]
fn validators_are_not_asked_where_all_is_reserved_for_others() {
    let mut bench = Bench::new(2, &config());
    for (id, token) in [(1, "A"), (2, "B")] {
        assert_eq!(bench.reserve(id, token, None), Accepted);
    }
    bench.seen();
    bench.present(rfid("C"));
    assert_eq!(bench.seen(), ["C Processing", "C Rejected"]);
    // A global reservation is for whatever EVSE its token finds.
    bench.present(rfid("b"));
    bench.answer(&[accepted()]);
    assert_eq!(bench.seen().last().unwrap(), "b UsedToStart [1]");
}

#[test]
fn a_reservation_ends_by_time_by_command_or_because_it_cannot_be_kept() {
    let mut bench = Bench::with_evses(&[&[cCCS2], &[sType2]]);
    let short = Reservation { expires: Some(seconds(5)), ..reservation(1, "A", Some(1)) };
    assert_eq!(bench.wish(short), Accepted);
    bench.seen();
    assert_eq!(bench.auth.next_deadline(), Some(seconds(5)));
    bench.now = seconds(5);
    bench.feed(Input::Deadline);
    assert_eq!(bench.seen(), ["evse 1: cancel reservation", "update 1 Expired"]);

    assert_eq!(bench.reserve(2, "A", Some(1)), Accepted);
    bench.seen();
    bench.cancel(2);
    assert_eq!(bench.seen(), ["evse 1: cancel reservation", "reservation 2 cancelled: true"], "without an update");

    let wish = Reservation { connector_type: Some(cCCS2), ..reservation(3, "A", Some(1)) };
    assert_eq!(bench.wish(wish), Accepted);
    bench.seen();
    bench.report(1, SessionEvent::Faulted);
    assert_eq!(bench.seen(), ["evse 1: cancel reservation", "update 3 Removed"]);
    bench.report(1, SessionEvent::FaultCleared);

    // The only EVSE that would do for a global one.
    let wish = Reservation { connector_type: Some(sType2), ..reservation(4, "A", None) };
    assert_eq!(bench.wish(wish), Accepted);
    bench.seen();
    bench.report(2, SessionEvent::Disabled);
    let seen = bench.seen();
    assert!(seen.contains(&"update 4 Removed".to_owned()), "{seen:?}");
}

#[test]
fn evses_are_told_when_global_reservations_need_them() {
    let mut bench = Bench::new(2, &config());
    assert_eq!(bench.reserve(1, "A", None), Accepted);
    assert_eq!(bench.seen(), ["update 1 Placed", "reservation 1 Accepted"]);
    bench.grant(2, "X");
    bench.report(2, SessionEvent::TransactionStarted);
    assert_eq!(bench.seen(), ["X UsedToStart [2]", "evse 1: reserve -1", "update -1 Placed"].split_at(1).1);
    bench.report(2, SessionEvent::TransactionFinished);
    bench.report(2, SessionEvent::SessionFinished);
    assert_eq!(bench.seen(), ["evse 1: cancel reservation"]);
}
