//! What a CSMS says to a charge point, in OCPP 1.6 and 2.0.1.
//!
//! Each line is a frame, in which `"?"` stands for the id of the request that waits for an answer; but `+60` lets a minute
//! pass, and `!` cuts the connection.

use std::collections::VecDeque;
use std::time::Duration;

use khumbu::ocpp::frame::Frame;
use khumbu::ocpp::{Effect, Identity, Input, OcppVersion, Session};
use khumbu::scenario;
use khumbu::station::config::StationConfig;
use khumbu::station::{self, Station};

const STATION: &str = "evses: 2\ncharge_point: {csms: outside}\ntokens: {A: {value: A, type: ISO14443}}\n";

/// More lines show nothing that fewer do not.
const MOST: usize = 60;

struct Bench {
    version: OcppVersion,
    config: StationConfig,
    station: Station,
    session: Session,
    now: Duration,
    /// The ids of requests in their order; the last may wait for its answer.
    asked: Vec<String>,
    /// The ids in what was answered since the last frame came.
    answered: Vec<String>,
    is_open: bool,
    restarts: usize,
}

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for version in [OcppVersion::Ocpp16, OcppVersion::Ocpp201] {
        let config = scenario::parse_station("station.yaml", STATION).expect("it is valid");
        let identity = Identity {
            version,
            vendor: "V".to_owned(),
            model: "M".to_owned(),
            evses: 2,
            id_prefix: "t".to_owned(),
            seed: 7,
        };
        let (station, session) = (Station::new(&config), Session::new(identity));
        let now = Duration::from_secs(1_790_000_000);
        let (asked, answered) = (Vec::new(), Vec::new());
        let mut bench = Bench { version, config, station, session, now, asked, answered, is_open: false, restarts: 0 };
        bench.station_takes(station::Input::Ready);
        for line in text.lines().take(MOST) {
            bench.line(line);
        }
    }
}

impl Bench {
    fn line(&mut self, line: &str) {
        if let Some(seconds) = line.strip_prefix('+').and_then(|seconds| seconds.parse::<u16>().ok()) {
            self.now += Duration::from_secs(seconds.into());
            self.station_takes(station::Input::Deadline);
            return self.session_takes(Input::Deadline);
        }
        if line == "!" {
            self.is_open = false;
            return self.session_takes(Input::Closed("cut".to_owned()));
        }
        let asked = self.asked.last().cloned().unwrap_or_default();
        let text = line.replace("\"?\"", &format!("\"{asked}\""));
        let read = Frame::parse(&text);
        if let Ok(frame) = &read {
            let written = frame.to_text();
            match (Frame::parse(&written), frame) {
                // Longer descriptions are cut.
                (Ok(Frame::Error { id, code, .. }), Frame::Error { id: of, code: as_it, .. }) => {
                    assert_eq!((&id, &code), (of, as_it));
                }
                (again, frame) => assert_eq!(again.as_ref(), Ok(frame), "{written}"),
            }
        }
        self.answered.clear();
        let was_open = self.is_open;
        self.session_takes(Input::Received(text));
        if let Ok(Frame::Call { id, .. }) = read {
            // 1.6, 4.2: a charge point that the CSMS has rejected does not answer at all.
            if was_open && self.version == OcppVersion::Ocpp201 {
                assert!(!self.answered.is_empty(), "{id} is not answered");
            }
            assert!(self.answered.len() <= 1, "{id} is answered twice: {:?}", self.answered);
            assert!(self.answered.iter().all(|it| *it == id), "{id} is answered as {:?}", self.answered);
        }
    }

    fn station_takes(&mut self, input: station::Input) {
        let effects = self.station.apply(self.now, input);
        self.reports(effects);
    }

    fn reports(&mut self, effects: Vec<station::Effect>) {
        for effect in effects {
            if let station::Effect::Csms(report) = effect {
                self.session_takes(Input::Reported(report));
            }
        }
    }

    fn session_takes(&mut self, input: Input) {
        let mut effects: VecDeque<Effect> = self.session.apply(self.now, input).into();
        while let Some(effect) = effects.pop_front() {
            let input = match effect {
                Effect::Connect => {
                    self.is_open = true;
                    Some(Input::Opened)
                }
                Effect::Send(text) => {
                    self.sent(&text);
                    None
                }
                Effect::Tell(said) => {
                    self.station_takes(station::Input::Csms(said));
                    None
                }
                Effect::Ask(request) => {
                    let (answer, effects) = self.station.request(self.now, request);
                    self.reports(effects);
                    Some(Input::Answered(answer))
                }
                Effect::Restart => {
                    self.restarts += 1;
                    assert!(self.restarts <= 2 * MOST, "it restarts for ever");
                    let before = std::mem::replace(&mut self.station, Station::new(&self.config));
                    self.station.remember(&before);
                    self.station_takes(station::Input::Ready);
                    None
                }
                Effect::Close => {
                    self.is_open = false;
                    None
                }
                Effect::Ping | Effect::Note(..) => None,
            };
            if let Some(input) = input {
                let more = self.session.apply(self.now, input);
                more.into_iter().rev().for_each(|effect| effects.push_front(effect));
            }
        }
    }

    fn sent(&mut self, text: &str) {
        match Frame::parse(text) {
            Ok(Frame::Call { id, .. }) => {
                assert!(!self.asked.contains(&id), "{id} again");
                self.asked.push(id);
            }
            Ok(Frame::Result { id, .. } | Frame::Error { id, .. }) => self.answered.push(id),
            Err(unreadable) => panic!("{:?} says what is no frame: {text}: {unreadable:?}", self.version),
        }
    }
}
