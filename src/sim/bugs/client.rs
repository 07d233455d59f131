//! The bugs of the built-in clients.

use std::time::Duration;

use serde_json::{Value, json};

use super::packet::{Besides, Memory, Packet, has_more, remove};
use super::{ANY, Bug, CONSUMER, PROVIDER, VALIDATOR};
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::side::Side;
use crate::protocol::types::{IdTokenType, TokenValidationStatus};

const HEARTBEAT: Channel = Channel::HEARTBEAT;
const CHECK: Channel = Channel::COMMUNICATION_CHECK;
const STATUS: Channel = Channel::TOKEN_VALIDATION_STATUS;
const WITHDRAW: Channel = Channel::WITHDRAW_AUTHORIZATION;
const GET: Channel = Channel::GET_TOKEN_VALIDATION_STATUS;
const TOKEN: Channel = Channel::PROVIDED_TOKEN;
const QUESTION: Channel = Channel::VALIDATE_TOKEN;
const UPDATE: Channel = Channel::VALIDATE_RESULT_UPDATE;

/// So late nobody was held up, and the answer is not lost.
const LATE: Duration = Duration::from_secs(2);

/// Long enough to be seen as something of its own, short enough to be seen at all.
const A_LITTLE: Duration = Duration::from_millis(200);

/// So long a watchdog may wait.
const A_WATCH: Duration = Duration::from_secs(3);

const fn bug(apis: &'static [ApiType], name: &'static str, breaks: &'static str, does: &'static str) -> Bug {
    Bug::new(Side::Client, apis, name, breaks, does)
}

