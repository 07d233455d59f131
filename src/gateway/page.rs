//! `GET /`: a page for people. It holds no secret; whoever uses it brings the token along.
//!
//! What browsers might be talked into is ruled out here: foreign scripts and inline ones, frames, other origins, and,
//! where only this machine is meant, foreign names for it (DNS rebinding). Commands need no such check: no browser sends a
//! bearer token by itself.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::error::ApiError;
use super::routes::Gateway;
use super::{schemas, state, stream};

const HTML: &str = include_str!("page/page.html");
/// The scripts and styles, by their paths.
const FILES: [(&str, &str); 9] = [
    ("/page.js", include_str!("page/page.js")),
    ("/chargers.js", include_str!("page/chargers.js")),
    ("/commands.js", include_str!("page/commands.js")),
    ("/diagram.js", include_str!("page/diagram.js")),
    ("/elements.js", include_str!("page/elements.js")),
    ("/gateway.js", include_str!("page/gateway.js")),
    ("/plot.js", include_str!("page/plot.js")),
    ("/page.css", include_str!("page/page.css")),
    ("/docs.css", include_str!("page/docs.css")),
];
/// Nothing but what is served here, and no text becomes HTML or a script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// The page, what it reads, and the description `docs`; for names of this machine only, if the gateway `is_local`.
pub fn router(is_local: bool, docs: String) -> Router<Arc<Gateway>> {
    let docs = Bytes::from(docs);
    let mut router = Router::new();
    for (path, text) in FILES {
        let kind = if path.ends_with(".js") { "text/javascript; charset=utf-8" } else { "text/css; charset=utf-8" };
        router = router.route(path, get(async move || file(kind, text)));
    }
    router
        .route("/", get(async || file("text/html; charset=utf-8", HTML)))
        .route("/docs", get(async move || file("text/html; charset=utf-8", docs)))
        .route("/state", get(state::show))
        .route("/events", get(stream::show))
        .route(schemas::PATH, get(schemas::show))
        .layer(middleware::from_fn(move |request, next| protect(request, next, is_local)))
}

fn file(kind: &'static str, text: impl Into<Bytes>) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text.into()).into_response()
}

async fn protect(request: Request, next: Next, is_local: bool) -> Response {
    let mut response = if !is_local || names_this_machine(request.headers()) {
        next.run(request).await
    } else {
        ApiError::Forbidden("the page is for this machine only; open it by its address or as localhost".to_owned())
            .into_response()
    };
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether the host of a request cannot have been made by somebody's name server.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let is_known = |host: &HeaderValue| {
        let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        host.is_some_and(|host| {
            let name = host.host().trim_start_matches('[').trim_end_matches(']');
            name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
        })
    };
    headers.contains_key(header::HOST) && headers.get_all(header::HOST).iter().all(is_known)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_of_others_are_refused() {
        let names = |host: &str| {
            let headers = [(header::HOST, host.parse().unwrap())].into_iter().collect();
            names_this_machine(&headers)
        };
        for host in ["127.0.0.1:80", "[::1]:80", "localhost", "LOCALHOST:80", "192.168.0.1"] {
            assert!(names(host), "{host}");
        }
        for host in ["", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example", "user@", "a b", ":80"] {
            assert!(!names(host), "{host}");
        }
        assert!(!names_this_machine(&HeaderMap::new()));
    }

    #[test]
    fn the_page_is_small() {
        let size = FILES.iter().map(|(_, text)| text.len()).sum::<usize>() + HTML.len();
        assert!(size < 72 * 1024, "{size}");
    }
}
