//! The bugs of the built-in EVerest in what it does with tokens: withdrawing, statuses, the latch, providers and validators.

use std::time::Duration;

use serde_json::{Value, json};

use super::Bug;
use super::everest::{A_LITTLE, GET, STATUS, WITHDRAW, bug, reply, status, switch};
use super::packet::{Besides, Memory, Packet, remove};
use crate::protocol::channel::Channel;
use crate::protocol::deviations::Deviation;
use crate::protocol::types::{ProvidedIdToken, ValidationResult};
use crate::station::config::SelectionAlgorithm;

const TOKEN: Channel = Channel::PROVIDED_TOKEN;
const QUESTION: Channel = Channel::VALIDATE_TOKEN;
const UPDATE: Channel = Channel::VALIDATE_RESULT_UPDATE;

pub(super) static BUGS: &[Bug] = &[
    // Withdrawing.
    bug("unknown_evse_is_free", "WD-1", "answers `AuthorizationNotFound` of an EVSE that there is not")
        .publishing(|memory, packet| result(memory, packet, "EvseNotFound", "AuthorizationNotFound")),
    bug("withdrawn_unsaid", "WD-2", "says nothing of the status of a granted token that is withdrawn")
        .simulating(|station| switch(station, Deviation::NoWithdrawnForGranted, true)),
    bug("withdraws_nothing", "WD-2", "accepts a withdraw request by EVSE and does nothing").hearing(
        |memory, packet| {
            let is_by_evse = parameter(&packet, "evse_id").is_some() && parameter(&packet, "id_token").is_none();
            accept_only(memory, packet, is_by_evse)
        },
    ),
    bug("always_accepted", "WD-3", "answers `Accepted` where nothing is authorized")
        .publishing(|memory, packet| result(memory, packet, "AuthorizationNotFound", "Accepted")),
    bug("transaction_withdrawn", "WD-4", "says `Withdrawn` when it ends a transaction").publishing(|memory, packet| {
        let did = packet.json();
        let call = &did["evse_call"];
        let is_it = call["call"] == "stop_transaction" && call["arguments"]["reason"] == "DeAuthorized";
        let used = memory.said_on(STATUS).find(|it| status(it).as_deref() == Some("UsedToStart")).cloned();
        match used.filter(|_| is_it) {
            Some(used) => vec![packet, used.changed(|status| status["status"] = json!("Withdrawn"))],
            None => packet.alone(),
        }
    }),
    bug("transaction_goes_on", "WD-4", "accepts a withdraw request during a transaction and lets it go on").hearing(
        |memory, packet| {
            let control = memory.topics.control_topic();
            let is_charging =
                memory.heard.iter().any(|it| it.topic == control && it.raw().contains("start_transaction"));
            accept_only(memory, packet, is_charging)
        },
    ),
    bug("evse_alone_counts", "WD-5", "withdraws whatever token an EVSE has, where both are named").hearing(
        |_, packet| {
            let is_both = parameter(&packet, "evse_id").is_some() && parameter(&packet, "id_token").is_some();
            packet.when(|_| is_both, |packet| packet.changed(|request| remove(request, "/payload", "id_token")).alone())
        },
    ),
    bug("first_evse_only", "WD-6", "withdraws a token at the first of its EVSEs only").hearing(|memory, packet| {
        let value = parameter(&packet, "id_token").and_then(|token| Some(token["value"].as_str()?.to_owned()));
        let evse = value.and_then(|value| evses_of(memory, &value).into_iter().min());
        let is_it = parameter(&packet, "evse_id").is_none() && evse.is_some();
        packet.when(|_| is_it, |packet| packet.changed(|request| request["payload"]["evse_id"] = json!(evse)).alone())
    }),
    bug("everything_is_nothing", "WD-7", "answers `AuthorizationNotFound` to a withdraw request without parameters")
        .hearing(|_, packet| {
            let is_bare = packet.is_on(WITHDRAW) && packet.json()["payload"] == json!({});
            packet.when(|_| is_bare, nobodys)
        }),
    bug("case_matters", "WD-8", "tells upper and lower case of a token apart").hearing(|memory, packet| {
        let wanted = parameter(&packet, "id_token").and_then(|token| Some(token["value"].as_str()?.to_owned()));
        let is_other = wanted.is_some_and(|wanted| {
            let mut known = memory.said_on(STATUS).filter_map(token_value);
            known.any(|known| known != wanted && known.eq_ignore_ascii_case(&wanted))
        });
        packet.when(|_| is_other, nobodys)
    }),
    bug("type_does_not_matter", "WD-9", "withdraws a token whatever type the request says").hearing(
        |memory, packet| {
            let wanted = parameter(&packet, "id_token").and_then(|token| Some(token["value"].as_str()?.to_owned()));
            let known = wanted.and_then(|wanted| {
                memory.said_on(STATUS).find(|it| token_value(it).is_some_and(|it| it.eq_ignore_ascii_case(&wanted)))
            });
            let of_token = known.and_then(|known| known.text("/token/id_token/type"));
            packet.when(
                |_| of_token.is_some(),
                |packet| packet.changed(|request| request["payload"]["id_token"]["type"] = json!(of_token)).alone(),
            )
        },
    ),
    bug("waiting_tokens_stay", "WD-10", "does not withdraw a token that waits for a plug-in").hearing(
        |memory, packet| {
            let is_waiting = memory.said_on(STATUS).next().is_some_and(|it| status(it).as_deref() == Some("Accepted"));
            packet.when(|it| is_waiting && it.is_on(WITHDRAW), nobodys)
        },
    ),
    bug("answers_during_validation", "WD-11", "answers a withdraw request before a validation has ended").hearing(
        |memory, packet| {
            let is_asking = memory.said_on(STATUS).next().is_some_and(|it| status(it).as_deref() == Some("Processing"));
            accept_only(memory, packet, is_asking)
        },
    ),
    bug("remembers_results", "WD-14", "answers a withdraw request as it did the first time").publishing(
        |memory, packet| {
            let wanted = |request: &Packet| request.at("/payload");
            let asked = memory.request_of(&packet).map(wanted);
            let before = memory.said.iter().find(|said| {
                memory.request_of(said).is_some_and(|request| request.is_on(WITHDRAW) && Some(wanted(request)) == asked)
            });
            let payload = before.unwrap_or(&packet).json();
            reply(memory, packet, WITHDRAW, |packet| packet.with(&payload).alone())
        },
    ),
    bug("withdrawn_without_evse", "WD-15", "says `Withdrawn` without the EVSE of the token")
        .publishing(|_, packet| of_status(packet, &["Withdrawn"], |packet| without(packet, "connectors"))),
    // Statuses.
    bug("token_without_authorization_type", "TV-1", "leaves `authorization_type` out of the token of a status")
        .publishing(|_, packet| packet.when_on(STATUS, |packet| without(packet, "authorization_type"))),
    bug("status_in_small_letters", "TV-1", "writes statuses in small letters").publishing(|_, packet| {
        let small = status(&packet).map(|status| status.to_lowercase());
        packet.when(|_| small.is_some(), |packet| packet.changed(|status| status["status"] = json!(small)).alone())
    }),
    bug("processing_unsaid", "TV-2", "does not say `Processing`")
        .publishing(|_, packet| of_status(packet, &["Processing"], |_| Vec::new())),
    bug("processing_of_a_bare_token", "TV-2", "says `Processing` without the EVSEs that the token was presented for")
        .publishing(|_, packet| of_status(packet, &["Processing"], |packet| without(packet, "connectors"))),
    bug("rejected_unsaid", "TV-3", "does not say `Rejected`")
        .publishing(|_, packet| of_status(packet, &["Rejected"], |_| Vec::new())),
    bug("rejected_after_use", "TV-4", "says `Rejected` after `UsedToStart`").publishing(|_, packet| {
        of_status(packet, &["UsedToStart"], |packet| {
            vec![packet.clone(), packet.changed(|status| status["status"] = json!("Rejected")).later(A_LITTLE)]
        })
    }),
    bug("accepted_twice", "TV-4", "says `Accepted` twice")
        .publishing(|_, packet| of_status(packet, &["Accepted"], Packet::twice)),
    bug("accepts_before_validation", "TV-5", "says `Accepted` as soon as a token is presented").publishing(
        |_, packet| {
            of_status(packet, &["Processing"], |packet| {
                vec![packet.clone(), packet.changed(|status| status["status"] = json!("Accepted"))]
            })
        },
    ),
    bug("used_everywhere", "TV-6", "names another EVSE besides in `UsedToStart`").publishing(|_, packet| {
        of_status(packet, &["UsedToStart"], |packet| {
            packet
                .changed(|status| {
                    if let Some(evses) = status.pointer_mut("/token/connectors").and_then(Value::as_array_mut) {
                        evses.push(json!(64));
                    }
                })
                .alone()
        })
    }),
    bug("stopped_nowhere", "TV-7", "names no EVSE in `UsedToStop` and `UsedToReauthorize`").publishing(|_, packet| {
        of_status(packet, &["UsedToStop", "UsedToReauthorize"], |packet| without(packet, "connectors"))
    }),
    bug("granted_token_again", "TV-8", "says `Processing` again of a token that is presented again").hearing(
        |memory, packet| {
            let token = presented(memory, &packet);
            let latest = memory.said_on(STATUS).find(|it| token.is_some() && token_value(it) == token).cloned();
            let is_open =
                |it: &Packet| matches!(status(it).as_deref(), Some("Processing" | "Accepted" | "UsedToStart"));
            if let Some(latest) = latest.filter(is_open) {
                let again = latest.changed(|status| status["status"] = json!("Processing"));
                memory.besides.push(Besides::Publish(again));
            }
            packet.alone()
        },
    ),
    bug("times_out_early", "TV-9", "lets an authorization time out after half of `connection_timeout`")
        .simulating(|station| station.auth.connection_timeout.0 /= 2),
    bug("times_out_twice", "TV-9", "says `TimedOut` twice").publishing(|_, packet| {
        of_status(packet, &["TimedOut"], |packet| vec![packet.clone(), packet.later(Duration::from_millis(20))])
    }),
    bug("used_when_timed_out", "TV-10", "says `UsedToStart` before `TimedOut` of a token that waited in vain")
        .publishing(|memory, packet| {
            let before = memory.said_on(STATUS).next().and_then(status);
            let is_it = before.as_deref() == Some("Accepted") && status(&packet).as_deref() == Some("TimedOut");
            packet.when(
                |_| is_it,
                |packet| {
                    let used = packet.clone().changed(|status| {
                        status["status"] = json!("UsedToStart");
                        status["token"]["connectors"] = json!([1]);
                    });
                    vec![used, packet]
                },
            )
        }),
    bug("faulted_evse_is_usable", "TV-11", "takes a faulted EVSE for a usable one")
        .simulating(|station| station.auth.ignore_connector_faults = true),
    bug("always_stops", "TV-12", "stops a transaction with a token that is to reauthorize it")
        .simulating(|station| station.auth.stop_transaction_on_reswipe = true),
    bug("other_algorithm", "TV-13", "selects EVSEs by another algorithm").simulating(|station| {
        station.auth.selection_algorithm = match station.auth.selection_algorithm {
            SelectionAlgorithm::PlugEvents => SelectionAlgorithm::PlugEventsLIFO,
            SelectionAlgorithm::PlugEventsLIFO => SelectionAlgorithm::PlugEvents,
            SelectionAlgorithm::FindFirst => SelectionAlgorithm::PlugEvents,
        };
    }),
    bug("texts_with_every_status", "TV-14", "repeats the texts of a tariff with every later status").publishing(
        |memory, packet| {
            let texts = memory.said_on(STATUS).map(|it| it.at("/messages"));
            let texts = texts.filter(|texts| texts.as_array().is_some_and(|it| !it.is_empty())).last();
            packet.when(
                |it| texts.is_some() && it.is_on(STATUS),
                |packet| packet.changed(|status| status["messages"] = json!(texts)).alone(),
            )
        },
    ),
    bug("tells_of_ends", "TV-16", "gives a status when a transaction has ended").hearing(|memory, packet| {
        let control = memory.topics.control_topic();
        let is_end = packet.topic == control && packet.json().get("stop_transaction").is_some();
        let latest = memory.said_on(STATUS).next().cloned();
        if let Some(latest) = latest.filter(|_| is_end) {
            for status in ["Processing", "Rejected"] {
                let told = latest.clone().changed(|it| it["status"] = json!(status));
                memory.besides.push(Besides::Publish(told));
            }
        }
        packet.alone()
    }),
    // The latched status.
    bug("status_from_nowhere", "LV-1", "answers with a status before there was any").publishing(|memory, packet| {
        reply(memory, packet, GET, |packet| {
            let token = json!({"id_token": {"value": "NOBODY", "type": "ISO14443"}, "authorization_type": "RFID"});
            let made_up = json!({"messages": [], "status": "Rejected", "token": token});
            packet.when(|it| !it.json().is_object(), |packet| packet.with(&made_up).alone())
        })
    }),
    bug("latches_the_first", "LV-2", "answers with the first status when it is asked for the latest").publishing(
        |memory, packet| {
            let first = memory.said.iter().find(|said| said.is_on(STATUS)).map(Packet::json);
            reply(memory, packet, GET, |packet| match first {
                Some(first) => packet.with(&first).alone(),
                None => packet.alone(),
            })
        },
    ),
    bug("latches_although_off", "LV-3", "answers requests for the latched status although latching is off")
        .simulating(|station| station.auth_consumer.latch_variable_values = true),
    bug("getter_under_e2m", "LV-4", "answers requests for the latched status under `e2m`")
        .simulating(|station| switch(station, Deviation::GetterBelowM2e, false)),
    bug("getter_without_payload", "LV-5", "answers no request for the latched status that has a payload").hearing(
        |_, packet| {
            let has_payload = packet.is_on(GET) && packet.json().get("payload").is_some();
            packet.when(|_| has_payload, |_| Vec::new())
        },
    ),
    // Token providers and validators.
    bug("presents_bare_tokens", "TP-2", "presents the id token alone of a token that was provided").hearing(
        |_, packet| {
            packet.when_on(TOKEN, |packet| {
                packet
                    .changed(|token| {
                        let keys = ["id_token", "authorization_type"];
                        *token =
                            keys.iter().filter_map(|key| Some(((*key).to_owned(), token.get(key)?.clone()))).collect();
                    })
                    .alone()
            })
        },
    ),
    bug("token_must_be_readable", "TP-5", "ends at a provided token that it cannot read").hearing(|memory, packet| {
        let is_fatal = packet.is_on(TOKEN) && serde_json::from_slice::<ProvidedIdToken>(&packet.payload).is_err();
        memory.crash_if(is_fatal, packet)
    }),
    bug("question_without_reply_to", "VA-1", "asks a token validator without `replyTo`").publishing(|_, packet| {
        packet.when_on(QUESTION, |packet| packet.changed(|it| remove(it, "/headers", "replyTo")).alone())
    }),
    bug("question_without_evses", "VA-1", "asks about a token without the EVSEs that it was presented for").publishing(
        |_, packet| {
            packet.when_on(QUESTION, |packet| packet.changed(|it| remove(it, "/payload", "connectors")).alone())
        },
    ),
    bug("deaf_to_answers", "VA-2", "does not subscribe to the reply topics of its questions")
        .subscribing(|_, filter| Some(filter).filter(|filter| !filter.contains("/m2e/reply/"))),
    bug("late_answer_counts", "VA-6", "believes an answer that comes too late").simulating(|station| {
        if let Some(validator) = &mut station.auth_token_validator {
            validator.cfg_request_reply_to_s = 60;
        }
    }),
    bug("unreadable_answer_is_invalid", "VA-7", "takes an answer that it cannot read for `Invalid`").hearing(
        |memory, packet| {
            let is_unreadable = serde_json::from_slice::<ValidationResult>(&packet.payload).is_err();
            packet.when(
                |it| is_unreadable && memory.is_reply_from(QUESTION, it),
                |packet| packet.with(&json!({"authorization_status": "Invalid", "tariff_messages": []})).alone(),
            )
        },
    ),
    bug("updates_unsaid", "VA-9", "says nothing of a validation result that is updated").hearing(|_, packet| {
        packet.when(|it| it.is_on(UPDATE) || it.json().get("update_verdict").is_some(), |_| Vec::new())
    }),
];

