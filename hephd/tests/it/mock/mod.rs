//! Stand-ins that a test can order about, over real HTTP: [`provider`], an
//! OpenID provider that says what it is told to; [`gate`], a real hub behind a
//! door that asks for that provider's tokens.

#![allow(dead_code, reason = "two test programs use it, each a part of it")]

pub mod gate;
pub mod http;
pub mod provider;
