//! The bugs of the built-in EVerest in what all its API modules do: heartbeats, communication checks, requests, discovery.

use std::time::Duration;

use serde_json::{Value, json};

use super::packet::{Memory, Packet, has_more, remove};
use super::{ANY, Bug};
use crate::protocol::channel::Channel;
use crate::protocol::deviations::Deviation;
use crate::protocol::side::Side;
use crate::station::config::StationConfig;

const HEARTBEAT: Channel = Channel::HEARTBEAT;
const CHECK: Channel = Channel::COMMUNICATION_CHECK;
pub(super) const STATUS: Channel = Channel::TOKEN_VALIDATION_STATUS;
pub(super) const WITHDRAW: Channel = Channel::WITHDRAW_AUTHORIZATION;
pub(super) const GET: Channel = Channel::GET_TOKEN_VALIDATION_STATUS;

/// Long enough to be seen as something of its own, short enough to be seen at all.
pub(super) const A_LITTLE: Duration = Duration::from_millis(200);

pub(super) const fn bug(name: &'static str, breaks: &'static str, does: &'static str) -> Bug {
    Bug::new(Side::Everest, ANY, name, breaks, does)
}

pub(super) static BUGS: &[Bug] = &[
    // Heartbeats.
    bug("heartbeat_as_text", "HB-1", "writes the number of a heartbeat as a text").publishing(|_, packet| {
        packet.when_on(HEARTBEAT, |packet| packet.changed(|number| *number = json!(number.to_string())).alone())
    }),
    bug("heartbeat_in_object", "HB-1", "wraps the number of a heartbeat up in an object").publishing(|_, packet| {
        packet.when_on(HEARTBEAT, |packet| packet.changed(|number| *number = json!({"id": number.take()})).alone())
    }),
    bug("heartbeat_skips", "HB-2", "leaves a number out after the third heartbeat").publishing(|_, packet| {
        packet.when_on(HEARTBEAT, |packet| counted(packet, |number| number + u64::from(number > 2)))
    }),
    bug("heartbeat_stands", "HB-2", "gives every heartbeat after the second the same number")
        .publishing(|_, packet| packet.when_on(HEARTBEAT, |packet| counted(packet, |number| number.min(2)))),
    bug("heartbeat_from_one", "HB-3", "begins with heartbeat 1")
        .publishing(|_, packet| packet.when_on(HEARTBEAT, |packet| counted(packet, |number| number.saturating_add(1)))),
    bug("heartbeat_at_half_pace", "HB-4", "takes twice the time between heartbeats")
        .simulating(|station| cadences(station, |interval| interval.saturating_mul(2))),
    bug("heartbeats_in_bursts", "HB-4", "holds heartbeats back and sends four at a time").publishing(
        |memory, packet| {
            packet.when_on(HEARTBEAT, |packet| {
                // What is first says that the module is ready.
                let is_first = memory.said_on(HEARTBEAT).next().is_none();
                memory.held.push(packet);
                if is_first || memory.held.len() == 4 { memory.held.drain(..).collect() } else { Vec::new() }
            })
        },
    ),
    bug("heartbeat_although_off", "HB-5", "sends heartbeats although they are off")
        .simulating(|station| cadences(station, |interval| if interval > 0 { interval } else { 50 })),
    // Communication checks.
    bug("deaf_after_false", "CC-5", "hears nothing more after the communication check `false`").hearing(
        |memory, packet| {
            let is_over = memory.heard_on(CHECK).any(|check| check.json() == json!(false));
            packet.when(|it| is_over && is_request(it), |_| Vec::new())
        },
    ),
    bug("check_must_be_boolean", "CC-6", "ends at a communication check that is no boolean").hearing(
        |memory, packet| {
            let is_fatal = packet.is_on(CHECK) && !packet.json().is_boolean();
            memory.crash_if(is_fatal, packet)
        },
    ),
    bug("deaf_while_checks_are_off", "CC-7", "takes no withdraw requests while communication checks are off").hearing(
        |memory, packet| {
            let is_off = memory.station.auth_consumer.cfg_communication_check_to_s <= 0;
            packet.when(|it| is_off && it.is_on(WITHDRAW), |_| Vec::new())
        },
    ),
    bug("check_by_text", "CC-10", "answers nobody after a `true` with blanks around it").hearing(|memory, packet| {
        let is_deaf = memory.heard_on(CHECK).any(|check| check.json() == json!(true) && check.raw() != "true");
        packet.when(|it| is_deaf && is_request(it), |_| Vec::new())
    }),
    // Requests.
    bug("replies_twice", "RR-1", "answers withdraw requests twice")
        .publishing(|memory, packet| reply(memory, packet, WITHDRAW, Packet::twice)),
    bug("replies_below_the_topic", "RR-1", "answers withdraw requests below their reply topic").publishing(
        |memory, packet| {
            reply(memory, packet, WITHDRAW, |packet| {
                let other = format!("{}/reply", packet.topic);
                packet.on(other).alone()
            })
        },
    ),
    bug("reply_in_envelope", "RR-1", "wraps the result of a withdraw request up in an object").publishing(
        |memory, packet| {
            reply(memory, packet, WITHDRAW, |packet| {
                packet.changed(|result| *result = json!({"result": result.take()})).alone()
            })
        },
    ),
    bug("headers_required", "RR-2", "does not execute a withdraw request without `headers`")
        .simulating(|station| switch(station, Deviation::ReplyAddressRequired, true)),
    bug("reply_to_must_be_usable", "RR-3", "does not execute a withdraw request whose `replyTo` is no topic").hearing(
        |_, packet| {
            let is_bad =
                packet.text("/headers/replyTo").is_some_and(|to| to.is_empty() || to.contains(['+', '#', '\0']));
            packet.when(|it| is_bad && it.is_on(WITHDRAW), |_| Vec::new())
        },
    ),
    bug("ends_at_wildcard", "RR-3", "ends at a `replyTo` with a wildcard").hearing(|memory, packet| {
        let is_fatal = packet.text("/headers/replyTo").is_some_and(|to| to.contains(['+', '#']));
        memory.crash_if(is_fatal && packet.is_on(WITHDRAW), packet)
    }),
    bug("any_reply_to", "RR-4", "executes a withdraw request whose `replyTo` is no string").hearing(|_, packet| {
        let is_odd = packet.json().pointer("/headers/replyTo").is_some_and(|to| !to.is_string());
        packet.when(|_| is_odd, |packet| packet.changed(|request| request["headers"] = json!({})).alone())
    }),
    bug("payload_optional", "RR-5", "executes a withdraw request without `payload`")
        .simulating(|station| switch(station, Deviation::MissingPayloadDropped, false)),
    bug("parameter_required", "RR-6", "does not execute a withdraw request without parameters").hearing(|_, packet| {
        let is_bare = packet.is_on(WITHDRAW) && packet.json()["payload"] == json!({});
        packet.when(|_| is_bare, |_| Vec::new())
    }),
    bug("evse_id_from_text", "RR-8", "takes a text with digits for an `evse_id`").hearing(|_, packet| {
        let number = packet.text("/payload/evse_id").and_then(|text| text.parse::<i32>().ok());
        packet.when(
            |_| number.is_some(),
            |packet| packet.changed(|request| request["payload"]["evse_id"] = json!(number)).alone(),
        )
    }),
    bug("fields_must_be_known_to_it", "RR-9", "does not execute a withdraw request with a field that it does not know")
        .hearing(|_, packet| {
            let request = packet.json();
            let is_odd = has_more(&request, &["headers", "payload"])
                || has_more(&request["payload"], &["evse_id", "id_token"])
                || has_more(&request["payload"]["id_token"], &["additional_info", "type", "value"]);
            packet.when(|it| is_odd && it.is_on(WITHDRAW), |_| Vec::new())
        }),
    bug("ends_without_json", "RR-10", "ends at a withdraw request that is not JSON").hearing(|memory, packet| {
        let is_fatal = packet.is_on(WITHDRAW) && serde_json::from_slice::<Value>(&packet.payload).is_err();
        memory.crash_if(is_fatal, packet)
    }),
    bug("first_reply_last", "RR-12", "holds the reply to its first withdraw request back").publishing(
        |memory, packet| {
            let is_first = !memory.said.iter().any(|said| memory.replies_to(WITHDRAW, said));
            reply(memory, packet, WITHDRAW, |packet| packet.when(|_| is_first, |packet| packet.later(A_LITTLE).alone()))
        },
    ),
    bug("heartbeat_retained", "RR-16", "publishes heartbeats with the retain flag")
        .publishing(|_, packet| packet.when_on(HEARTBEAT, |packet| packet.retained().alone())),
    bug("status_retained", "RR-16", "publishes statuses with the retain flag")
        .publishing(|_, packet| packet.when_on(STATUS, |packet| packet.retained().alone())),
    bug("publishes_at_qos_1", "RR-16", "publishes statuses at QoS 1").publishing(|_, packet| {
        packet.when_on(STATUS, |mut packet| {
            packet.qos = 1;
            packet.alone()
        })
    }),
    bug("heartbeats_under_m2e", "SC-2", "sends heartbeats under `m2e`, too").publishing(|_, packet| {
        packet.when_on(HEARTBEAT, |packet| {
            let other = packet.topic.replace("/e2m/", "/m2e/");
            vec![packet.clone(), packet.on(other)]
        })
    }),
    // Discovery.
    bug("one_module_found", "DI-1", "answers a discovery for one API module only").publishing(|memory, packet| {
        let is_answered = memory.said.iter().any(|said| said.topic == packet.topic);
        discovered(memory, packet, |packet| if is_answered { Vec::new() } else { packet.alone() })
    }),
    bug("found_twice", "DI-1", "answers a discovery twice for each API module")
        .publishing(|memory, packet| discovered(memory, packet, Packet::twice)),
    bug("found_without_id", "DI-1", "leaves the module id out of what it says to a discovery").publishing(
        |memory, packet| {
            discovered(memory, packet, |packet| packet.changed(|it| remove(it, "/apis/0", "module_id")).alone())
        },
    ),
    bug("found_for_any_type", "DI-2", "answers for API modules of other types than were asked for").hearing(
        |_, packet| {
            let all = packet.topic.split_once("query-modules/").map(|(base, _)| format!("{base}discover"));
            match all {
                Some(all) => packet.on(all).alone(),
                None => packet.alone(),
            }
        },
    ),
    bug("found_for_unknown_type", "DI-3", "answers for all API modules when it is asked for an unknown type")
        .subscribing(|_, filter| match filter.split_once("query-modules/") {
            Some((base, "auth_consumer")) => Some(format!("{base}query-modules/+")),
            Some(_) => None,
            None => Some(filter),
        })
        .hearing(|_, packet| {
            let unknown =
                packet.topic.split_once("query-modules/").filter(|(_, api)| !ANY.iter().any(|it| it.name() == *api));
            match unknown.map(|(base, _)| format!("{base}discover")) {
                Some(all) => packet.on(all).alone(),
                None => packet.alone(),
            }
        }),
    bug("ends_at_discovery", "DI-4", "ends at a discovery without `replyTo`").hearing(|memory, packet| {
        let is_fatal = packet.is_discovery() && packet.text("/headers/replyTo").is_none_or(|to| to.is_empty());
        memory.crash_if(is_fatal, packet)
    }),
    bug("no_beacon", "DI-5", "sends no beacon").publishing(|_, packet| packet.when(is_beacon, |_| Vec::new())),
    bug("beacon_of_null", "DI-5", "sends `null` as its beacon")
        .publishing(|_, packet| packet.when(is_beacon, |packet| packet.with(&Value::Null).alone())),
    bug("periods_by_default", "DI-7", "reports the default periods, whatever is configured").publishing(
        |memory, packet| {
            discovered(memory, packet, |packet| {
                let monitoring = "/apis/0/communication_monitoring";
                packet
                    .changed(|it| {
                        if let Some(periods) = it.pointer_mut(monitoring) {
                            periods["heartbeat_period_ms"] = json!(1000);
                        }
                    })
                    .alone()
            })
        },
    ),
    // MQTT.
    bug("status_on_topic_with_nul", "MQ-1", "publishes a status on a topic with U+0000").publishing(|_, packet| {
        packet.when_on(STATUS, |packet| {
            let other = format!("{}\0", packet.topic);
            vec![packet.clone(), packet.on(other)]
        })
    }),
    bug("status_on_no_topic", "MQ-2", "publishes a status on an empty topic")
        .publishing(|_, packet| packet.when_on(STATUS, |packet| vec![packet.clone(), packet.on("")])),
];

