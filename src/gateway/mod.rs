//! Commands over HTTP that drive simulated chargers, as the OCPPLAB Gateway API has them: the same paths, bodies, status
//! codes and errors.
//!
//! Each charger is an EVerest of its own on one broker ([`crate::sim::everest`]) with a charge point in it; this module
//! asks the charge point what a command says, and tells what came of it. It decides nothing about tokens or sessions.
//! It prints nothing, reads no files, and shows bearer tokens to nobody.
//!
//! | file | has |
//! | --- | --- |
//! | `chargers`, `tokens` | the two files that describe a gateway |
//! | `commands`, `events`, `answers` | the table of commands, what they take, what they answer |
//! | `body`, `error` | reading bodies, and the shape of every error |
//! | `routes` | what is done for a request |
//! | `fleet` | the chargers while they run |
//! | `log` | what chargers and CSMS said |
//! | `feed`, `owners`, `conversation`, `stream` | what passes, to which charger it belongs, what it is in the conversation, and how it is shown live |
//! | `state`, `schemas`, `page` | the chargers as they are now, the shapes of messages, and the page for people |
//! | `openapi`, `docs` | the description of it all, for programs and for people |
//! | `paths` | which path is meant by one that is nearly it |
//! | `server` | connections, limits, timeouts |

mod actions;
mod answers;
mod body;
pub mod chargers;
pub mod commands;
mod conversation;
mod docs;
mod error;
mod events;
mod feed;
mod fleet;
mod log;
mod openapi;
mod owners;
mod page;
mod paths;
mod routes;
mod schemas;
mod server;
mod state;
mod stream;
pub mod tokens;

pub use chargers::Chargers;
pub use feed::Feed;
pub use fleet::Fleet;
pub use openapi::answer_schema;
pub use server::Server;
pub use tokens::Tokens;
