//! MQTT itself, where it takes more than one packet to see a breach.

use super::*;

fn packet(direction: Direction, kind: &'static str, pkid: u16) -> Event {
    Event::Packet { direction, kind, pkid }
}

/// A client whose QoS 2 message the broker has received.
fn received() -> Wire {
    let mut wire = Wire::client();
    let publish = message(&topics().topic(Channel::COMMUNICATION_CHECK), "true", 7);
    wire.event("module", Event::Held { publish });
    wire.event("module", packet(Direction::ToClient, "PUBREC", 7));
    wire
}

#[test]
fn what_is_never_released_fails_once_the_client_says_other_things() {
    let mut wire = received();
    wire.after(1001).event("module", packet(Direction::FromClient, "PINGREQ", 0));
    let finding = wire.fails("monitor/broke-mqtt", "MQ-4");
    assert!(finding.headline.contains("on `…/m2e/communication_check`"), "{finding:#?}");
}

#[test]
fn what_is_released_lost_or_still_due_passes() {
    let ping = || packet(Direction::FromClient, "PINGREQ", 0);
    received().after(999).event("module", ping()).is_clean();
    received().after(5000).is_clean();
    received().after(2000).event("module-2", ping()).is_clean();
    let mut wire = received();
    wire.event("module", packet(Direction::FromClient, "PUBREL", 7)).after(2000).event("module", ping()).is_clean();
    let mut wire = received();
    let publish = message(&topics().topic(Channel::COMMUNICATION_CHECK), "true", 7);
    wire.packet("module", Direction::FromClient, publish.clone()).after(2000).event("module", ping()).is_clean();
    let mut wire = received();
    wire.disconnect("module", false).connect("module").after(2000).event("module", ping()).is_clean();
    // The broker may not have said that it has it, and what was said may be lost.
    let mut wire = Wire::client();
    wire.event("module", Event::Held { publish }).after(2000).event("module", ping()).is_clean();
    let mut wire = received();
    wire.event("broker", Event::Injected(khumbu::transcript::injected::Injected::BrokerAway));
    wire.after(2000).event("module", ping()).is_clean();
}
