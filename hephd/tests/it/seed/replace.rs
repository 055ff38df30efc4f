//! `--replace`: only a store that the source has all of, and it is kept.

use super::*;

fn replacing(lab: &Lab) -> Result<Receipt, Error> {
    let (from, to) = (lab.source(), lab.target());
    let wish = Wish { replace: true, ..wish(&to) };
    let looked = seed::look(&from, &wish);
    let made = seed::seed(Source::Store(&from), &wish, &Machine::this(), &|_| ());
    assert_eq!(looked.is_ok(), made.is_ok(), "a look tells: {looked:?} {made:?}");
    made
}

fn kept(lab: &Lab) -> Vec<String> {
    let files = files_below(lab.target().parent().unwrap());
    files.into_iter().filter(|path| path.contains(".replaced-")).collect()
}

#[test]
fn what_the_source_has_all_of_is_replaced_and_kept() {
    let lab = Lab::with_store();
    let there = lab.at_target();
    there.execute("DELETE FROM ops WHERE id LIKE '%0001-%'", []).unwrap();
    there.execute("UPDATE nodes SET body = 'as it was' WHERE id = 7", []).unwrap();
    drop(there);
    let before = dump(&lab.target());
    let receipt = replacing(&lab).unwrap();
    assert_eq!(dump(&lab.source()), dump(&lab.target()));
    let kept = kept(&lab);
    assert_eq!(kept.len(), 1);
    assert_eq!(receipt.replaced.as_ref(), kept.first());
    assert_eq!(dump(Path::new(&kept[0])), before);
    assert_eq!(mode(Path::new(&kept[0])) & 0o077 & mode(&lab.target()), 0);
    lab.assert_tidy();
    // And once more there is nothing to do.
    assert!(matches!(look(&lab.source(), &lab.target()).unwrap(), Look::AlreadySeeded(_)));
}

/// Its hub lets in whom it did: whoever wants another says so to the hub.
#[test]
fn a_subject_is_not_changed_by_the_way() {
    let lab = Lab::with_store();
    let there = lab.at_target();
    there.execute("INSERT INTO meta VALUES ('hub_owner_sub', 'alice')", []).unwrap();
    drop(there);
    let (from, to) = (lab.source(), lab.target());
    let with = |sub| {
        let becoming = Becoming::Hub { owner_sub: Some(sub) };
        let wish = Wish { replace: true, becoming, ..wish(&to) };
        let looked = seed::look(&from, &wish).map(drop);
        let made = seed::seed(Source::Store(&from), &wish, &Machine::this(), &|_| ()).map(drop);
        assert_eq!(looked.is_ok(), made.is_ok());
        made
    };
    assert_eq!(with("bob").unwrap_err().code, Code::TargetHasOtherOwner);
    with("alice").unwrap();
}

/// One that was killed before its rename has left a second name of the store, and
/// its own receipt in the place of the store's.
#[test]
fn a_store_that_was_nearly_replaced_gets_its_receipt_back() {
    let lab = Lab::with_store();
    drop(lab.at_target());
    let second = beside(&lab.target(), ".replaced-20260101T000000.000Z");
    let receipt = receipt_path;
    fs::hard_link(lab.target(), &second).unwrap();
    fs::write(receipt(&second), "the store's").unwrap();
    fs::write(receipt(&lab.target()), "its successor's").unwrap();
    // Killed a little earlier: only the receipt has two names.
    let stray = beside(&lab.target(), ".replaced-20260102T000000.000Z");
    fs::write(receipt(&stray), "the store's").unwrap();
    replacing(&lab).unwrap();
    let kept = kept(&lab);
    let stores: Vec<_> = kept.iter().filter(|path| path.ends_with('Z')).collect();
    assert_eq!((stores.len(), kept.len()), (1, 2), "{kept:?}");
    let text = fs::read_to_string(receipt(Path::new(stores[0]))).unwrap();
    assert_eq!(text, "the store's");
}

/// Rows that were only in its log go with it, and not into its successor.
#[test]
fn the_log_of_what_goes_is_folded_into_it() {
    let lab = Lab::with_store();
    fs::create_dir_all(lab.target().parent().unwrap()).unwrap();
    let live = lab.dir.path().join("live.db");
    let conn = foreign_store(&live, "WAL");
    conn.execute("UPDATE nodes SET body = 'in the log' WHERE id = 7", []).unwrap();
    hot::snatch(&live, &lab.target());
    drop(conn);
    replacing(&lab).unwrap();
    assert_eq!(dump(&lab.source()), dump(&lab.target()));
    assert!(!beside(&lab.target(), "-wal").exists());
    let kept = kept(&lab);
    assert!(dump(Path::new(&kept[0])).contains("in the log"));
}

#[test]
fn newer_ops_are_never_replaced() {
    let lab = Lab::with_store();
    let there = lab.at_target();
    add_op(&there, "1700000000002-0000-00000000000000bb");
    drop(there);
    let before = files_of(&lab.target());
    assert_eq!(replacing(&lab).unwrap_err().code, Code::TargetHasNewerData);
    assert_eq!(before, files_of(&lab.target()));
    assert!(kept(&lab).is_empty());
    lab.assert_tidy();
}

#[test]
fn what_nobody_can_compare_is_never_replaced() {
    let lab = Lab::with_store();
    lab.at_target().execute_batch("DROP TABLE ops").unwrap();
    let before = files_of(&lab.target());
    assert_eq!(replacing(&lab).unwrap_err().code, Code::TargetNotEmpty);
    assert_eq!(before, files_of(&lab.target()));
}

#[test]
fn another_owners_store_is_never_replaced() {
    let lab = Lab::with_store();
    let there = lab.at_target();
    there.execute("UPDATE meta SET value = 'ann' WHERE key = 'owner_id'", []).unwrap();
    drop(there);
    assert_eq!(replacing(&lab).unwrap_err().code, Code::TargetHasOtherOwner);
}

#[test]
fn a_store_that_a_daemon_works_on_is_never_replaced() {
    let lab = Lab::with_store();
    drop(lab.at_target());
    let _daemon = hephd::store::file::StoreLock::take(&lab.target()).unwrap();
    assert_eq!(replacing(&lab).unwrap_err().code, Code::StoreInUse);
}

/// Else the hub would be anybody's to claim.
#[test]
fn who_may_act_for_the_owner_stays() {
    let lab = Lab::with_store();
    let there = lab.at_target();
    let claim = r#"hub_subject:["https://id.example","ann"]"#;
    there.execute("INSERT INTO meta VALUES (?1, ?2)", [claim, OWNER]).unwrap();
    drop(there);
    replacing(&lab).unwrap();
    assert_eq!(meta(&lab.target(), claim), OWNER);
    assert_eq!(meta(&lab.source(), claim), "");
}

/// Where nothing stands there, it is a seed like any other.
#[test]
fn there_need_be_nothing_to_replace() {
    let lab = Lab::with_store();
    let receipt = replacing(&lab).unwrap();
    assert_eq!(receipt.replaced, None);
    assert!(kept(&lab).is_empty());
}
