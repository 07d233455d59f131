//! Messages of the protocol, each behind a head that says how long it is.

use std::io::{BufRead, Read};

use lsp_server::{ErrorCode, Message};
use serde_json::{Value, json};

use crate::protocol::codec::json;
use crate::scenario::LARGEST;

/// The longest message: a file as long as any may be, with an escape for every character.
const LONGEST: usize = 6 * LARGEST + 64 * 1024;
/// The longest line of a head.
const LONGEST_LINE: u64 = 4096;
/// The most lines of a head.
const MOST_LINES: usize = 16;

/// What stands behind a head.
#[derive(Debug)]
pub(super) enum Body {
    Message(Message),
    /// It is no message, and this is what to answer.
    Refused(Value),
}

/// What stands behind the next head; nothing where there is none any more.
///
/// # Errors
/// What is wrong with the head; what comes behind it cannot be told apart then.
pub(super) fn read(input: &mut impl BufRead) -> Result<Option<Body>, String> {
    let (mut frame, mut length) = (Vec::new(), None);
    for _ in 0..MOST_LINES {
        let start = frame.len();
        let mut head = input.by_ref().take(LONGEST_LINE);
        let read = head.read_until(b'\n', &mut frame).map_err(|error| error.to_string())?;
        let line = String::from_utf8_lossy(&frame[start..]).into_owned();
        if read == 0 && start == 0 {
            return Ok(None);
        }
        if !line.ends_with("\r\n") {
            return Err(format!("a line of its head is {} bytes long and does not end with CR LF", line.len()));
        }
        if line == "\r\n" {
            let length = length.ok_or("its head has no `Content-Length`")?;
            return body(input, length).map(Some);
        }
        if let Some((name, value)) = line.trim_end().split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            length = Some(value.parse().map_err(|_| "its `Content-Length` is no number")?);
        }
    }
    Err(format!("its head has more than {MOST_LINES} lines"))
}

fn body(input: &mut impl BufRead, length: usize) -> Result<Body, String> {
    if length > LONGEST {
        return Err(format!("it has {length} bytes, the most is {LONGEST}"));
    }
    let mut bytes = Vec::new();
    input.take(length as u64).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() < length {
        return Err(format!("it ends {} bytes before its end", length - bytes.len()));
    }
    if let Ok(message) = serde_json::from_slice(&bytes) {
        return Ok(Body::Message(message));
    }
    let text = String::from_utf8_lossy(&bytes);
    let text = json::paired(&text);
    Ok(serde_json::from_str(&text).map_or_else(|_| Body::Refused(refusal(&text)), Body::Message))
}

/// The answer to what is no message, as JSON-RPC 2.0 has it.
fn refusal(text: &str) -> Value {
    let (code, id, message) = match serde_json::from_str::<Value>(text) {
        Ok(it) => {
            let id = it.get("id").filter(|id| it.get("method").is_some() && (id.is_string() || id.is_number()));
            (
                ErrorCode::InvalidRequest,
                id.cloned().unwrap_or_default(),
                "this is no message of JSON-RPC 2.0".to_owned(),
            )
        }
        Err(error) => (ErrorCode::ParseError, Value::Null, format!("this is no JSON: {error}")),
    };
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code as i32, "message": message}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(bytes: &[u8]) -> Result<Option<String>, String> {
        read(&mut &*bytes).map(|body| {
            body.map(|body| match body {
                Body::Message(Message::Request(request)) => request.method,
                Body::Message(Message::Notification(notification)) => notification.method,
                other => format!("{other:?}"),
            })
        })
    }

    #[test]
    fn a_message_stands_behind_its_length() {
        let text = r#"{"jsonrpc":"2.0","method":"é"}"#;
        let frame = format!("Content-Length: {}\r\nContent-Type: x\r\n\r\n{text}", text.len());
        assert_eq!(method(frame.as_bytes()), Ok(Some("é".to_owned())));
        assert_eq!(method(b""), Ok(None));
    }

    #[test]
    fn what_is_no_message_is_answered_where_its_end_is_known() {
        for (text, code, id) in [
            ("[]", -32600, Value::Null),
            ("{\"id\":1", -32700, Value::Null),
            (r#"{"id":7,"method":3}"#, -32600, json!(7)),
            (r#"{"id":7}"#, -32600, Value::Null),
        ] {
            let frame = format!("Content-Length: {}\r\n\r\n{text}", text.len());
            let Ok(Some(Body::Refused(answer))) = read(&mut frame.as_bytes()) else { panic!("{text}") };
            assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), &id), "{text}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused_whatever_it_says_of_its_length() {
        let many = "a: b\r\n".repeat(MOST_LINES);
        let long = "x".repeat(8192);
        for (frame, why) in [
            ("hello\n", "CR LF"),
            (&*long, "CR LF"),
            ("\r\n", "no `Content-Length`"),
            ("Content-Length: many\r\n\r\n", "no number"),
            ("Content-Length: 99999999999999\r\n\r\n", "the most is"),
            ("Content-Length: 9\r\n\r\n{}", "before its end"),
            (&*many, "more than"),
        ] {
            let said = method(frame.as_bytes());
            assert!(said.as_ref().is_err_and(|said| said.contains(why)), "{frame}: {said:?}");
        }
    }
}
