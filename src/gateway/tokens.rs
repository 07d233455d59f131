//! Bearer tokens: who may act on what. They are compared in constant time, and shown to nobody.

use std::collections::BTreeSet;
use std::fmt;

use axum::http::{HeaderMap, header};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::chargers::ChargerConfig;
use super::error::ApiError;
use crate::diagnostic::{Diagnostic, Severity};
use crate::scenario;

/// Every token there is.
#[derive(Debug, Clone)]
pub struct Tokens {
    grants: Vec<Grant>,
}

/// The bearer tokens of a gateway.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct File {
    /// Each of them.
    tokens: Vec<Grant>,
}

/// A token and what it is good for.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// What a request has in its header `Authorization`, behind `Bearer`; at least 16 characters.
    token: Secret,
    /// The tenant whose chargers it may act on; absent means every tenant.
    organization: Option<String>,
    /// The chargers it may act on; absent means all of the tenant.
    chargers: Option<BTreeSet<String>>,
}

/// A text that nobody is to see.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Who makes a request, and for which tenant.
#[derive(Debug, Clone)]
pub struct Caller {
    grant: Grant,
    /// What the request says in its header `X-Organization-Id`.
    organization: Option<String>,
}

/// The header in which a request names its tenant.
pub const ORGANIZATION_HEADER: &str = "x-organization-id";
/// The fewest characters of a token.
const SHORTEST: usize = 16;
/// The most tokens: each request is compared with all.
const MOST: usize = 1000;

/// The JSON Schema of the file.
pub fn schema() -> Value {
    scenario::schema_of::<File>()
}

impl Tokens {
    /// One new token of 256 random bits that is good for everything, and its text, which is told once.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn generate() -> Result<(Self, String), getrandom::Error> {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes)?;
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let grant = Grant { token: Secret(text.clone()), organization: None, chargers: None };
        Ok((Self { grants: vec![grant] }, text))
    }

    /// Reads a file of tokens.
    ///
    /// # Errors
    /// What is wrong with it, and where; never with a line of the file, which would show a token.
    pub fn parse(path: &str, text: &str, is_charger: impl Fn(&str) -> bool) -> Result<Self, Vec<Diagnostic>> {
        let bad = |headline: String| Diagnostic::new(Severity::Error, "config/bad-tokens", headline);
        let file: File = scenario::parse_as(path, text).map_err(|errors| {
            let places = errors.into_iter().map(|error| match error.place {
                Some(place) => bad(format!("file `{path}` is wrong in line {}", place.line())),
                None => bad(format!("file `{path}` is no file of tokens")),
            });
            let help = "write it like this: tokens: [{token: \"…\", organization: acme, chargers: [dep-1]}]";
            places.map(|error| error.with_help(help)).collect::<Vec<_>>()
        })?;
        let mut errors = Vec::new();
        if file.tokens.is_empty() || file.tokens.len() > MOST {
            errors.push(bad(format!("file `{path}` has {} tokens, not 1 to {MOST}", file.tokens.len())));
        }
        for (number, grant) in (1..).zip(&file.tokens) {
            let text = &grant.token.0;
            if text.len() < SHORTEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                let what = format!("token {number} of file `{path}` has not at least {SHORTEST} visible characters");
                errors.push(bad(what).with_help("openssl rand -hex 32"));
            }
            let earlier = &file.tokens[..number - 1];
            if earlier.iter().any(|other| other.token.0 == *text) {
                errors.push(bad(format!("token {number} of file `{path}` is there twice")));
            }
            for unknown in grant.chargers.iter().flatten().filter(|id| !is_charger(id)) {
                errors.push(bad(format!(
                    "token {number} of file `{path}` is for charger `{unknown}`, which is not there"
                )));
            }
        }
        if errors.is_empty() { Ok(Self { grants: file.tokens }) } else { Err(errors) }
    }

    /// Who makes a request with these headers.
    ///
    /// # Errors
    /// 401 without a good token; 403 if it is not good for the tenant that the request names.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        let sent = sent.ok_or(ApiError::Unauthorized)?;
        // All are compared, so that the time tells nothing but lengths.
        let found = self.grants.iter().fold(None, |found, grant| {
            if bool::from(grant.token.0.as_bytes().ct_eq(sent)) { Some(grant) } else { found }
        });
        let grant = found.ok_or(ApiError::Unauthorized)?.clone();
        let organization = headers.get(ORGANIZATION_HEADER).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let caller = Caller { grant, organization: organization.map(|name| name.into_owned()) };
        match (&caller.grant.organization, &caller.organization) {
            (Some(own), Some(named)) if own != named => {
                Err(ApiError::Forbidden("the token is not good for this organization".to_owned()))
            }
            _ => Ok(caller),
        }
    }
}

impl Caller {
    /// The same, whichever tenant the request names.
    pub fn of_any_organization(self) -> Self {
        Self { organization: None, ..self }
    }