/// Another result of withdraw requests.
fn result(memory: &Memory, packet: Packet, from: &str, to: &str) -> Vec<Packet> {
    let is_it = packet.json() == json!(from);
    reply(memory, packet, WITHDRAW, |packet| packet.when(|_| is_it, |packet| packet.with(&json!(to)).alone()))
}

/// A parameter of a withdraw request.
fn parameter(packet: &Packet, name: &str) -> Option<Value> {
    packet.json().get("payload")?.get(name).filter(|_| packet.is_on(WITHDRAW)).cloned()
}

/// The withdraw request of a token that nobody has.
fn nobodys(packet: Packet) -> Vec<Packet> {
    let payload = json!({"id_token": {"value": "NOBODY", "type": "ISO14443"}});
    packet.changed(|it| *it = json!({"headers": it.get("headers"), "payload": payload})).alone()
}

/// Has a withdraw request answered with `Accepted` at once and not executed.
fn accept_only(memory: &mut Memory, packet: Packet, is_it: bool) -> Vec<Packet> {
    let reply_to = packet.text("/headers/replyTo").filter(|_| is_it && packet.is_on(WITHDRAW));
    let Some(reply_to) = reply_to else { return packet.alone() };
    let topic = memory.topics.reply_topic_on_wire(&reply_to);
    memory.besides.push(Besides::Publish(packet.with(&json!("Accepted")).on(topic)));
    Vec::new()
}

