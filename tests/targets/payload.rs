//! Payloads of the API: decoded as EVerest does, judged, and written in every form.

use khumbu::protocol::codec::{self, Decoded, json};
use khumbu::protocol::deviations::{Behaviour, Deviations};
use khumbu::protocol::release::Release;
use khumbu::protocol::schema::{Message, Schemas};
use khumbu::protocol::wire::{Form, remove_extra_fields};
use serde_json::Value;

thread_local! {
    /// Compiled once: that takes longer than all the rest.
    static SCHEMAS: Schemas = Schemas::new(Release::Main);
}

pub fn run(bytes: &[u8]) {
    for release in Release::PROFILES {
        for behaviour in [Behaviour::AsRunning, Behaviour::AsSpecified] {
            decode(bytes, Deviations::new(release, behaviour, &Default::default()));
        }
    }
    let value = json::parse(bytes);
    let strict = serde_json::from_slice::<Value>(bytes);
    if let (Ok(value), Ok(strict)) = (&value, &strict) {
        assert_eq!(value, strict, "two readers of JSON differ");
    }
    let Ok(value) = strict else { return };
    SCHEMAS.with(|schemas| {
        for message in Message::all() {
            for violation in schemas.check(message, &value) {
                assert!(value.pointer(&violation.pointer).is_some(), "{violation:?} is nowhere in {value}");
            }
        }
    });
    let mut plain = value;
    remove_extra_fields(&mut plain);
    for form in Form::ALL {
        let written = form.encode(&plain);
        let mut read: Value = serde_json::from_slice(&written).unwrap_or_else(|error| panic!("{form:?}: {error}"));
        remove_extra_fields(&mut read);
        assert_eq!(read, plain, "{form:?} means something else");
        assert!(Form::recognised(&written).is_some(), "{form:?} is not recognised: {written:?}");
    }
}

fn decode(bytes: &[u8], d: Deviations) {
    // What was understood is understood again once it is written.
    if let Ok(token) = codec::decode_provided_token(bytes, d) {
        assert_eq!(codec::decode_provided_token(&codec::encode(&token), d).as_ref(), Ok(&token));
    }
    if let Ok(result) = codec::decode_validation_reply(bytes, d) {
        assert_eq!(codec::decode_validation_reply(&codec::encode(&result), d).as_ref(), Ok(&result));
    }
    if let Ok(update) = codec::decode_result_update(bytes, d) {
        assert_eq!(codec::decode_result_update(&codec::encode(&update), d).as_ref(), Ok(&update));
    }
    if let Ok(is_on) = codec::decode_communication_check(bytes, d) {
        assert_eq!(codec::decode_communication_check(&codec::encode(&is_on), d), Ok(is_on));
    }
    if let Ok(seconds) = codec::decode_connection_timeout(bytes, d) {
        assert_eq!(codec::decode_connection_timeout(&codec::encode(&seconds), d), Ok(seconds));
    }
    if let Ok(group) = codec::decode_master_pass_group(bytes, d) {
        assert_eq!(codec::decode_master_pass_group(&codec::encode(&group), d).as_ref(), Ok(&group));
    }
    let withdraw = codec::decode_withdraw(bytes, d);
    if let Decoded::Execute { request, reply_to } = &withdraw {
        let written = serde_json::json!({"headers": {"replyTo": reply_to}, "payload": request});
        if reply_to.is_some() {
            assert_eq!(codec::decode_withdraw(&codec::encode_compact(&written), d), withdraw);
        }
    }
    codec::decode_get(bytes, d);
    codec::lacks_reply_address(bytes, d);
    if let Some(topic) = codec::reply_address(bytes) {
        codec::unusable_topic(&topic);
    }
}