    /// Whether it may act on every charger, also on none in particular.
    pub fn may_all(&self) -> bool {
        [&self.grant.organization, &self.organization].iter().all(|name| name.is_none())
            && self.grant.chargers.is_none()
    }

    /// Whether it may act on a charger.
    pub fn may(&self, id: &str, charger: &ChargerConfig) -> bool {
        let organizations = [&self.grant.organization, &self.organization];
        organizations.into_iter().flatten().all(|name| charger.organization.as_ref() == Some(name))
            && self.grant.chargers.as_ref().is_none_or(|chargers| chargers.contains(id))
    }
}

/// The token of a header `Authorization`; the scheme may be in any case (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(b"Bearer ".len())?;
    let token = rest.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FILE: &str = "\
tokens:
  - {token: \"0123456789abcdef-everything\"}
  - {token: \"0123456789abcdef-of-acme\", organization: acme}
  - {token: \"0123456789abcdef-for-one\", organization: acme, chargers: [dep-1]}
";

    fn headers(values: &[(&'static str, &str)]) -> HeaderMap {
        values.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn charger(organization: Option<&str>) -> ChargerConfig {
        let organization = organization.map(str::to_owned);
        ChargerConfig { organization, ..ChargerConfig::default() }
    }

    #[test]
    fn a_token_is_good_for_what_it_says() {
        let tokens = Tokens::parse("t.yaml", FILE, |_| true).unwrap();
        let may = |token: &str, organization: Option<&str>, id: &str, of: Option<&str>| {
            let mut sent = headers(&[("authorization", &format!("bearer 0123456789abcdef-{token}"))]);
            if let Some(organization) = organization {
                sent.insert(ORGANIZATION_HEADER, organization.parse().unwrap());
            }
            tokens.caller(&sent).map(|caller| caller.may(id, &charger(of))).map_err(|error| error.status().as_u16())
        };
        assert_eq!(may("everything", None, "dep-9", None), Ok(true));
        assert_eq!(may("everything", Some("acme"), "dep-9", Some("acme")), Ok(true));
        assert_eq!(may("everything", Some("acme"), "dep-9", None), Ok(false));
        assert_eq!(may("of-acme", None, "dep-9", Some("acme")), Ok(true));
        assert_eq!(may("of-acme", None, "dep-9", Some("other")), Ok(false));
        assert_eq!(may("of-acme", Some("other"), "dep-9", Some("acme")), Err(403));
        assert_eq!(may("for-one", None, "dep-1", Some("acme")), Ok(true));
        assert_eq!(may("for-one", None, "dep-2", Some("acme")), Ok(false));
        assert_eq!(may("for-none", None, "dep-1", None), Err(401));
    }

    #[test]
    fn what_is_no_token_is_none() {
        let (tokens, text) = Tokens::generate().unwrap();
        assert_eq!(text.len(), 64);
        assert_ne!(text, Tokens::generate().unwrap().1);
        assert!(tokens.caller(&headers(&[("authorization", &format!("BEARER  {text} "))])).is_ok());
        for value in ["", "Bearer", "Bearer ", &text, &format!("Basic {text}"), &format!("Bearer {text}0")] {
            let error = tokens.caller(&headers(&[("authorization", value)])).unwrap_err();
            assert_eq!(error, ApiError::Unauthorized, "{value}");
        }
        assert!(tokens.caller(&HeaderMap::new()).is_err());
        assert!(!format!("{tokens:?}").contains(&text));
    }

    #[test]
    fn a_bad_file_is_refused_and_shows_no_token() {
        const SECRET: &str = "0123456789abcdef-secret";
        for (text, said) in [
            (format!("tokens: [{{token: \"{SECRET}\", for: x}}]"), "line 1"),
            (format!("tokens:\n  - {SECRET}\n"), "line 2"),
            (format!("tokens:\n  - {SECRET}: x\n"), "line 2"),
            (format!("{SECRET}: [\n"), "is wrong in line"),
            (format!("tokens: [{{token: \"{SECRET}\"}}, {{token: \"{SECRET}\"}}]"), "token 2"),
            (format!("tokens: [{{token: \"{SECRET} \"}}]"), "visible characters"),
            ("tokens: [{token: short}]".to_owned(), "visible characters"),
            (format!("tokens: [{{token: \"{SECRET}\", chargers: [dep-9]}}]"), "`dep-9`"),
            ("tokens: []".to_owned(), "0 tokens"),
            (String::new(), "is wrong in line 1"),
        ] {
            let errors = Tokens::parse("t.yaml", &text, |id| id == "dep-1").unwrap_err();
            let shown: String = errors.iter().map(|error| error.render(crate::diagnostic::Style::Plain)).collect();
            assert!(shown.contains(said) && !shown.contains(SECRET), "{text}: {shown}");
            assert!(errors.iter().all(|error| error.id == "config/bad-tokens"));
        }
    }
}