pub(super) static BUGS: &[Bug] = &[
    // Communication checks.
    bug(ANY, "never_checks", "CC-8", "sends no communication check")
        .publishing(|_, packet| packet.when_on(CHECK, |_| Vec::new())),
    bug(ANY, "checks_once", "CC-8", "sends one communication check and no more").publishing(|memory, packet| {
        let is_first = memory.said_on(CHECK).next().is_none();
        packet.when_on(CHECK, |packet| if is_first { packet.alone() } else { Vec::new() })
    }),
    bug(ANY, "checks_until_cut_off", "CC-8", "sends no communication check any more once it has lost its connection")
        .publishing(|memory, packet| {
            let is_first = memory.connections == 1;
            packet.when_on(CHECK, |packet| if is_first { packet.alone() } else { Vec::new() })
        }),
    bug(ANY, "check_as_text", "CC-8", "sends the text \"true\" as its communication check")
        .publishing(|_, packet| packet.when_on(CHECK, |packet| packet.with_text("\"true\"").alone())),
    bug(ANY, "check_in_envelope", "CC-8", "wraps its communication checks up as requests are").publishing(
        |_, packet| packet.when_on(CHECK, |packet| packet.changed(|check| *check = json!({"payload": *check})).alone()),
    ),
    bug(CONSUMER, "checks_after_false", "CC-9", "goes on with its communication checks after `false`").publishing(
        |_, packet| {
            let is_last = packet.is_on(CHECK) && packet.json() == json!(false);
            packet.when(|_| is_last, |packet| vec![packet.clone(), packet.with(&json!(true)).later(A_LITTLE)])
        },
    ),
    bug(
        ANY,
        "false_without_heartbeats",
        "CC-9",
        "says `false` while no heartbeat has come for 3 s, and then `true` again",
    )
    .publishing(|memory, packet| {
        let last = memory.heard_on(HEARTBEAT).next().map(|last| last.time);
        let is_lost = last.is_some_and(|last| packet.time.saturating_sub(last) > A_WATCH);
        packet.when_on(CHECK, |packet| if is_lost { packet.with(&json!(false)).alone() } else { packet.alone() })
    }),
    // Heartbeats.
    bug(ANY, "counts_heartbeats", "HB-6", "ends at a heartbeat that is not the last one plus 1").hearing(
        |memory, packet| {
            let before = memory.heard_on(HEARTBEAT).next().and_then(|before| before.json().as_u64());
            let is_odd = before.zip(packet.json().as_u64()).is_some_and(|(last, now)| last.checked_add(1) != Some(now));
            let is_fatal = packet.is_on(HEARTBEAT) && is_odd;
            memory.crash_if(is_fatal, packet)
        },
    ),
    bug(ANY, "heartbeat_of_53_bits", "HB-6", "ends at a heartbeat beyond 2 to the power of 53").hearing(
        |memory, packet| {
            let is_fatal = packet.is_on(HEARTBEAT) && packet.json().as_u64().is_some_and(|number| number > 1 << 53);
            memory.crash_if(is_fatal, packet)
        },
    ),
    bug(ANY, "checks_while_numbers_grow", "HB-6", "ends its checks 3 s after the numbers of heartbeats ceased to grow")
        .publishing(|memory, packet| {
            let number = |it: &Packet| Some((it.json().as_u64()?, it.time));
            // Of equal ones the earliest, which `max_by_key` finds as the last.
            let grew = memory.heard_on(HEARTBEAT).filter_map(number).max_by_key(|(number, _)| *number);
            // While none comes at all, nothing can be said of their numbers.
            let last = memory.heard_on(HEARTBEAT).find_map(number);
            let is_stuck = grew.zip(last).is_some_and(|((_, grew), (_, last))| last.saturating_sub(grew) > A_WATCH);
            packet.when_on(CHECK, |packet| if is_stuck { Vec::new() } else { packet.alone() })
        }),
    bug(ANY, "heartbeat_once", "HB-7", "ends at a heartbeat that says what the last one said").hearing(
        |memory, packet| {
            let is_known = memory.heard_on(HEARTBEAT).next().is_some_and(|before| before.json() == packet.json());
            let is_fatal = packet.is_on(HEARTBEAT) && is_known;
            memory.crash_if(is_fatal, packet)
        },
    ),
    bug(ANY, "heartbeat_in_time", "HB-7", "ends when heartbeats come again after a pause").hearing(|memory, packet| {
        let interval = memory.station.cadence(memory.topics.api).map_or(0, |cadence| cadence.heartbeat_ms);
        let interval = Duration::from_millis(u64::try_from(interval).unwrap_or(0));
        let before = memory.heard_on(HEARTBEAT).next().map(|before| before.time);
        let is_late = before.is_some_and(|before| packet.time.saturating_sub(before) > interval * 2);
        let is_fatal = packet.is_on(HEARTBEAT) && is_late;
        memory.crash_if(is_fatal, packet)
    }),
    // Requests and their replies.
    bug(CONSUMER, "same_reply_topic", "RR-13", "names the same reply topic in every request")
        .publishing(|_, packet| {
            let topic = packet.text("/headers/replyTo").and_then(|topic| shared(&topic));
            packet.when(
                |_| topic.is_some(),
                |packet| packet.changed(|request| request["headers"]["replyTo"] = json!(topic)).alone(),
            )
        })
        .subscribing(|_, filter| Some(shared(&filter).unwrap_or(filter))),
    bug(CONSUMER, "deaf_to_replies", "RR-13", "subscribes to no reply topic")
        .subscribing(|_, filter| Some(filter).filter(|filter| shared(filter).is_none())),
    bug(CONSUMER, "empty_reply_topic", "RR-13", "asks for the latched status and discovers with an empty `replyTo`")
        .publishing(|_, packet| {
            packet.when(
                |it| it.is_on(GET) || it.is_discovery(),
                |packet| packet.changed(|request| request["headers"]["replyTo"] = json!("")).alone(),
            )
        }),
    bug(CONSUMER, "waits_for_reply", "RR-14", "does nothing more until its request is answered")
        .publishing(|memory, packet| {
            memory.waits |= packet.is_on(WITHDRAW) || packet.is_on(GET);
            packet.alone()
        })
        .hearing(|memory, packet| {
            let is_reply = memory.is_reply_from(WITHDRAW, &packet) || memory.is_reply_from(GET, &packet);
            wait(memory, packet, is_reply)
        }),
    bug(CONSUMER, "reads_lines", "RR-15", "ends at a status that is written in one line").hearing(|memory, packet| {
        let is_fatal = packet.is_on(STATUS) && packet.json().is_object() && !packet.raw().contains('\n');
        memory.crash_if(is_fatal, packet)
    }),
    bug(CONSUMER, "reads_in_order", "RR-15", "ends at a status whose token stands before its status").hearing(
        |memory, packet| {
            let place = |key: &str| packet.raw().find(key);
            let is_fatal = packet.is_on(STATUS) && place("\"token\"") < place("\"status\"");
            memory.crash_if(is_fatal, packet)
        },
    ),
    bug(CONSUMER, "withdraw_retained", "RR-17", "publishes its withdraw requests with the retain flag")
        .publishing(|_, packet| packet.when_on(WITHDRAW, |packet| packet.retained().alone())),
    bug(ANY, "check_retained", "RR-17", "publishes its communication checks with the retain flag")
        .publishing(|_, packet| packet.when_on(CHECK, |packet| packet.retained().alone())),
    bug(CONSUMER, "fields_must_be_known", "RR-9", "ends at a status with a field that it does not know").hearing(
        |memory, packet| {
            let more = [("", &["messages", "status", "token"][..]), ("/token/id_token", &["type", "value"])];
            let has_more = more.iter().any(|(at, known)| has_more(&packet.at(at), known));
            let is_fatal = packet.is_on(STATUS) && has_more;
            memory.crash_if(is_fatal, packet)
        },
    ),
    bug(VALIDATOR, "question_fields_must_be_known", "RR-9", "ends at a question with a field that it does not know")
        .hearing(|memory, packet| {
            let question = packet.json();
            let known = ["authorization_type", "certificate", "connectors", "id_token", "prevalidated", "request_id"];
            let is_odd = has_more(&question["payload"], &known) || has_more(&question, &["headers", "payload"]);
            let is_fatal = packet.is_on(QUESTION) && is_odd;
            memory.crash_if(is_fatal, packet)
        }),
    bug(CONSUMER, "withdraw_without_envelope", "SC-1", "sends the payload of a withdraw request without an envelope")
        .publishing(|_, packet| {
            packet.when_on(WITHDRAW, |packet| packet.changed(|request| *request = request["payload"].take()).alone())
        }),
    bug(CONSUMER, "evse_id_as_text", "SC-1", "writes the `evse_id` of a withdraw request as a text").publishing(
        |_, packet| {
            let evse = packet.json().pointer("/payload/evse_id").map(Value::to_string);
            let is_it = packet.is_on(WITHDRAW) && evse.is_some();
            packet
                .when(|_| is_it, |packet| packet.changed(|request| request["payload"]["evse_id"] = json!(evse)).alone())
        },
    ),
    bug(CONSUMER, "withdraw_not_json", "SC-1", "cuts the last character off its withdraw requests").publishing(
        |_, packet| {
            let text = packet.raw().trim_end_matches('}').to_owned();
            packet.when_on(WITHDRAW, |packet| packet.with_text(text).alone())
        },
    ),
    bug(ANY, "checks_under_e2m", "SC-2", "sends communication checks under `e2m`, too").publishing(|_, packet| {
        packet.when_on(CHECK, |packet| {
            let other = packet.topic.replace("/m2e/", "/e2m/");
            vec![packet.clone(), packet.on(other)]
        })
    }),
    // Withdrawing.
    bug(CONSUMER, "reply_before_withdrawn", "WD-12", "ends when `Withdrawn` comes before the reply").hearing(
        |memory, packet| {
            let request = memory.said_on(WITHDRAW).next();
            let topic = request.and_then(|request| request.text("/headers/replyTo"));
            let is_open = topic.is_some_and(|topic| !memory.heard.iter().any(|heard| heard.topic.ends_with(&topic)));
            let is_fatal = is_open && status(&packet).as_deref() == Some("Withdrawn");
            memory.crash_if(is_fatal, packet)
        },
    ),
    bug(CONSUMER, "withdrawn_after_reply", "WD-12", "ends when `Withdrawn` comes after the reply `Accepted`").hearing(
        |memory, packet| {
            let request = memory.said_on(WITHDRAW).next();
            let topic = request.and_then(|request| request.text("/headers/replyTo"));
            let mut heard = memory.heard.iter();
            let reply = topic.and_then(|topic| heard.find(|heard| heard.topic.ends_with(&topic)));
            let is_over = reply.is_some_and(|reply| reply.json() == json!("Accepted"));
            let is_fatal = is_over && status(&packet).as_deref() == Some("Withdrawn");
            memory.crash_if(is_fatal, packet)
        },
    ),
    bug(CONSUMER, "rejected_unforeseen", "WD-13", "ends at the reply `Rejected`").hearing(|memory, packet| {
        let is_fatal = memory.is_reply_from(WITHDRAW, &packet) && packet.json() == json!("Rejected");
        memory.crash_if(is_fatal, packet)
    }),
    bug(CONSUMER, "waits_for_withdrawn", "WD-17", "does nothing more after `Accepted` until `Withdrawn` has come")
        .hearing(|memory, packet| {
            let asked =
                memory.question_of(&packet).filter(|request| request.is_on(WITHDRAW)).map(|request| request.time);
            let is_over = |asked| {
                memory.heard_on(STATUS).any(|it| it.time >= asked && status(it).as_deref() == Some("Withdrawn"))
            };
            let is_accepted = packet.json() == json!("Accepted");
            memory.waits |= is_accepted && asked.is_some_and(|asked| !is_over(asked));
            let is_end = status(&packet).as_deref() == Some("Withdrawn");
            wait(memory, packet, is_end)
        }),
    bug(
        CONSUMER,
        "misses_withdrawn",
        "WD-17",
        "ends when it has checked once since `Accepted`, and no `Withdrawn` came",
    )
    .publishing(|memory, packet| {
        let mut heard = memory.heard.iter().rev();
        let reply = heard.find(|it| it.json() == json!("Accepted") && memory.is_reply_from(WITHDRAW, it));
        let is_missed = reply.is_some_and(|reply| {
            let asked = memory.question_of(reply).map_or(reply.time, |request| request.time);
            let mut since = memory.heard_on(STATUS).filter(|it| it.time >= asked);
            let is_checked = memory.said_on(CHECK).any(|it| it.time > reply.time);
            is_checked && !since.any(|it| status(it).as_deref() == Some("Withdrawn"))
        });
        let is_fatal = packet.is_on(CHECK) && is_missed;
        memory.crash_if(is_fatal, packet)
    }),
    bug(CONSUMER, "wrong_evse", "WD-18", "names the EVSE after the one that it means in a withdraw request")
        .publishing(|_, packet| {
            let evse = packet.at("/payload/evse_id").as_i64();
            packet.when(
                |it| it.is_on(WITHDRAW) && evse.is_some(),
                |packet| {
                    packet.changed(|request| request["payload"]["evse_id"] = json!(evse.map(|evse| evse + 1))).alone()
                },
            )
        }),
    bug(CONSUMER, "not_found_unforeseen", "WD-19", "ends at the replies `EvseNotFound` and `AuthorizationNotFound`")
        .hearing(|memory, packet| {
            let is_not_found = ["EvseNotFound", "AuthorizationNotFound"].iter().any(|it| packet.json() == **it);
            let is_fatal = is_not_found && memory.is_reply_from(WITHDRAW, &packet);
            memory.crash_if(is_fatal, packet)
        }),
    // Statuses.
    bug(CONSUMER, "statuses_must_be_known", "TV-15", "ends at a status that it does not know").hearing(
        |memory, packet| {
            let is_fatal = packet.is_on(STATUS) && !is_a::<TokenValidationStatus>(packet.at("/status"));
            memory.crash_if(is_fatal, packet)
        },
    ),
    bug(CONSUMER, "token_types_must_be_known", "TV-15", "ends at a token of a type that it does not know").hearing(
        |memory, packet| {
            let of_token = packet.json().pointer("/token/id_token/type").cloned();
            let is_fatal = packet.is_on(STATUS) && of_token.is_some_and(|of_token| !is_a::<IdTokenType>(of_token));
            memory.crash_if(is_fatal, packet)
        },
    ),
    bug(CONSUMER, "statuses_must_be_objects", "CN-2", "ends at what is no JSON object where statuses are").hearing(
        |memory, packet| {
            let is_fatal = packet.is_on(STATUS) && !packet.json().is_object();
            memory.crash_if(is_fatal, packet)
        },
    ),
    bug(CONSUMER, "reauthorization_unforeseen", "TV-17", "ends at the status `UsedToReauthorize`").hearing(
        |memory, packet| {
            let is_fatal = status(&packet).as_deref() == Some("UsedToReauthorize");
            memory.crash_if(is_fatal, packet)
        },
    ),
    bug(CONSUMER, "hashes_are_sha256", "TV-17", "ends at a status with a certificate hash of another algorithm")
        .hearing(|memory, packet| {
            let hashes = packet.at("/token/iso15118CertificateHashData");
            let is_other = |hash: &Value| hash["hashAlgorithm"] != "SHA256";
            let is_fatal = packet.is_on(STATUS) && hashes.as_array().is_some_and(|all| all.iter().any(is_other));
            memory.crash_if(is_fatal, packet)
        }),
    bug(CONSUMER, "needs_connectors", "TV-17", "ends at a status of what is over without a connector").hearing(
        |memory, packet| {
            let is_over = matches!(status(&packet).as_deref(), Some("TimedOut" | "UsedToStop" | "Withdrawn"));
            let is_fatal = is_over && !packet.at("/token/connectors/0").is_number();
            memory.crash_if(is_fatal, packet)
        },
    ),
    bug(CONSUMER, "needs_messages", "TV-14", "ends at a status without `messages`").hearing(|memory, packet| {
        let is_fatal = packet.is_on(STATUS) && packet.json().get("messages").is_none();
        memory.crash_if(is_fatal, packet)
    }),
    bug(CONSUMER, "text_means_accepted", "NX-1", "ends at `messages` with another status than `Accepted`").hearing(
        |memory, packet| {
            let has_text = packet.json()["messages"].as_array().is_some_and(|texts| !texts.is_empty());
            let is_fatal = has_text && status(&packet).is_some_and(|status| status != "Accepted");
            memory.crash_if(is_fatal, packet)
        },
    ),
    // The latched status.
    bug(CONSUMER, "asks_under_e2m", "LV-4", "asks for the latched status under `e2m`").publishing(|_, packet| {
        packet.when_on(GET, |packet| {
            let other = packet.topic.replace("/m2e/", "/e2m/");
            packet.on(other).alone()
        })
    }),
    bug(CONSUMER, "null_unforeseen", "LV-6", "ends when there is no latched status yet").hearing(|memory, packet| {
        let is_fatal = memory.is_reply_from(GET, &packet) && !packet.json().is_object();
        memory.crash_if(is_fatal, packet)
    }),
    bug(CONSUMER, "status_once", "LV-6", "ends at a latched status that it has had already").hearing(
        |memory, packet| {
            let is_known = memory.heard_on(STATUS).any(|before| before.json() == packet.json());
            let is_fatal = memory.is_reply_from(GET, &packet) && is_known;
            memory.crash_if(is_fatal, packet)
        },
    ),
    // Discovery.
    bug(CONSUMER, "first_discovery_reply", "DI-6", "takes the first reply to a discovery for the last").hearing(
        |memory, packet| {
            if memory.question_of(&packet).is_some_and(Packet::is_discovery) {
                memory.besides.push(Besides::Unsubscribe(packet.topic.clone()));
            }
            packet.alone()
        },
    ),
    bug(CONSUMER, "own_module_id", "DI-8", "makes its topics of a module id of its own").publishing(
        |memory, packet| {
            let (from, to) = (format!("/{}/m2e/", memory.topics.module_id), "/everest/m2e/");
            let topic = packet.topic.replace(&from, to);
            packet.on(topic).alone()
        },
    ),
    bug(
        CONSUMER,
        "id_of_the_first",
        "DI-8",
        "makes its topics of the first id that discovery reports, whatever API has it",
    )
    .publishing(|memory, packet| {
        let mut replies = memory.heard.iter().filter(|it| memory.question_of(it).is_some_and(Packet::is_discovery));
        let first = replies.find_map(|reply| reply.text("/apis/0/module_id"));
        let own = format!("/{}/m2e/", memory.topics.module_id);
        let topic = first.map(|id| packet.topic.replace(&own, &format!("/{id}/m2e/")));
        packet.clone().on(topic.unwrap_or(packet.topic)).alone()
    }),
    // The connection, and MQTT.
    bug(ANY, "subscribes_once", "CN-1", "does not subscribe again when it has connected again").subscribing(
        |memory, filter| (memory.connections == 1 || filter == memory.topics.control_topic()).then_some(filter),
    ),
    bug(ANY, "ends_when_cut_off", "CN-1", "ends when it has lost its connection").subscribing(|memory, filter| {
        if memory.connections > 1 {
            memory.crash();
        }
        Some(filter)
    }),
    bug(ANY, "json_only", "CN-2", "ends at a message that is no JSON").hearing(|memory, packet| {
        let is_broken = serde_json::from_slice::<Value>(&packet.payload).is_err();
        let is_fatal = packet.topic != memory.topics.control_topic() && is_broken;
        memory.crash_if(is_fatal, packet)
    }),
    bug(ANY, "nothing_twice", "CN-3", "ends at a message that it has just had").hearing(|memory, packet| {
        let is_control = packet.topic == memory.topics.control_topic();
        let before = memory.heard.iter().rev().find(|before| before.topic == packet.topic);
        let is_fatal = !is_control && before.is_some_and(|before| before.payload == packet.payload);
        memory.crash_if(is_fatal, packet)
    }),
    bug(CONSUMER, "reply_once", "CN-3", "subscribes at QoS 1, and ends at the second copy of a reply")
        .subscribing_at(1)
        .hearing(|memory, packet| {
            let is_reply = memory.question_of(&packet).is_some();
            let is_same = |before: &Packet| before.topic == packet.topic && before.payload == packet.payload;
            let is_fatal = is_reply && memory.heard.iter().any(is_same);
            memory.crash_if(is_fatal, packet)
        }),
    bug(ANY, "topic_with_nul", "MQ-1", "publishes on a topic with U+0000").publishing(|_, packet| {
        packet.when_on(CHECK, |packet| {
            let other = format!("{}\0", packet.topic);
            vec![packet.clone(), packet.on(other)]
        })
    }),
    bug(ANY, "no_topic", "MQ-2", "publishes on an empty topic")
        .publishing(|_, packet| packet.when_on(CHECK, |packet| vec![packet.clone(), packet.on("")])),
    bug(ANY, "acknowledges_nothing", "MQ-4", "acknowledges no message").never_acknowledging(),
    // Token providers.
    bug(PROVIDER, "token_in_envelope", "TP-1", "wraps its tokens up as requests are").publishing(|_, packet| {
        packet.when_on(TOKEN, |packet| packet.changed(|token| *token = json!({"payload": *token})).alone())
    }),
    bug(PROVIDER, "token_without_type", "TP-1", "says nothing of the type of its tokens").publishing(|_, packet| {
        packet.when_on(TOKEN, |packet| packet.changed(|token| remove(token, "/id_token", "type")).alone())
    }),
    bug(PROVIDER, "token_as_text", "TP-1", "sends the value of a token alone").publishing(|_, packet| {
        packet.when_on(TOKEN, |packet| packet.changed(|token| *token = token["id_token"]["value"].take()).alone())
    }),
    bug(PROVIDER, "token_retained", "TP-3", "publishes its tokens with the retain flag")
        .publishing(|_, packet| packet.when_on(TOKEN, |packet| packet.retained().alone())),
    bug(PROVIDER, "token_twice", "TP-4", "hands each token in twice")
        .publishing(|_, packet| packet.when_on(TOKEN, Packet::twice)),
    bug(PROVIDER, "token_again", "TP-4", "hands each token in again a moment later")
        .publishing(|_, packet| packet.when_on(TOKEN, |packet| vec![packet.clone(), packet.later(A_LITTLE)])),
    bug(PROVIDER, "bank_card_twice", "NX-2", "hands each bank card in again a moment later").publishing(|_, packet| {
        let is_card = packet.is_on(TOKEN) && packet.json()["authorization_type"] == "BankCard";
        packet.when(|_| is_card, |packet| vec![packet.clone(), packet.later(A_LITTLE)])
    }),
    // Token validators.
    bug(VALIDATOR, "reads_compact", "RR-15", "answers no question that is not written in one line without blanks")
        .publishing(|memory, packet| {
            let is_compact =
                memory.request_of(&packet).is_some_and(|question| question.raw().contains("{\"replyTo\":\""));
            answer(memory, packet, |packet| if is_compact { packet.alone() } else { Vec::new() })
        }),
    bug(VALIDATOR, "answers_twice", "VA-3", "answers each question twice")
        .publishing(|memory, packet| answer(memory, packet, Packet::twice)),
    bug(VALIDATOR, "answers_again", "VA-3", "sends its last answer again when it has connected again").publishing(
        |memory, packet| {
            let is_back = memory.connections > 1 && packet.is_on(CHECK) && !std::mem::replace(&mut memory.waits, true);
            let last = memory.said.iter().rev().find(|said| memory.replies_to(QUESTION, said)).cloned();
            let again = last.filter(|_| is_back);
            again.into_iter().chain([packet]).collect()
        },
    ),
    bug(VALIDATOR, "answers_a_token_once", "VA-3", "answers no question about a token that it has been asked before")
        .publishing(|memory, packet| {
            answer(memory, packet.clone(), |packet| {
                let value = memory.request_of(&packet).map(token_value);
                let is_known = memory.heard_on(QUESTION).filter(|it| Some(token_value(it)) == value).count() > 1;
                if is_known { Vec::new() } else { packet.alone() }
            })
        }),
    bug(VALIDATOR, "types_must_be_known", "VA-3", "answers no question about a bank card").publishing(
        |memory, packet| {
            let is_card =
                memory.request_of(&packet).is_some_and(|it| it.at("/payload/authorization_type") == "BankCard");
            answer(memory, packet, |packet| if is_card { Vec::new() } else { packet.alone() })
        },
    ),
    bug(VALIDATOR, "certificates_unforeseen", "VA-3", "answers no question that brings a certificate").publishing(
        |memory, packet| {
            let has_one = memory.request_of(&packet).is_some_and(|it| it.at("/payload/certificate").is_string());
            answer(memory, packet, |packet| if has_one { Vec::new() } else { packet.alone() })
        },
    ),
    bug(VALIDATOR, "never_answers", "VA-3", "answers no question")
        .publishing(|memory, packet| answer(memory, packet, |_| Vec::new())),
    bug(VALIDATOR, "answers_elsewhere", "VA-3", "answers below the reply topic").publishing(|memory, packet| {
        answer(memory, packet, |packet| {
            let other = format!("{}/answer", packet.topic);
            packet.on(other).alone()
        })
    }),
    bug(VALIDATOR, "answers_the_first", "VA-3", "answers every question on the reply topic of the first").publishing(
        |memory, packet| {
            let first = memory.said.iter().find(|said| memory.replies_to(QUESTION, said));
            let topic = first.unwrap_or(&packet).topic.clone();
            answer(memory, packet, |packet| packet.on(topic).alone())
        },
    ),
    bug(VALIDATOR, "answers_without_prefix", "VA-3", "answers without EVerest's external prefix").publishing(
        |memory, packet| {
            let prefix = memory.topics.external_prefix.clone();
            answer(memory, packet, |packet| {
                let bare = packet.topic.strip_prefix(&prefix).unwrap_or(&packet.topic).to_owned();
                packet.on(bare).alone()
            })
        },
    ),
    bug(VALIDATOR, "answer_in_envelope", "VA-4", "wraps its answers up as requests are").publishing(
        |memory, packet| {
            answer(memory, packet, |packet| packet.changed(|answer| *answer = json!({"payload": *answer})).alone())
        },
    ),
    bug(VALIDATOR, "answer_without_tariff", "VA-4", "leaves `tariff_messages` out of its answers").publishing(
        |memory, packet| {
            answer(memory, packet, |packet| packet.changed(|answer| remove(answer, "", "tariff_messages")).alone())
        },
    ),
    bug(VALIDATOR, "answer_of_its_own", "VA-4", "answers with a status that there is not").publishing(
        |memory, packet| {
            answer(memory, packet, |packet| {
                packet.changed(|answer| answer["authorization_status"] = json!("Fine")).alone()
            })
        },
    ),
    bug(VALIDATOR, "expiry_as_people_write_it", "VA-4", "answers with an `expiry_time` that is not in RFC 3339")
        .publishing(|memory, packet| {
            answer(memory, packet, |packet| {
                packet.changed(|answer| answer["expiry_time"] = json!("24.12.2026 18:00")).alone()
            })
        }),
    bug(VALIDATOR, "answers_late", "VA-5", "answers when EVerest waits no longer").publishing(|memory, packet| {
        let config = memory.station.auth_token_validator.as_ref();
        let within = config.map_or(0, |config| u64::try_from(config.cfg_request_reply_to_s).unwrap_or(0));
        answer(memory, packet, |packet| packet.later(Duration::from_secs(within) + LATE).alone())
    }),
    bug(VALIDATOR, "update_without_evse", "VA-8", "does not say which EVSE an update is about").publishing(
        |_, packet| {
            packet.when_on(UPDATE, |packet| packet.changed(|update| remove(update, "", "connector_id")).alone())
        },
    ),
    bug(VALIDATOR, "update_without_result", "VA-8", "sends updates without the new result").publishing(|_, packet| {
        packet.when_on(UPDATE, |packet| packet.changed(|update| remove(update, "", "validation_result")).alone())
    }),
    bug(VALIDATOR, "never_updates", "VA-8", "sends no update")
        .publishing(|_, packet| packet.when_on(UPDATE, |_| Vec::new())),
    bug(VALIDATOR, "answer_retained", "VA-10", "publishes its answers with the retain flag")
        .publishing(|memory, packet| answer(memory, packet, |packet| packet.retained().alone())),
    bug(VALIDATOR, "update_retained", "VA-10", "publishes its updates with the retain flag")
        .publishing(|_, packet| packet.when_on(UPDATE, |packet| packet.retained().alone())),
];

