//! What has to stand in messages of an EVerest under test.

use serde_json::{Value, json};

use crate::protocol::types::ProvidedIdToken;

/// What has to stand in a reply; who says it is his affair.
pub fn as_pattern(mut reply: Value) -> Value {
    if let Some(api) = reply.pointer_mut("/apis/0").and_then(Value::as_object_mut) {
        api.remove("module_id");
    }
    match reply.get("status") {
        Some(status) => json!({"status": status, "token": {"id_token": reply.pointer("/token/id_token")}}),
        None => reply,
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
