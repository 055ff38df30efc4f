//! What becomes of a command at its worst moments. It is killed at each call
//! that changes a disk, each of its calls fails once, the disk is full, the
//! power goes. Whatever the point: the target is as it was or whole, the source
//! is as it was, and the next run succeeds. The numbers are those of the
//! catalogue of cases.
//!
//! A command is swept by way of a [`Subject`]. One more command is one more of
//! these, and a line for each sweep.

#![allow(clippy::print_stderr, reason = "how many points were tried, and how to try them again")]

#[path = "../../../hephd/tests/it/asked.rs"]
pub mod asked;
mod backup;
mod disk;
mod errors;
mod kills;
mod limits;
mod place;
mod power;
mod record;
mod seed;
mod strace;

use std::path::Path;

use self::place::Place;
pub(crate) use super::dice;
use super::sandbox::Sandbox;

/// A command that makes a store.
pub struct Subject {
    /// Makes what every run begins from, once, in this folder.
    pub prepare: fn(&Sandbox, &Path),
    /// What stands behind the program's name; the folder is a copy of that one.
    pub words: fn(&Path) -> Vec<String>,
    /// The store that is only read, in that folder.
    pub source: &'static str,
    /// The folder in it that the target comes to lie in.
    pub target: &'static str,
    /// Which of the two stands there, or what is wrong with it.
    pub look: fn(&Place<'_>) -> Result<Stand, String>,
    /// What the next run may say.
    pub again: fn(Stand) -> &'static [&'static str],
}

/// There is no third.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// The target is as it was, or as absent.
    Old,
    /// It is there, and whole.
    New,
}

#[test]
fn case_15_a_seed_that_is_killed_leaves_nothing_or_all_and_the_next_one_succeeds() {
    kills::sweep(&seed::SEED);
}

#[test]
fn case_16_a_seed_that_meets_an_error_succeeds_or_is_refused_and_nothing_half_exists() {
    errors::sweep(&seed::SEED);
}

#[test]
fn case_16_a_seed_whose_disk_fills_up_is_refused_and_succeeds_once_there_is_room() {
    if limits::inside(
        "case_16_a_seed_whose_disk_fills_up_is_refused_and_succeeds_once_there_is_room",
    ) {
        limits::disk_fills_up(&seed::SEED);
    }
}

#[test]
fn case_17_a_seed_whose_data_may_not_be_on_the_disk_is_refused() {
    errors::sweep_syncs(&seed::SEED);
}

#[test]
fn case_18_a_seed_that_may_not_write_so_much_is_refused() {
    limits::files_stay_short(&seed::SEED);
}

#[test]
fn case_21_a_seed_to_where_nothing_can_be_written_is_refused() {
    if limits::inside("case_21_a_seed_to_where_nothing_can_be_written_is_refused") {
        limits::target_is_read_only(&seed::SEED);
    }
}

#[test]
fn case_42_a_power_cut_leaves_nothing_or_all_of_a_seed_and_the_next_one_succeeds() {
    power::sweep(&seed::SEED);
}

#[test]
fn a_backup_that_is_killed_leaves_nothing_or_all_and_the_next_one_succeeds() {
    kills::sweep(&backup::BACKUP);
}

#[test]
fn a_backup_that_meets_an_error_succeeds_or_is_refused_and_nothing_half_exists() {
    errors::sweep(&backup::BACKUP);
}

#[test]
fn a_power_cut_leaves_nothing_or_all_of_a_backup_and_the_next_one_succeeds() {
    power::sweep(&backup::BACKUP);
}

#[test]
fn a_seed_that_replaces_and_is_killed_leaves_the_old_store_or_the_new_one() {
    kills::sweep(&backup::REPLACE);
}

#[test]
fn a_seed_that_replaces_and_meets_an_error_leaves_the_old_store_or_the_new_one() {
    errors::sweep(&backup::REPLACE);
}

#[test]
fn a_restore_that_is_killed_leaves_nothing_or_all_and_the_next_one_succeeds() {
    kills::sweep(&backup::RESTORE);
}

#[test]
fn a_restore_that_meets_an_error_succeeds_or_is_refused_and_nothing_half_exists() {
    errors::sweep(&backup::RESTORE);
}

#[test]
fn a_power_cut_leaves_nothing_or_all_of_a_restore_and_the_next_one_succeeds() {
    power::sweep(&backup::RESTORE);
}

#[test]
fn a_backup_whose_disk_fills_up_is_refused_and_succeeds_once_there_is_room() {
    if limits::inside("a_backup_whose_disk_fills_up_is_refused_and_succeeds_once_there_is_room") {
        limits::disk_fills_up(&backup::BACKUP);
    }
}

#[test]
fn a_restore_whose_disk_fills_up_is_refused_and_succeeds_once_there_is_room() {
    if limits::inside("a_restore_whose_disk_fills_up_is_refused_and_succeeds_once_there_is_room") {
        limits::disk_fills_up(&backup::RESTORE);
    }
}

#[test]
fn backups_and_restores_whose_data_may_not_be_on_the_disk_are_refused() {
    errors::sweep_syncs(&backup::BACKUP);
    errors::sweep_syncs(&backup::RESTORE);
}

#[test]
fn backups_and_restores_that_may_not_write_so_much_are_refused() {
    limits::files_stay_short(&backup::BACKUP);
    limits::files_stay_short(&backup::RESTORE);
}