/// The topic that stands for a reply topic of the built-in client, where all requests have the same.
fn shared(topic: &str) -> Option<String> {
    let (operation, id) = topic.rsplit_once('/')?;
    let is_own = operation.contains("/e2m/")
        && !operation.ends_with("/discover")
        && id.len() == "00000000-0000-0000-0000-000000000000".len();
    is_own.then(|| format!("{operation}/reply"))
}

/// While it waits, commands are put off until the end of the wait.
fn wait(memory: &mut Memory, packet: Packet, is_end: bool) -> Vec<Packet> {
    if is_end && memory.waits {
        memory.waits = false;
        return std::iter::once(packet).chain(memory.held.drain(..)).collect();
    }
    if memory.waits && packet.topic == memory.topics.control_topic() {
        memory.held.push(packet);
        return Vec::new();
    }
    packet.alone()
}

/// What passes in place of an answer to a question.
fn answer(memory: &Memory, packet: Packet, change: impl FnOnce(Packet) -> Vec<Packet>) -> Vec<Packet> {
    let is_it = memory.replies_to(QUESTION, &packet);
    packet.when(|_| is_it, change)
}

/// The token that a question is about.
fn token_value(question: &Packet) -> Value {
    question.at("/payload/id_token/value")
}

fn status(packet: &Packet) -> Option<String> {
    packet.text("/status").filter(|_| packet.is_on(STATUS))
}

fn is_a<T: serde::de::DeserializeOwned>(value: Value) -> bool {
    serde_json::from_value::<T>(value).is_ok()
}
