//! An issuer in this process, over real HTTP: it signs whatever a test wants
//! signed, and its answers can be made to go wrong. Real providers do neither.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hephd::config::Rules;
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
        RsaPublicKeyComponents,
    },
};
use serde_json::{Value, json};

/// Whom its tokens are for.
pub const AUDIENCE: &str = "heph";

/// What it answers when asked for its keys, or for its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// Nobody is there: the connection is closed at once.
    Down,
    /// The connection stays open and nothing comes.
    Silent,
    /// This body, with this status.
    Says(u16, String),
}

/// How a key signs.
pub enum Key {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl Key {
    /// A key of 2048 bits, or of as many as are asked for.
    pub fn rsa(bits: u32) -> Self {
        let made = Command::new("openssl")
            .args(["genpkey", "-quiet", "-algorithm", "RSA", "-outform", "DER"])
            .args(["-pkeyopt", &format!("rsa_keygen_bits:{bits}")])
            .output()
            .expect("openssl is installed");
        let der = made.stdout;
        let key = RsaKeyPair::from_pkcs8(&der).or_else(|_| RsaKeyPair::from_der(&der));
        Self::Rsa(key.expect("a key of openssl's"))
    }

    pub fn ec() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let pkcs8 = pkcs8.unwrap();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random);
        Self::Ec(key.unwrap())
    }

    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
        }
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signed = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signed).unwrap();
                signed
            }
            Self::Ec(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
        }
    }

    /// As a set of keys lists it.
    pub fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Rsa(key) => {
                let RsaPublicKeyComponents { n, e } = key.public().into();
                let (n, e): (Vec<u8>, Vec<u8>) = (n, e);
                json!({ "kty": "RSA", "kid": id, "use": "sig", "alg": "RS256",
                    "n": b64(&n), "e": b64(&e) })
            }
            Self::Ec(key) => {
                let point = key.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "alg": "ES256",
                    "x": b64(&point[1..33]), "y": b64(&point[33..65]) })
            }
        }
    }
}

pub fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What is signed of a token.
pub fn text_of(header: &Value, claims: &Value) -> String {
    let [header, claims] = [header, claims].map(|part| b64(part.to_string().as_bytes()));
    format!("{header}.{claims}")
}

/// A token of any header and claims, signed by anybody.
pub fn sign(header: &Value, claims: &Value, key: &Key) -> String {
    let text = text_of(header, claims);
    let signed = key.sign(text.as_bytes());
    format!("{text}.{}", b64(&signed))
}

struct State {
    document: Mood,
    keys: Mood,
    jwks: Vec<Value>,
    /// Times that the keys were asked for.
    asked: usize,
    /// Times that the document was.
    discovered: usize,
}

/// It listens until the process ends.
#[derive(Clone)]
pub struct Mint {
    pub issuer: String,
    state: Arc<Mutex<State>>,
    held: Arc<Mutex<()>>,
    key: Arc<Key>,
}

impl Mint {
    /// With one key, `first`.
    pub fn new(key: Key) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let jwks = vec![key.jwk("first")];
        let state = State { document: Mood::Well, keys: Mood::Well, jwks, asked: 0, discovered: 0 };
        let mint = Self {
            issuer,
            state: Arc::new(Mutex::new(state)),
            held: Arc::default(),
            key: Arc::new(key),
        };
        let served = mint.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mint = served.clone();
                std::thread::spawn(move || mint.answer(stream));
            }
        });
        mint
    }

    pub fn rules(&self) -> Rules {
        Rules { issuer: self.issuer.clone(), audience: AUDIENCE.to_owned() }
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    /// How it answers for its document, and for its keys.
    pub fn is(&self, document: Mood, keys: Mood) {
        let mut state = self.state.lock().unwrap();
        (state.document, state.keys) = (document, keys);
    }

    pub fn lists(&self, jwks: Vec<Value>) {
        self.state.lock().unwrap().jwks = jwks;
    }

    pub fn times_asked(&self) -> usize {
        self.state.lock().unwrap().asked
    }

    pub fn times_discovered(&self) -> usize {
        self.state.lock().unwrap().discovered
    }

    /// Its answers are held back until this goes.
    pub fn hold(&self) -> MutexGuard<'_, ()> {
        self.held.lock().unwrap()
    }

    /// What an access token of its says.
    pub fn claims(&self, sub: &str) -> Value {
        let now = hephd::clock::Clock::System.now_ms() / 1000;
        json!({ "iss": self.issuer, "aud": AUDIENCE, "sub": sub, "exp": now + 300, "iat": now,
            "scope": "openid offline_access" })
    }

    pub fn header(&self) -> Value {
        json!({ "alg": self.key.algorithm(), "kid": "first", "typ": "at+jwt" })
    }

    /// An access token of somebody's.
    pub fn token(&self, sub: &str) -> String {
        sign(&self.header(), &self.claims(sub), &self.key)
    }

    fn answer(&self, mut stream: TcpStream) {
        let Some(path) = path_of(&mut stream) else { return };
        let of_keys = path == "/keys";
        let (mood, jwks) = {
            let mut state = self.state.lock().unwrap();
            state.asked += usize::from(of_keys);
            state.discovered += usize::from(!of_keys);
            let mood = if of_keys { &state.keys } else { &state.document };
            (mood.clone(), state.jwks.clone())
        };
        drop(self.held.lock());
        let (status, body) = match mood {
            Mood::Down => return,
            Mood::Silent => {
                // Until the other side has enough.
                let _ = stream.read(&mut [0; 64]);
                return;
            }
            Mood::Says(status, body) => (status, body),
            Mood::Well if of_keys => (200, json!({ "keys": jwks }).to_string()),
            Mood::Well => (200, self.document()),
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    }

    pub fn document(&self) -> String {
        let issuer = &self.issuer;
        json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/keys"),
            "token_endpoint": format!("{issuer}/token") })
        .to_string()
    }
}

fn path_of(stream: &mut TcpStream) -> Option<String> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&head).split(' ').nth(1)?.to_owned())
}
