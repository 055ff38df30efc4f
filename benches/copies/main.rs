//! What it costs to copy a store and prove it, beside the same without a proof,
//! or with one that is made by hand. Run by `tests/bench seed`.
//!
//! `seed MB`, `restore MB LITESTREAM`, `writers MB`: each prints a row in
//! Markdown.

#![allow(clippy::disallowed_methods, reason = "a bench runs programs as people do")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "that is how a bench fails")]
#![allow(clippy::panic, clippy::print_stdout, reason = "it prints what it measured")]

mod lab;
mod restore;
mod seed;
mod writers;

fn main() {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["seed", mb] => seed::bench(mb.parse().unwrap()),
        ["restore", mb, litestream] => restore::bench(mb.parse().unwrap(), litestream),
        ["writers", mb] => writers::bench(mb.parse().unwrap()),
        // cargo test builds it, and has nothing to measure.
        _ => println!("see tests/bench"),
    }
}
