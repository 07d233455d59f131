//! `GET /state`: the chargers as they are now, for the page.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use super::answers;
use super::chargers::ChargerConfig;
use super::error::{ApiError, json};
use super::fleet::Charger;
use super::routes::{Asked, Page, Shared, parameter};
use crate::protocol::types::AuthorizationStatus;
use crate::station::charge_point::{Answer, Overview, Request};

/// A page of chargers as they are now.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatePage {
    /// The chargers.
    data: Vec<ChargerState>,
    /// How many there are in all.
    total: usize,
    /// The number of the page, from 1.
    page: i64,
    /// How many a page has at most.
    limit: i64,
}

/// A charger as it is now.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ChargerState {
    /// As it was described.
    charger: answers::Charger,
    /// The tokens of its station.
    tokens: Vec<TokenState>,
    /// Its charge point; absent if its EVerest does not run any more.
    charge_point: Option<Overview>,
    /// Why its EVerest does not run any more.
    ended: Option<String>,
}

/// A token of a station, as it was described.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TokenState {
    /// Its name.
    name: String,
    /// What is on it.
    id_tag: String,
    /// What the CSMS inside says of it.
    #[schemars(with = "String")]
    verdict: AuthorizationStatus,
}

/// Answers with a page of chargers.
pub async fn show(State(gateway): Shared, Asked { caller, query }: Asked) -> Result<Response, ApiError> {
    let search = parameter(&query, "search").unwrap_or_default();
    let Page { chargers, total, page, limit } = gateway.page(&caller, &query, |id, config| has(search, id, config))?;
    // All are asked before one is waited for.
    let asked: Vec<_> = chargers.into_iter().map(|(id, charger)| (id, charger, charger.ask(Request::Look))).collect();
    let mut data = Vec::with_capacity(asked.len());
    for (id, charger, answer) in asked {
        let (charge_point, ended) = match answer.await {
            Ok(Answer::Seen(overview)) => (Some(*overview), None),
            Ok(_) => (None, None),
            Err(why) => (None, Some(why)),
        };
        data.push(ChargerState {
            charger: gateway.describe(id, charger),
            tokens: tokens(charger),
            charge_point,
            ended,
        });
    }
    Ok(json(StatusCode::OK, &StatePage { data, total, page, limit }))
}

/// Whether a charger has this text in what it is called or in where it is, in letters of whatever case.
fn has(text: &str, id: &str, config: &ChargerConfig) -> bool {
    let texts = [Some(id), Some(config.identity(id)), config.name.as_deref(), config.location.as_deref()];
    let text = text.to_lowercase();
    texts.into_iter().flatten().any(|it| it.to_lowercase().contains(&text))
}

fn tokens(charger: &Charger) -> Vec<TokenState> {
    let tokens = charger.config.station.tokens.iter();
    let shown = tokens.map(|(name, token)| TokenState {
        name: name.clone(),
        id_tag: token.value.clone(),
        verdict: token.verdict,
    });
    shown.collect()
}
