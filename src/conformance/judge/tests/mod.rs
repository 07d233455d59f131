//! The judge in virtual time: each of its branches, and what holds of any record.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod accord;
mod blame;
mod court;
mod demands;
mod evidence;
mod expectations;
mod naive;
mod order;
mod owed;
mod properties;
mod replies;
mod script;
mod silences;
mod unasked;
mod words;
