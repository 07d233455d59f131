//! Frames of OCPP-J: CALL, CALLRESULT and CALLERROR (OCPP-J 1.6, section 4.2; OCPP 2.0.1, part 4, section 4.2).

use serde_json::{Value, json};

use super::version::OcppVersion;

/// A frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// A request.
    Call {
        /// Comes back with the answer.
        id: String,
        /// What is asked.
        action: String,
        /// With what.
        payload: Value,
    },
    /// An answer.
    Result {
        /// Of which request.
        id: String,
        /// The answer.
        payload: Value,
    },
    /// A request was not followed.
    Error {
        /// Which request.
        id: String,
        /// What kind of error; see [`ErrorCode`].
        code: String,
        /// In words.
        description: String,
    },
}

/// A text that is no frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The id of the message, as far as there is one.
    pub id: Option<String>,
    /// What is wrong.
    pub code: ErrorCode,
    /// In words.
    pub why: String,
}

/// Why a request is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// Nobody knows the action.
    NotImplemented,
    /// The action is known, but not here.
    NotSupported,
    /// Something went wrong inside.
    InternalError,
    /// It is no object, or no frame.
    Formation,
    /// A member is not there.
    Occurrence,
    /// A member is of another type.
    Type,
    /// A member has a value that it cannot have.
    Property,
    /// What is no RPC at all.
    Framework,
    /// A kind of frame that nobody knows.
    MessageType,
    /// It is not the time for it.
    Security,
}

impl ErrorCode {
    /// As a version writes it; OCPP-J 1.6 misspells one, and lacks some.
    pub fn name(self, version: OcppVersion) -> &'static str {
        let is_old = version == OcppVersion::Ocpp16;
        match self {
            ErrorCode::NotImplemented => "NotImplemented",
            ErrorCode::NotSupported => "NotSupported",
            ErrorCode::InternalError => "InternalError",
            ErrorCode::Formation if is_old => "FormationViolation",
            ErrorCode::Formation => "FormatViolation",
            ErrorCode::Occurrence if is_old => "OccurenceConstraintViolation",
            ErrorCode::Occurrence => "OccurrenceConstraintViolation",
            ErrorCode::Type => "TypeConstraintViolation",
            ErrorCode::Property => "PropertyConstraintViolation",
            ErrorCode::Framework | ErrorCode::MessageType if is_old => "ProtocolError",
            ErrorCode::Framework => "RpcFrameworkError",
            ErrorCode::MessageType => "MessageTypeNotSupported",
            ErrorCode::Security => "SecurityError",
        }
    }
}

/// The most characters of a message id (OCPP-J 1.6, 4.1.4).
const LONGEST_ID: usize = 36;
/// The most characters of a description (OCPP-J 1.6, 4.2.3).
const LONGEST_DESCRIPTION: usize = 255;