fn counted(packet: Packet, change: impl FnOnce(u64) -> u64) -> Vec<Packet> {
    match packet.json().as_u64() {
        Some(number) => packet.with(&json!(change(number))).alone(),
        None => packet.alone(),
    }
}

/// Changes the interval between heartbeats, in milliseconds, of each API module.
fn cadences(station: &mut StationConfig, change: fn(i32) -> i32) {
    let consumer = &mut station.auth_consumer.cfg_heartbeat_interval_ms;
    let provider = station.auth_token_provider.as_mut().map(|config| &mut config.cfg_heartbeat_interval_ms);
    let validator = station.auth_token_validator.as_mut().map(|config| &mut config.cfg_heartbeat_interval_ms);
    for interval in std::iter::once(consumer).chain(provider).chain(validator) {
        *interval = change(*interval);
    }
}

pub(super) fn switch(station: &mut StationConfig, deviation: Deviation, is_on: bool) {
    station.deviations.insert(deviation, is_on);
}

/// Whether a client asks for something here.
fn is_request(packet: &Packet) -> bool {
    packet.is_on(WITHDRAW) || packet.is_on(GET) || packet.is_discovery()
}

/// What passes in place of the reply to a request.
pub(super) fn reply(
    memory: &Memory,
    packet: Packet,
    channel: Channel,
    change: impl FnOnce(Packet) -> Vec<Packet>,
) -> Vec<Packet> {
    let is_it = memory.replies_to(channel, &packet);
    packet.when(|_| is_it, change)
}

/// What passes in place of what an API module says to a discovery.
fn discovered(memory: &Memory, packet: Packet, change: impl FnOnce(Packet) -> Vec<Packet>) -> Vec<Packet> {
    let is_it = memory.request_of(&packet).is_some_and(Packet::is_discovery);
    packet.when(|_| is_it, change)
}

fn is_beacon(packet: &Packet) -> bool {
    packet.topic.ends_with("everest_api/ready_beacon")
}

pub(super) fn status(packet: &Packet) -> Option<String> {
    packet.text("/status").filter(|_| packet.is_on(STATUS))
}
