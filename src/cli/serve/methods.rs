//! The methods of the protocol, and the sessions that are open.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::rpc::Failure;
use crate::cli::VERSION;
use crate::diagnostic::Style;
use crate::protocol::channel::Topics;
use crate::report::{self, terminal};
use crate::runner::{Closed, Met, Outcome, Session, TooMany, Wanted, keys, outcome};
use crate::scenario::{self, Takes, suggestion};

/// The version of the protocol; it grows when a method or a key changes its meaning or goes away.
const PROTOCOL: u64 = 1;
/// So many sessions may be open at once.
const MOST_SESSIONS: usize = 64;
/// The methods.
const METHODS: [&str; 5] = ["initialize", "open", "ready", "step", "close"];

/// What a request will be answered.
pub type Answer = Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send>>;

/// The sessions that are open.
pub struct Sessions {
    open: BTreeMap<u64, Session>,
    last: u64,
    interrupt: watch::Receiver<bool>,
}

impl Sessions {
    /// None yet; `interrupt` ends all that will be.
    pub fn new(interrupt: watch::Receiver<bool>) -> Self {
        Self { open: BTreeMap::new(), last: 0, interrupt }
    }

    /// Begins what a request asks for; the answer comes when it is done. What is asked of one session is done in the order in which
    /// it is begun.
    ///
    /// # Errors
    /// Why nothing can be begun.
    pub async fn begin(&mut self, method: &str, mut params: Map<String, Value>) -> Result<Answer, Failure> {
        match method {
            "initialize" => {
                let protocol: Option<u64> = take(&mut params, "protocol")?;
                nothing_else(method, &params)?;
                if let Some(other) = protocol.filter(|protocol| *protocol != PROTOCOL) {
                    return Err(Failure::bad_params(format!("this is protocol {PROTOCOL}, not {other}")));
                }
                let (head, station) = keys();
                Ok(now(json!({
                    "protocol": PROTOCOL,
                    "khumbu": VERSION,
                    "open": head,
                    "station": station,
                    "steps": steps(),
                })))
            }
            "open" => self.open(params).await.map(now),
            "ready" => {
                let (number, session) = self.named(&mut params)?;
                nothing_else(method, &params)?;
                Ok(told(number, session.begin()))
            }
            "step" => {
                let step = params.remove("step");
                let (number, session) = self.named(&mut params)?;
                nothing_else(method, &params)?;
                let step = step.ok_or_else(|| Failure::bad_params("`step` is missing"))?;
                Ok(told(number, session.play(step)))
            }
            "close" => {
                let (number, _) = self.named(&mut params)?;
                nothing_else(method, &params)?;
                let session = self.open.remove(&number).ok_or_else(|| Failure::no_session(number))?;
                Ok(Box::pin(async move { Ok(verdict(session.close().await)) }))
            }
            _ => Err(Failure::unknown_method(method, &METHODS, suggestion(method, METHODS))),
        }
    }

    async fn open(&mut self, params: Map<String, Value>) -> Result<Value, Failure> {
        if self.open.len() >= MOST_SESSIONS {
            return Err(Failure::too_many(format!("{MOST_SESSIONS} sessions are open, which is the most")));
        }
        let wanted = Wanted::of_keys(params).map_err(Failure::bad_params)?;
        let session = Session::open(wanted, self.interrupt.clone()).await.map_err(Failure::senseless)?;
        self.last += 1;
        let opened = opened(self.last, &session);
        self.open.insert(self.last, session);
        Ok(opened)
    }

    /// The session that the parameters name.
    fn named(&self, params: &mut Map<String, Value>) -> Result<(u64, &Session), Failure> {
        let number: Option<u64> = take(params, "session")?;
        let number =
            number.ok_or_else(|| Failure::bad_params("`session` is missing: the number that `open` answers"))?;
        self.open.get(&number).map(|session| (number, session)).ok_or_else(|| Failure::no_session(number))
    }

    /// Closes all, at once.
    pub async fn close_all(self) -> Vec<Closed> {
        let closing: JoinSet<_> = self.open.into_values().map(Session::close).collect();
        closing.join_all().await
    }
}

/// Takes a parameter.
fn take<T: DeserializeOwned>(params: &mut Map<String, Value>, name: &str) -> Result<Option<T>, Failure> {
    let Some(value) = params.remove(name) else { return Ok(None) };
    serde_json::from_value(value).map(Some).map_err(|error| Failure::bad_params(format!("`{name}`: {error}")))
}

fn nothing_else(method: &str, params: &Map<String, Value>) -> Result<(), Failure> {
    match params.keys().next() {
        Some(key) => Err(Failure::bad_params(format!("`{method}` has no parameter `{key}`"))),
        None => Ok(()),
    }
}

fn now(answer: Value) -> Answer {
    Box::pin(std::future::ready(Ok(answer)))
}

/// What comes of a step of this session.
fn told(number: u64, order: Result<oneshot::Receiver<Outcome>, TooMany>) -> Answer {
    Box::pin(async move {
        match outcome(order).await {
            Ok(Outcome::Met(met)) => Ok(what_came(&met)),
            Ok(Outcome::Refused(found)) => Err(Failure::senseless(found)),
            Ok(Outcome::NotMet(found)) => Err(Failure::not_met(*found)),
            Ok(Outcome::Over) => Err(Failure::over(number)),
            Err(TooMany) => {
                Err(Failure::too_many(format!("too many steps of session {number} wait for their answers")))
            }
        }
    })
}

/// The steps of the language: `null` for one that takes nothing, the keys that it must have for one that takes a mapping, and
/// `"value"` for another.
fn steps() -> Value {
    let steps = scenario::steps().into_iter().map(|(name, takes)| {
        let takes = match takes {
            Takes::Nothing => Value::Null,
            Takes::Mapping(keys) => json!(keys),
            Takes::Value => json!("value"),
        };
        (name, takes)
    });
    Value::Object(steps.collect())
}

fn opened(number: u64, session: &Session) -> Value {
    let Topics { api, external_prefix, api_version, module_id } = &session.topics;
    let base = session.topics.base();
    json!({
        "session": number,
        "host": session.address.ip().to_string(),
        "port": session.address.port(),
        "api": api.name(),
        "module_id": module_id,
        "api_version": api_version,
        "external_prefix": external_prefix,
        "release": session.release.name(),
        "topics": {"e2m": format!("{base}/e2m"), "m2e": format!("{base}/m2e"), "control": session.topics.control_topic()},
        "environment": session.environment,
    })
}

fn what_came(met: &Met) -> Value {
    let messages = met.messages.iter().map(|message| {
        json!({
            "from": if message.is_by_module { "module" } else { "khumbu" },
            "name": message.name,
            "topic": message.topic,
            "payload": message.payload,
            "qos": message.qos,
            "retain": message.retain,
        })
    });
    json!({"messages": messages.collect::<Vec<_>>(), "captured": met.captured})
}

fn verdict(Closed { result, scenario, recording }: Closed) -> Value {
    let text = terminal::details(&result, Style::Plain);
    let result = Arc::new(result);
    let mut answer = json!({
        "verdict": result.verdict.word(),
        "text": text.trim_start_matches('\n'),
        "result": report::scenarios(std::slice::from_ref(&result)).pop(),
        "scenario": scenario,
    });
    if let Some(recording) = recording {
        answer["recording"] = recording.into();
    }
    answer
}
