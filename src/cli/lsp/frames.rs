//! Messages of the protocol, each behind a head that says how long it is.

use std::io::{BufRead, Read};

use lsp_server::Message;

use crate::scenario::LARGEST;

/// The longest message: a file as long as any may be, with an escape for every character.
const LONGEST: usize = 6 * LARGEST + 64 * 1024;
/// The longest line of a head.
const LONGEST_LINE: u64 = 4096;
/// The most lines of a head.
const MOST_LINES: usize = 16;

/// The next message; nothing where there is none any more.
///
/// # Errors
/// What is wrong with it; what comes behind it cannot be told apart then.
pub(super) fn read(input: &mut impl BufRead) -> Result<Option<Message>, String> {
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
            return body(input, frame, length);
        }
        if let Some((name, value)) = line.trim_end().split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            length = Some(value.parse().map_err(|_| "its `Content-Length` is no number")?);
        }
    }
    Err(format!("its head has more than {MOST_LINES} lines"))
}

fn body(input: &mut impl BufRead, mut frame: Vec<u8>, length: usize) -> Result<Option<Message>, String> {
    if length > LONGEST {
        return Err(format!("it has {length} bytes, the most is {LONGEST}"));
    }
    let whole = frame.len() + length;
    input.take(length as u64).read_to_end(&mut frame).map_err(|error| error.to_string())?;
    if frame.len() < whole {
        return Err(format!("it ends {} bytes before its end", whole - frame.len()));
    }
    Message::read(&mut frame.as_slice()).map_err(|_| "it is no message of JSON-RPC 2.0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(bytes: &[u8]) -> Result<Option<String>, String> {
        read(&mut &*bytes).map(|message| {
            message.map(|message| match message {
                Message::Request(request) => request.method,
                Message::Notification(notification) => notification.method,
                Message::Response(response) => format!("{response:?}"),
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
            ("Content-Length: 2\r\n\r\n[]", "JSON-RPC"),
            (&*many, "more than"),
        ] {
            let said = method(frame.as_bytes());
            assert!(said.as_ref().is_err_and(|said| said.contains(why)), "{frame}: {said:?}");
        }
    }
}
