//! Scenario files: text to model, patterns, schema.
//!
//! Pure: text comes in, a [`Scenario`] or diagnostics go out. Reading files is the business of [`crate::cli`].

mod expect_reply;
pub mod model;
