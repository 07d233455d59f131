//! Messages of JSON-RPC 2.0: requests as they are read, answers and errors as they are written. Knows no method.

use serde_json::{Map, Value, json};

use crate::diagnostic::{Diagnostic, Severity, Style};
use crate::report::finding;

/// What cannot be read as JSON.
const PARSE_ERROR: i32 = -32700;
/// What is JSON, and no request.
const INVALID_REQUEST: i32 = -32600;
const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;
const INTERNAL_ERROR: i32 = -32603;
/// A step was not met, or the module was not ready.
const NOT_MET: i32 = 1;
/// There is no such session, or it plays no more steps.
const NO_SESSION: i32 = 2;
/// There is more than khumbu takes.
const TOO_MANY: i32 = 3;

/// A request.
#[derive(Debug, PartialEq)]
pub struct Request {
    /// What its answer has to name; without, no answer is wanted.
    pub id: Option<Value>,
    /// The method.
    pub method: String,
    /// Its parameters, by name.
    pub params: Map<String, Value>,
}

/// Why a request came to nothing.
#[derive(Debug)]
pub struct Failure {
    code: i32,
    /// What is wrong, the first thing first; never empty.
    found: Vec<Diagnostic>,
}

impl Failure {
    fn new(code: i32, id: &'static str, headline: impl Into<String>) -> Self {
        Self { code, found: vec![Diagnostic::new(Severity::Error, id, headline)] }
    }

    fn with_help(mut self, help: &str) -> Self {
        self.found[0].help = Some(help.to_owned());
        self
    }

    /// A line is longer than may be.
    pub fn too_large(most: usize) -> Self {
        Self::new(INVALID_REQUEST, "serve/too-large", format!("message has more than {most} bytes, and was not read"))
    }

    /// There is no such method.
    pub fn unknown_method(method: &str, known: &[&str], near: Option<&str>) -> Self {
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let mut failure =
            Self::new(METHOD_NOT_FOUND, "serve/unknown-method", format!("unknown method `{method}`{near}"));
        failure.found[0].evidence.push(format!("methods: {}", known.join(", ")));
        failure
    }

    /// The parameters are not those of the method.
    pub fn bad_params(headline: impl Into<String>) -> Self {
        Self::new(INVALID_PARAMS, "serve/bad-params", headline)
    }

    /// What the parameters say makes no sense.
    pub fn senseless(found: Vec<Diagnostic>) -> Self {
        let is_ours = found.iter().any(|found| found.id.starts_with("harness/"));
        Self { code: if is_ours { INTERNAL_ERROR } else { INVALID_PARAMS }, found }
    }

    /// A step was not met.
    pub fn not_met(found: Diagnostic) -> Self {
        Self { code: NOT_MET, found: vec![found] }
    }

    /// There is no session of this number.
    pub fn no_session(number: u64) -> Self {
        Self::new(NO_SESSION, "serve/no-session", format!("there is no session {number}"))
            .with_help("`open` begins one, and its answer has the number")
    }

    /// The session plays no more steps.
    pub fn over(number: u64) -> Self {
        let headline = format!("session {number} plays no more steps: its scenario has ended");
        Self::new(NO_SESSION, "serve/over", headline).with_help("`close` it: the answer says how it ended")
    }

    /// There is more of something than may be.
    pub fn too_many(headline: impl Into<String>) -> Self {
        Self::new(TOO_MANY, "serve/too-many", headline)
    }
}

impl Request {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, and the id of the request as far as it has one.
    pub fn read(line: &[u8]) -> Result<Self, (Option<Value>, Failure)> {
        let value: Value = serde_json::from_slice(line).map_err(|error| {
            let failure = Failure::new(PARSE_ERROR, "serve/not-json", format!("message is no JSON: {error}"));
            (None, failure.with_help("one message is one line"))
        })?;
        let Value::Object(mut message) = value else {
            let what = if value.is_array() { "several messages in a list are" } else { "message is" };
            let headline = format!("{what} no JSON object");
            let failure = Failure::new(INVALID_REQUEST, "serve/bad-message", headline);
            return Err((None, failure.with_help("one request is one object on one line")));
        };
        let id = message.remove("id");
        let is_id = matches!(id, None | Some(Value::Null | Value::String(_) | Value::Number(_)));
        let bad = |why: &str| {
            let failure = Failure::new(INVALID_REQUEST, "serve/bad-message", format!("message {why}"));
            Err((id.clone().filter(|_| is_id), failure))
        };
        if !is_id {
            return bad("has an `id` that is no text and no number");
        }
        if message.get("jsonrpc") != Some(&json!("2.0")) {
            return bad("does not say `\"jsonrpc\": \"2.0\"`");
        }
        let Some(Value::String(method)) = message.get("method") else { return bad("names no `method`") };
        let method = method.clone();
        let params = match message.remove("params") {
            None => Map::new(),
            Some(Value::Object(params)) => params,
            Some(_) => return Err((id, Failure::bad_params("`params` is no JSON object: parameters have names"))),
        };
        Ok(Self { id, method, params })
    }
}

/// Nobody would learn what came of such a request.
pub fn unanswered(method: &str) -> Diagnostic {
    let headline = format!("`{method}` without an `id` gets no answer, and was not carried out");
    Diagnostic::new(Severity::Error, "serve/bad-message", headline)
}

/// The line that answers a request.
pub fn answered(id: &Value, result: Result<Value, Failure>) -> String {
    match result {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string(),
        Err(failure) => failed(Some(id), &failure),
    }
}

/// The line that says why a request came to nothing.
pub fn failed(id: Option<&Value>, Failure { code, found }: &Failure) -> String {
    let texts: Vec<_> = found.iter().map(|found| found.render(Style::Plain)).collect();
    let findings: Vec<_> = found.iter().map(finding).collect();
    let data = json!({"id": found[0].id, "text": texts.join("\n"), "findings": findings});
    let error = json!({"code": code, "message": found[0].headline, "data": data});
    json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string()
}
