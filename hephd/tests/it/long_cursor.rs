//! A cursor of more origins than a URL has room for.

use hephd::{
    clock::Entropy,
    cursor::Cursor,
    id::Origin,
    spoke::wire::Wire,
    sync::{Answer, Ask},
};

use crate::served::Served;

fn cursor(origins: u64) -> Cursor {
    let mut cursor = Cursor::default();
    (0..origins).for_each(|n| cursor.advance(&Origin::draw(&Entropy::System), n));
    cursor
}

#[tokio::test]
async fn thousands_of_origins_are_pulled_for_like_a_few() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let hub = Served::plain();
    let url = format!("http://127.0.0.1:{}/", hub.port).parse().unwrap();
    let wire = Wire::new(url, None).unwrap();
    for origins in [0, 10, 5_000, 100_000] {
        let cursor = cursor(origins);
        let text = cursor.encode();
        match wire.carry(&Ask::Pull(cursor), 10).await.map(|carried| carried.answer) {
            Ok(Answer::Page(page)) => assert!(page.cursor == text && !page.more),
            other => panic!("{origins} origins: {other:?}"),
        }
    }
}
