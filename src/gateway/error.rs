//! Every error a client sees: a status and `{"detail": …}`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::body::Fault;

/// Why a request was not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The token is missing or wrong; it never says which, nor what was sent.
    #[error("missing or wrong bearer token")]
    Unauthorized,
    /// The token is good, but not for this.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The charger does not do it, and why.
    #[error("{0}")]
    Refused(String),
    /// There is such a path, but only with this method.
    #[error("Method Not Allowed: this path takes {0}")]
    MethodNotAllowed(&'static str),
    /// The client took too long.
    #[error("the request took longer than {0} s")]
    TooSlow(u64),
    /// Too many do this at a time.
    #[error("{0}")]
    TooMany(String),
    /// The body is larger than this many bytes.
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    /// The request makes no sense.
    #[error("the request makes no sense")]
    Invalid(Fault),
    /// The fault is ours.
    #[error("Internal Server Error")]
    Internal,
}

/// The body of an error.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TextError {
    /// What is wrong.
    detail: String,
}

/// The body of a 422.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ValidationError {
    /// What is wrong, and where.
    detail: Vec<Fault>,
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        ApiError::Invalid(fault)
    }
}

impl ApiError {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            ApiError::Unauthorized => StatusCode::UNAUTHORIZED,
            ApiError::Forbidden(_) => StatusCode::FORBIDDEN,
            ApiError::NotFound(_) => StatusCode::NOT_FOUND,
            ApiError::Refused(_) => StatusCode::CONFLICT,
            ApiError::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            ApiError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            ApiError::TooMany(_) => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ApiError::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let is_unauthorized = self == ApiError::Unauthorized;
        let mut response = match self {
            ApiError::Invalid(fault) => json(status, &ValidationError { detail: vec![fault] }),
            error => json(status, &TextError { detail: error.to_string() }),
        };
        if is_unauthorized {
            // RFC 9110, 11.6.1.
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// An answer as JSON.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(text) => {
            let headers = [(header::CONTENT_TYPE, "application/json"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
            (status, headers, text).into_response()
        }
        // The types of answers are plain data; this is here because the type of `to_vec` says so.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
