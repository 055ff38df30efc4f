//! An HTTP answer, read as its head frames it: as many bytes as were
//! announced, not one fewer, and none after them on a connection that ends.
//!
//! An answer that does not arrive whole is an error, which a test may expect.
//! One that is framed wrongly is a defect in every test.

use std::io::{BufRead, BufReader, ErrorKind, Read, Result};

/// Status, head in lower case, and body.
pub type Answer = (u16, String, String);

/// Reads one answer to a request whose first lines are given, and not a byte
/// more where the connection stays.
///
/// # Errors
/// What the connection says; `UnexpectedEof` where it ends too early.
///
/// # Panics
/// Where the body has no length, or another one than was announced.
#[track_caller]
pub fn read(stream: impl Read, request: &str) -> Result<Answer> {
    // Byte by byte, so that what follows stays where it is.
    let mut stream = BufReader::with_capacity(1, stream);
    let head = read_head(&mut stream)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("no status");
    let body = match field(&head, "content-length") {
        _ if has_no_body(status, request) => Vec::new(),
        Some(length) => exactly(&mut stream, length.parse().expect("no number"))?,
        None if field(&head, "transfer-encoding") == Some("chunked") => chunks(&mut stream)?,
        None => panic!("a body of no length: {head}"),
    };
    if field(&head, "connection") == Some("close") {
        let mut more = Vec::new();
        // A reset is an end too.
        let _ = stream.read_to_end(&mut more);
        assert!(more.is_empty(), "{} bytes after the answer: {head}", more.len());
    }
    Ok((status, head, String::from_utf8(body).map_err(|_| ErrorKind::InvalidData)?))
}

fn read_head(stream: &mut impl BufRead) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut head)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    head.truncate(head.len() - 4);
    Ok(String::from_utf8_lossy(&head).to_ascii_lowercase())
}

/// The value of a header in a head of lower case.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let values = head.lines().filter_map(|line| line.split_once(": "));
    values.into_iter().find_map(|(key, value)| (key == name).then_some(value))
}

fn has_no_body(status: u16, request: &str) -> bool {
    request.starts_with("HEAD ") || matches!(status, 100..200 | 204 | 304)
}

fn exactly(stream: &mut impl Read, length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn chunks(stream: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let mut size = String::new();
        stream.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16).map_err(|_| ErrorKind::UnexpectedEof)?;
        whole.extend(exactly(stream, size)?);
        exactly(stream, 2)?;
        if size == 0 {
            return Ok(whole);
        }
    }
}

#[test]
fn a_length_that_is_right_is_read() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(read(answer.as_bytes(), "GET / ").unwrap().2, "{}");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    assert_eq!(read(chunked.as_bytes(), "GET / ").unwrap().2, "{}");
}

#[test]
fn a_body_that_is_cut_is_none() {
    for cut in ["Content-Length: 3\r\n\r\n{}", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", ""]
    {
        let answer = format!("HTTP/1.1 200 OK\r\n{cut}");
        let error = read(answer.as_bytes(), "GET / ").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{cut}");
    }
}

#[test]
#[should_panic(expected = "1 bytes after the answer")]
fn a_byte_too_many_is_seen() {
    let answer = "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 1\r\n\r\n{}";
    let _ = read(answer.as_bytes(), "GET / ");
}

#[test]
#[should_panic(expected = "a body of no length")]
fn a_body_without_a_length_is_seen() {
    let _ = read("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}".as_bytes(), "GET / ");
}