impl Frame {
    /// Reads a frame.
    ///
    /// # Errors
    /// When the text is none.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let unreadable = |id: Option<&str>, code, why: String| Unreadable { id: id.map(str::to_owned), code, why };
        let value: Value = serde_json::from_str(text)
            .map_err(|error| unreadable(None, ErrorCode::Framework, format!("no JSON: {error}")))?;
        let Value::Array(mut members) = value else {
            return Err(unreadable(None, ErrorCode::Framework, "no list".to_owned()));
        };
        let id = members.get(1).and_then(Value::as_str).filter(|id| !id.is_empty() && id.chars().count() <= LONGEST_ID);
        let Some(id) = id.map(str::to_owned) else {
            return Err(unreadable(None, ErrorCode::Framework, "no message id".to_owned()));
        };
        match (members.first().and_then(Value::as_u64), members.len()) {
            (Some(2), 4) => match (members[2].take(), members[3].take()) {
                (Value::String(action), payload @ Value::Object(_)) => Ok(Frame::Call { id, action, payload }),
                (Value::String(_), _) => {
                    Err(unreadable(Some(&id), ErrorCode::Formation, "the payload is no object".to_owned()))
                }
                _ => Err(unreadable(Some(&id), ErrorCode::Formation, "the action is no text".to_owned())),
            },
            (Some(2), count) => {
                let why = format!("a CALL has 4 elements, not {count}");
                Err(unreadable(Some(&id), ErrorCode::Formation, why))
            }
            (Some(3), 3) => Ok(Frame::Result { id, payload: members[2].take() }),
            // Some leave out what is empty.
            (Some(4), 3..=5) => {
                let text = |member: Option<&Value>| member.and_then(Value::as_str).unwrap_or_default().to_owned();
                Ok(Frame::Error { id, code: text(members.get(2)), description: text(members.get(3)) })
            }
            // An answer that is none is answered by nobody.
            (Some(3 | 4), count) => {
                Err(unreadable(None, ErrorCode::Framework, format!("an answer with {count} elements")))
            }
            _ => Err(unreadable(Some(&id), ErrorCode::MessageType, "no known type of message".to_owned())),
        }
    }

    /// As it is sent.
    pub fn to_text(&self) -> String {
        match self {
            Frame::Call { id, action, payload } => json!([2, id, action, payload]),
            Frame::Result { id, payload } => json!([3, id, payload]),
            Frame::Error { id, code, description } => json!([4, id, code, description, {}]),
        }
        .to_string()
    }

    /// An error in the words of a version.
    pub fn error(version: OcppVersion, id: String, code: ErrorCode, why: &str) -> Self {
        let description = why.chars().take(LONGEST_DESCRIPTION).collect();
        Frame::Error { id, code: code.name(version).to_owned(), description }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames() -> impl Strategy<Value = Frame> {
        let id = "[a-zA-Z0-9-]{1,36}";
        let payload = || prop::collection::btree_map("[a-z]{1,8}", any::<i32>(), 0..4).prop_map(|map| json!(map));
        prop_oneof![
            (id, "\\PC{0,20}", payload()).prop_map(|(id, action, payload)| Frame::Call { id, action, payload }),
            (id, payload()).prop_map(|(id, payload)| Frame::Result { id, payload }),
            (id, "\\PC{0,20}", "\\PC{0,300}").prop_map(|(id, code, description)| Frame::Error {
                id,
                code,
                description
            }),
        ]
    }

    proptest! {
        #[test]
        fn frames_come_back_as_they_went(frame in frames()) {
            prop_assert_eq!(Frame::parse(&frame.to_text()).unwrap(), frame);
        }

        #[test]
        fn nothing_that_comes_is_too_strange(text in "\\PC{0,60}|\\[[234],\"a\"(,(\"b\"|\\{\\}|[0-9]|null)){0,5}\\]") {
            if let Ok(frame) = Frame::parse(&text) {
                prop_assert_eq!(Frame::parse(&frame.to_text()).unwrap(), frame);
            }
        }
    }

    #[test]
    fn what_is_no_frame_is_told_apart() {
        let long = format!("[2,\"{}\",\"Reset\",{{}}]", "x".repeat(37));
        let deep = "[".repeat(100_000);
        for (text, id, code) in [
            ("", None, ErrorCode::Framework),
            ("{}", None, ErrorCode::Framework),
            ("[]", None, ErrorCode::Framework),
            ("[2]", None, ErrorCode::Framework),
            ("[2,5,\"Reset\",{}]", None, ErrorCode::Framework),
            (&long, None, ErrorCode::Framework),
            (&deep, None, ErrorCode::Framework),
            ("[2,\"a\",\"Reset\"]", Some("a"), ErrorCode::Formation),
            ("[2,\"a\",\"Reset\",[]]", Some("a"), ErrorCode::Formation),
            ("[2,\"a\",5,{}]", Some("a"), ErrorCode::Formation),
            ("[3,\"a\"]", None, ErrorCode::Framework),
            ("[9,\"a\",{}]", Some("a"), ErrorCode::MessageType),
            ("[\"2\",\"a\",\"Reset\",{}]", Some("a"), ErrorCode::MessageType),
        ] {
            let error = Frame::parse(text).unwrap_err();
            assert_eq!((error.id.as_deref(), error.code), (id, code), "{text:.80}");
        }
    }

    #[test]
    fn errors_have_the_names_of_their_version() {
        let names = |code: ErrorCode| (code.name(OcppVersion::Ocpp16), code.name(OcppVersion::Ocpp201));
        assert_eq!(names(ErrorCode::Formation), ("FormationViolation", "FormatViolation"));
        assert_eq!(names(ErrorCode::Occurrence), ("OccurenceConstraintViolation", "OccurrenceConstraintViolation"));
        assert_eq!(names(ErrorCode::Framework), ("ProtocolError", "RpcFrameworkError"));
        let frame = Frame::error(OcppVersion::Ocpp16, "a".to_owned(), ErrorCode::Type, &"ä".repeat(300));
        assert!(matches!(frame, Frame::Error { description, .. } if description.chars().count() == 255));
    }
}
