//! Recordings, and what a station makes of them.

use std::time::Duration;

use khumbu::parity::{self, Sending, StationFile};
use khumbu::recording::{Message, Recording};
use khumbu::scenario;

/// With a token validator and a token provider, so that more of what comes means something.
const STATION: &str = "evses: 2\nauth_token_validator: {}\nauth_token_provider: {}\n";

/// More lines take long to play, and show nothing that fewer do not.
const PLAYED: usize = 40;

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let recording = match Recording::parse("x.jsonl", text) {
        Ok(recording) => recording,
        Err(diagnostics) => return super::are_inside(&diagnostics, text),
    };
    for message in &recording.messages {
        // As a recorder writes it that has seen it on the wire.
        let seen = Message::new(
            Duration::from_millis(message.t_ms),
            &message.topic,
            &message.bytes,
            message.qos,
            message.retain,
        );
        let line = seen.to_line();
        let again = Recording::parse("again.jsonl", &line);
        let [again] = &again.unwrap_or_else(|error| panic!("{line} cannot be read: {error:?}")).messages[..] else {
            panic!("{line} is not one message");
        };
        assert_eq!(again, &Message { line: 1, ..seen }, "{line}");
        assert_eq!(again.to_line(), line, "another line the second time");
    }
    if recording.messages.len() <= PLAYED {
        let station: StationFile = scenario::parse_around_station("station.yaml", STATION).expect("it is valid");
        parity::compare(&recording, &station, parity::TOLERANCE, Sending::InTurn);
    }
}
