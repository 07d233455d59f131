//! What has to stand in messages of an EVerest under test.

use serde_json::{Value, json};

use crate::protocol::types::ProvidedIdToken;

/// What has to stand in a reply; who says it is his affair.
pub fn as_pattern(mut reply: Value) -> Value {
    if let Some(api) = reply.pointer_mut("/apis/0").and_then(Value::as_object_mut) {
        api.remove("module_id");
    }
    match reply.get("status") {
        Some(status) => literal(json!({"status": status, "token": {"id_token": reply.pointer("/token/id_token")}})),
        None => reply,
    }
}

/// A value as a pattern that matches it: texts that look like markers are none.
fn literal(value: Value) -> Value {
    match value {
        Value::String(text) if text.starts_with('$') => Value::String(format!("${text}")),
        Value::Array(elements) => elements.into_iter().map(literal).collect(),
        Value::Object(members) => members.into_iter().map(|(key, value)| (key, literal(value))).collect(),
        other => other,
    }
}

/// What has to stand in a question about a token.
pub fn as_question(token: &ProvidedIdToken) -> Value {
    let mut asked = json!({"id_token": {"value": token.id_token.value, "type": token.id_token.r#type}});
    if let Some(connectors) = token.connectors.as_ref().filter(|connectors| !connectors.is_empty()) {
        asked["connectors"] = json!(connectors);
    }
    json!({"payload": asked})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_a_reply_is_no_marker() {
        let reply = json!({"status": "Accepted", "token": {"id_token": {"value": "$any", "additional_info": [{"value": "$t`4wA"}]}}});
        let expected = json!({"value": "$$any", "additional_info": [{"value": "$$t`4wA"}]});
        assert_eq!(as_pattern(reply)["token"]["id_token"], expected);
    }
}
