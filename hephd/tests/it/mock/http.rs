//! As little of an HTTP server as a stand-in needs: one request a connection.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
};

/// What was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A field of a form.
    pub fn field(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(&self.body);
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

/// Serves until the process ends; gives the port. What the handler does not
/// answer is cut.
pub fn serve(handle: impl Fn(Asked, &mut TcpStream) + Send + Sync + 'static) -> u16 {
    serve_at(TcpListener::bind("127.0.0.1:0").unwrap(), handle)
}

/// The same at another address.
pub fn serve_at(
    listener: TcpListener,
    handle: impl Fn(Asked, &mut TcpStream) + Send + Sync + 'static,
) -> u16 {
    let port = listener.local_addr().unwrap().port();
    let handle = Arc::new(handle);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handle = Arc::clone(&handle);
            std::thread::spawn(move || {
                let mut stream = stream;
                if let Some(asked) = read(&stream) {
                    handle(asked, &mut stream);
                }
            });
        }
    });
    port
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut read = BufReader::new(stream);
    let mut first = String::new();
    read.read_line(&mut first).ok()?;
    let mut words = first.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        read.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
    read.read_exact(&mut body).ok()?;
    Some(Asked { method, path, headers, body })
}

/// A whole answer.
pub fn answer(stream: &mut TcpStream, status: u16, more: &str, body: &str) {
    let head = format!(
        "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nConnection: close\r\n\
         {more}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}
