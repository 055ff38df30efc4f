//! Snapshots as streams: nothing that was cut or changed on its way is taken.

use std::io::Write;

use hephd::store::{
    seed::{Sought, look_for},
    snapshot::stream::{Incoming, STDIN, Sending, send},
};

use super::*;

fn sent(db: &Path) -> Vec<u8> {
    let mut stream = Vec::new();
    let sent = send(db, &Machine::this(), &mut stream, &|_| ()).unwrap();
    assert_eq!(sent, Sending::Whole);
    stream
}

fn received(name: &str, stream: &[u8], to: &Path) -> Result<Receipt, Error> {
    let incoming = Incoming::open(name, stream)?;
    seed::seed(Source::Stream(incoming), &wish(to), &Machine::this(), &|_| ())
}

#[test]
fn what_is_sent_arrives_and_is_proved_by_the_senders_own_reading() {
    let lab = Lab::with_store();
    let (before, listing) = (files_of(&lab.source()), files_below(&lab.dir.path().join("laptop")));
    let stream = sent(&lab.source());
    assert_eq!(before, files_of(&lab.source()));
    assert_eq!(listing, files_below(&lab.dir.path().join("laptop")), "no spool is left");
    let receipt = received(STDIN, &stream, &lab.target()).unwrap();
    assert_eq!(dump(&lab.source()), dump(&lab.target()));
    assert!(receipt.tables.iter().all(|table| table.equal || table.proof.name == "meta"));
    assert_eq!((mode(&lab.target()), receipt.source.as_str()), (0o600, "-"));
    lab.assert_tidy();
}

#[test]
fn a_device_that_was_seeded_from_is_known_by_its_first_line() {
    let lab = Lab::with_store();
    let stream = sent(&lab.source());
    received(STDIN, &stream, &lab.target()).unwrap();
    let end = stream.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0;
    let first_lines = Incoming::open(STDIN, &stream[..=end]).unwrap();
    let sought = Sought::Sender(first_lines.header());
    let target = lab.target();
    assert!(matches!(look_for(&sought, &wish(&target)).unwrap(), Look::AlreadySeeded(_)));
    // Whichever way it came before.
    let lab = Lab::with_store();
    lab.seed().unwrap();
    let target = lab.target();
    assert!(matches!(look_for(&sought, &wish(&target)).unwrap(), Look::AlreadySeeded(_)));
}

#[test]
fn a_stream_that_is_cut_anywhere_makes_nothing() {
    let lab = Lab::with_store();
    let stream = sent(&lab.source());
    let steps = (0..stream.len()).step_by(stream.len() / 60);
    for cut in steps.chain([1, 15, 16, 17, stream.len() - 1]) {
        let error = received(STDIN, &stream[..cut], &lab.target()).unwrap_err();
        assert_eq!((error.code, error.exit_code()), (Code::ChecksumMismatch, 4), "{cut}: {error}");
        lab.assert_tidy();
        lab.assert_no_target();
    }
}

#[test]
fn a_stream_with_one_wrong_byte_makes_nothing() {
    let lab = Lab::with_store();
    let stream = sent(&lab.source());
    for n in 0..200 {
        let at = n * stream.len() / 200;
        let mut wrong = stream.clone();
        wrong[at] ^= 1 << (n % 8);
        if let Ok(receipt) = received(STDIN, &wrong, &lab.target()) {
            // A name in its first lines, which nothing is proved by.
            assert!(at < 200, "byte {at} was taken: {receipt:?}");
            assert_eq!(dump(&lab.source()), dump(&lab.target()));
            fs::remove_dir_all(lab.dir.path().join("server")).unwrap();
        }
        lab.assert_tidy();
        lab.assert_no_target();
    }
}

#[test]
fn what_follows_the_end_is_refused() {
    let lab = Lab::with_store();
    let mut stream = sent(&lab.source());
    stream.extend(b"Connection to laptop closed.\n");
    let error = received(STDIN, &stream, &lab.target()).unwrap_err();
    assert!(error.message.contains("something follows"), "{error}");
    lab.assert_no_target();
}

/// The digest shows that the bytes came, not that they were a whole store.
#[test]
fn what_its_sender_has_not_proved_is_taken_only_where_that_is_allowed() {
    let lab = Lab::with_store();
    let mut stream = sent(&lab.source());
    let start = stream.windows(9).rposition(|at| at == b"{\"sha256\"").unwrap();
    let mut trailer: serde_json::Value = serde_json::from_slice(&stream[start..]).unwrap();
    assert!(trailer["proof"].is_object(), "{trailer}");
    trailer["proof"] = serde_json::Value::Null;
    stream.truncate(start);
    stream.extend(format!("{trailer}\n").bytes());
    let error = received(STDIN, &stream, &lab.target()).unwrap_err();
    assert!(error.message.contains("without a proof"), "{error}");
    lab.assert_no_target();
    let incoming = Incoming::open("ssh://laptop/heph.db", &stream[..]).unwrap().by_digest();
    let machine = Machine::this();
    seed::seed(Source::Stream(incoming), &wish(&lab.target()), &machine, &|_| ()).unwrap();
    assert_eq!(dump(&lab.source()), dump(&lab.target()));
}

/// A hub's store is sent like any other, and no seed takes it.
#[test]
fn a_hubs_snapshot_is_no_seed() {
    let lab = Lab::with_store();
    let conn = Connection::open(lab.source()).unwrap();
    conn.execute("INSERT INTO meta VALUES ('role', 'hub')", []).unwrap();
    drop(conn);
    let error = received(STDIN, &sent(&lab.source()), &lab.target()).unwrap_err();
    assert_eq!(error.code, Code::SourceIsHub);
    lab.assert_no_target();
}

/// Whoever has it already stops to read.
#[test]
fn a_reader_that_has_enough_is_no_failure() {
    struct Enough(usize);
    impl Write for Enough {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lab = Lab::with_store();
    for bytes in [0, 20, 200, 5000] {
        let ended = send(&lab.source(), &Machine::this(), &mut Enough(bytes), &|_| ()).unwrap();
        assert_eq!(ended, Sending::Unread, "after {bytes} bytes");
    }
    let left = files_below(&lab.dir.path().join("laptop"));
    assert!(!left.iter().any(|path| path.contains(".spool-")), "{left:?}");
}