/// What passes in place of one of these statuses.
fn of_status(packet: Packet, statuses: &[&str], change: impl FnOnce(Packet) -> Vec<Packet>) -> Vec<Packet> {
    let is_it = status(&packet).is_some_and(|status| statuses.contains(&status.as_str()));
    packet.when(|_| is_it, change)
}

/// A status whose token lacks this.
fn without(packet: Packet, key: &str) -> Vec<Packet> {
    packet.changed(|status| remove(status, "/token", key)).alone()
}

fn token_value(packet: &Packet) -> Option<String> {
    packet.text("/token/id_token/value")
}

/// The token that is presented with a message, be it by a provider or on command.
fn presented(memory: &Memory, packet: &Packet) -> Option<String> {
    match packet.topic == memory.topics.control_topic() {
        true => packet.text("/present_token/token/id_token/value"),
        false => packet.text("/id_token/value").filter(|_| packet.is_on(TOKEN)),
    }
}

/// The EVSEs for which a token was used to start.
fn evses_of(memory: &Memory, value: &str) -> Vec<i64> {
    let used = memory.said_on(STATUS).filter(|it| status(it).as_deref() == Some("UsedToStart"));
    let used = used.filter(|it| token_value(it).is_some_and(|it| it.eq_ignore_ascii_case(value)));
    used.filter_map(|it| it.json().pointer("/token/connectors/0")?.as_i64()).collect()
}
