//! What a description says, in words.

use crate::protocol::api::{Channel, Field, Pattern, Shape};

pub(super) fn sender(channel: &Channel) -> &'static str {
    if channel.is_from_everest { "sent by EVerest" } else { "sent by the client" }
}

pub(super) fn summary(channel: &Channel) -> String {
    format!("{}, {}, {}", channel.address, word_of_pattern(channel.pattern), in_words(&channel.payload))
}

pub(super) fn word_of_pattern(pattern: Pattern) -> &'static str {
    match pattern {
        Pattern::Variable => "variable",
        Pattern::Command => "command",
        Pattern::Request => "request",
        Pattern::LatchedGet => "request for the latest value",
        Pattern::Error => "error",
        Pattern::Heartbeat => "heartbeat",
        Pattern::CommunicationCheck => "communication check",
    }
}

pub(super) fn is_required(field: &Field) -> &'static str {
    if field.required.is_some() { "required" } else { "optional" }
}

pub(super) fn field_in_words(field: &Field) -> String {
    format!("{}, {}", is_required(field), in_words(&field.shape))
}

/// A shape in a sentence.
pub(super) fn in_words(shape: &Shape) -> String {
    match shape {
        Shape::Any => "anything".to_owned(),
        Shape::Null => "null".to_owned(),
        Shape::Boolean => "a boolean".to_owned(),
        Shape::Integer { .. } => "an integer".to_owned(),
        Shape::Number { .. } => "a number".to_owned(),
        Shape::Text { .. } => "a text".to_owned(),
        Shape::Words(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{}`", word.text)).collect();
            words.join(" or ")
        }
        Shape::List { of, .. } => format!("a list of {}", in_words(of)),
        Shape::Object { fields, .. } if fields.is_empty() => "an object".to_owned(),
        Shape::Object { fields, .. } => {
            let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
            format!("an object of {}", names.join(", "))
        }
        Shape::Named(name) => name.clone(),
        Shape::Alternatives { shapes, is_exclusive } => {
            let shapes: Vec<String> = shapes.iter().map(in_words).collect();
            format!("{} {}", if *is_exclusive { "one of" } else { "any of" }, shapes.join(" or "))
        }
        Shape::Varying(variants) => variants.first().map_or_else(String::new, |variant| in_words(&variant.shape)),
        Shape::OrNull(shape) => format!("{} or null", in_words(shape)),
    }
}
