//! A description as the specification of one release has it: without what holds in others, and with the types of other
//! APIs among its own.

use crate::protocol::api::{Api, Channel, Field, Reply, Shape, When, Word};
use crate::protocol::release::Release;

/// The API as a release specifies it.
pub(super) fn specified(api: &Api, release: Release) -> Api {
    let mut view = View { release, types: Vec::new() };
    let of = |channel: &&Channel| channel.when.is_specified(release);
    let channels = api.channels.iter().filter(of).map(|channel| view.channel(api, channel)).collect();
    let types = view.types.into_iter().map(|(_, _, name, shape)| (name, shape)).collect();
    Api { channels, types, ..api.clone() }
}

struct View {
    release: Release,
    /// The API of each type, its name there, its name here, and what it is.
    types: Vec<(String, String, String, Shape)>,
}

impl View {
    fn channel(&mut self, api: &Api, channel: &Channel) -> Channel {
        let payload = self.shape(api, &channel.payload);
        let reply =
            channel.reply.as_ref().map(|reply| Reply { payload: self.shape(api, &reply.payload), ..reply.clone() });
        Channel { payload, reply, when: When::ALWAYS, ..channel.clone() }
    }

    fn shape(&mut self, api: &Api, shape: &Shape) -> Shape {
        match shape {
            Shape::Words(words) => {
                let of = |word: &&Word| word.when.is_specified(self.release);
                let word = |word: &Word| Word { when: When::ALWAYS, ..word.clone() };
                Shape::Words(words.iter().filter(of).map(word).collect())
            }
            Shape::List { of, shortest, longest } => {
                Shape::List { of: Box::new(self.shape(api, of)), shortest: *shortest, longest: *longest }
            }
            Shape::Object { fields, is_closed } => {
                let release = self.release;
                let of = |field: &&Field| field.when.is_specified(release);
                let fields = fields.iter().filter(of).map(|field| self.field(api, field)).collect();
                Shape::Object { fields, is_closed: *is_closed }
            }
            Shape::OrNull(shape) => Shape::OrNull(Box::new(self.shape(api, shape))),
            Shape::Alternatives { shapes, is_exclusive } => Shape::Alternatives {
                shapes: shapes.iter().map(|shape| self.shape(api, shape)).collect(),
                is_exclusive: *is_exclusive,
            },
            Shape::Varying(variants) => variants
                .iter()
                .find(|variant| variant.when.is_specified(self.release))
                .map_or(Shape::Any, |variant| self.shape(api, &variant.shape)),
            Shape::Named(name) => self.named(api, name),
            other => other.clone(),
        }
    }

    fn field(&mut self, api: &Api, field: &Field) -> Field {
        Field {
            name: field.name.clone(),
            required: field.required.filter(|when| when.is_specified(self.release)).map(|_| When::ALWAYS),
            shape: self.shape(api, &field.shape),
            when: When::ALWAYS,
        }
    }

    fn named(&mut self, api: &Api, name: &str) -> Shape {
        let Some((owner, bare, shape)) = api.resolve(name) else { return Shape::Any };
        let known = self.types.iter().find(|(api, known, ..)| *api == owner.name && known == bare);
        if let Some((_, _, here, _)) = known {
            return Shape::Named(here.clone());
        }
        let is_taken = self.types.iter().any(|(_, _, here, _)| here == bare);
        let here = if is_taken { format!("{}_{bare}", owner.name) } else { bare.to_owned() };
        // It may name itself.
        let index = self.types.len();
        self.types.push((owner.name.clone(), bare.to_owned(), here.clone(), Shape::Any));
        self.types[index].3 = self.shape(owner, shape);
        Shape::Named(here)
    }
}
