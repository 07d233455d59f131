//! The order of khumbu's own messages: what a scenario does one after the other reaches the module in that order, also
//! where it goes over several connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::broker_wire::Bench;
use crate::clients;
use crate::project::Project;
use crate::recordings::messages;

/// Over the client's connection and over the token provider's, by turns.
const BY_TURNS: &str = "\
description: A transaction begins, and a token is presented, again and again.
under_test: everest
station:
  auth_token_provider: {}
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443}
steps:
  - repeat:
      times: 300
      steps:
        - start_transaction: {evse: 1}
        - present_token: ALICE
";

#[test]
fn bound_stimuli_and_tokens_keep_their_order() {
    let project = Project::with(&[("s.yaml", BY_TURNS)]);
    project.write(
        "khumbu.yaml",
        "module:\n  bindings:\n    start_transaction: {publish: {topic: 'khumbu/{module_id}/do', payload: '{command}'}}\n",
    );
    project.play(&["s.yaml", "--record", "r.jsonl"]).exits(0);
    let topics = messages(&project.read("r.jsonl")).into_iter().filter_map(|message| {
        let topic = message["topic"].as_str()?.rsplit('/').next()?.to_owned();
        ["do", "provided_token"].contains(&topic.as_str()).then_some(topic)
    });
    let topics: Vec<_> = topics.collect();
    assert_eq!(topics.len(), 600);
    let first = topics.chunks(2).position(|pair| pair != ["do", "provided_token"]);
    assert_eq!(first, None, "{topics:?}");
}

/// A client asks over MQTT, and what happens to khumbu's own station goes no such way.
const WITHDRAWN_BEFORE: &str = "\
description: What a client has asked for is done before what happens next.
under_test: client
station:
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443}
    BOB: {value: \"0B0B0B0B\", type: ISO14443}
steps:
  - repeat:
      times: 100
      steps:
        - present_token: ALICE
        - withdraw: {}
        - present_token: BOB
        - plug_in: {evse: 1}
        - start_transaction: {evse: 1}
        - stop_transaction: {evse: 1}
        - unplug: {evse: 1}
";

#[test]
fn what_a_client_asked_for_is_done_before_what_happens_next() {
    let project = Project::with(&[("s.yaml", WITHDRAWN_BEFORE)]);
    project.play(&["s.yaml"]).exits(0);
}

/// The request goes at QoS 0, the token at QoS 1 over another connection.
const UNACKNOWLEDGED: &str = "\
description: What was withdrawn before a token came leaves the token alone.
under_test: everest
station:
  auth_token_provider: {}
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443}
steps:
  - repeat:
      times: 3
      steps:
        - withdraw: {}
        - present_token: ALICE
        - expect_reply: AuthorizationNotFound
        - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart]}
        - withdraw: {token: ALICE}
        - any_order:
            - expect_reply: Accepted
            - expect_status: {token: ALICE, status: Withdrawn}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_way_to_another_broker_changes_nothing() {
    let upstream = Bench::start().await;
    let way = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("mqtt://{}", way.local_addr().unwrap());
    let slow = tokio::spawn(lead(way, upstream.address()));
    let project = Project::with(&[("s.yaml", UNACKNOWLEDGED)]);
    let played = tokio::task::spawn_blocking(move || project.play(&["s.yaml", "--broker", &url]));
    played.await.unwrap().exits(0);
    slow.abort();
    upstream.stop().await;
}

const WITHDRAW: &[u8] = b"m2e/withdraw_authorization";

/// Leads connections to a broker, those with withdraw requests in them slowly.
async fn lead(way: TcpListener, to: SocketAddr) {
    while let Ok((near, _)) = way.accept().await {
        let far = TcpStream::connect(to).await.unwrap();
        near.set_nodelay(true).unwrap();
        far.set_nodelay(true).unwrap();
        let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.into_split(), far.into_split());
        tokio::spawn(async move { copy(&mut from_far, &mut to_near).await });
        tokio::spawn(async move {
            let mut bytes = Vec::with_capacity(1 << 16);
            while let Ok(1..) = from_near.read_buf(&mut bytes).await {
                if bytes.windows(WITHDRAW.len()).any(|part| part == WITHDRAW) {
                    sleep(Duration::from_millis(100)).await;
                }
                if to_far.write_all(&bytes).await.is_err() {
                    break;
                }
                bytes.clear();
            }
        });
    }
}

/// Ends where an order comes before a status that was sent before it.
const COUNTS: &str = "\
import os
from consumer import Consumer, arguments
class Counts(Consumer):
    seen, rounds = '', 0
    def subscribe(self, filters, *rest):
        super().subscribe([(topic, QOS) for topic, _ in filters], *rest)
    def on_message(self, topic, payload):
        self.seen += payload.decode() if 'token_validation_status' in topic else ''
        super().on_message(topic, payload)
    def on_command(self, name, value):
        self.rounds += 1
        if self.seen.count('Processing') != self.rounds:
            print('fatal: told', self.rounds, 'times, shown', self.seen.count('Processing'), 'tokens', flush=True)
            os._exit(9)
        super().on_command(name, value)
Counts(arguments('').parse_args()).run()
";

#[test]
fn orders_and_statuses_reach_a_module_in_order() {
    let Some(python) = clients::python() else { return };
    // Tokens come one after the other, and the module is told what to do right behind each.
    let tokens: String = (1..=30).map(|n| format!("    T{n}: {{value: \"{n:08}\", type: ISO14443}}\n")).collect();
    let steps: String = (1..=30)
        .map(|n| format!("  - present_token: T{n}\n  - withdraw: {{evse_id: 9}}\n  - expect_reply: EvseNotFound\n"))
        .collect();
    let orders = format!(
        "description: A client is told what to do while statuses come.\nunder_test: client\nstation:\n  \
         tokens:\n{tokens}steps:\n{steps}"
    );
    for qos in ["0", "1", "2"] {
        let project = Project::with(&[("s.yaml", &orders), ("counts.py", &COUNTS.replace("QOS", qos))]);
        project.play(&["s.yaml", "--module", &format!("{} counts.py", python.display())]).exits(0);
    }
}
