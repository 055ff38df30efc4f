//! An OpenID provider that does as it is told. Every token of its that must
//! not be seen anywhere has the word `canary` in it.

use std::{
    collections::{BTreeSet, VecDeque},
    net::TcpStream,
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::http::{Asked, answer, serve};

/// What to do with the next question at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Say this word of OAuth's.
    Say(&'static str),
    /// Say that it is ill.
    Ill,
    /// Do all that is to be done, and lose the answer.
    Lose,
    /// Hold the answer back until told to go on.
    Hold,
}

#[derive(Debug)]
pub struct Script {
    /// What comes first, in this order; then it does what it should.
    pub next: VecDeque<Then>,
    /// The person has agreed.
    pub agreed: bool,
    /// How long access tokens are good, in seconds.
    pub life: u64,
    /// Between two questions, in seconds.
    pub interval: u64,
    /// How long the code is good.
    pub code_life: u64,
    /// An old refresh token is good once more.
    pub leeway: bool,
    /// Whether refresh tokens are given at all.
    pub refreshing: bool,
    /// Who logs in.
    pub email: String,
    /// Whether held answers may go.
    pub go_on: bool,
    /// What was asked at the token endpoint: the grant, and when.
    pub asked: Vec<(String, Instant)>,
    /// Every token that was taken back.
    pub revoked: Vec<String>,
    /// Access tokens that a hub should take.
    pub good: BTreeSet<String>,
    refresh: BTreeSet<String>,
    given: u64,
}

impl Script {
    /// How often a grant was asked for.
    pub fn count(&self, grant: &str) -> usize {
        self.asked.iter().filter(|(asked, _)| asked == grant).count()
    }

    /// No refresh token is good any more.
    pub fn forget_refresh_tokens(&mut self) {
        self.refresh.clear();
    }
}

#[derive(Clone)]
pub struct Provider {
    pub issuer: String,
    script: Arc<Mutex<Script>>,
}

pub const CLIENT: &str = "heph-devices";

impl Provider {
    pub fn new() -> Self {
        let script = Script {
            next: VecDeque::new(),
            agreed: false,
            life: 3600,
            interval: 1,
            code_life: 600,
            leeway: false,
            refreshing: true,
            email: "ada@example.test".to_owned(),
            go_on: false,
            asked: Vec::new(),
            revoked: Vec::new(),
            good: BTreeSet::new(),
            refresh: BTreeSet::new(),
            given: 0,
        };
        let script = Arc::new(Mutex::new(script));
        let theirs = Arc::clone(&script);
        let port = serve(move |asked, stream| handle(&theirs, &asked, stream));
        Self { issuer: format!("http://127.0.0.1:{port}"), script }
    }

    /// One where the person has agreed already.
    pub fn agreeing() -> Self {
        let provider = Self::new();
        provider.script().agreed = true;
        provider
    }

    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// Tokens for a device that has logged in before the test begins.
    pub fn tokens(&self) -> Value {
        self.script().give()
    }

    pub fn then(&self, next: &[Then]) {
        self.script().next.extend(next);
    }
}

fn handle(script: &Mutex<Script>, asked: &Asked, stream: &mut TcpStream) {
    let here = format!("http://{}", asked.header("host").unwrap());
    match asked.path.as_str() {
        "/.well-known/openid-configuration" => {
            let document = json!({
                "issuer": here,
                "jwks_uri": format!("{here}/keys"),
                "token_endpoint": format!("{here}/token"),
                "device_authorization_endpoint": format!("{here}/device_authorization"),
                "revocation_endpoint": format!("{here}/revoke"),
            });
            answer(stream, 200, "", &document.to_string());
        }
        "/device_authorization" if asked.field("client_id").as_deref() == Some(CLIENT) => {
            let script = script.lock().unwrap();
            let grant = json!({
                "device_code": "canary-device", "user_code": "WDJB-MJHT",
                "verification_uri": format!("{here}/device"),
                "verification_uri_complete": format!("{here}/device?user_code=WDJB-MJHT"),
                "expires_in": script.code_life, "interval": script.interval,
            });
            answer(stream, 200, "", &grant.to_string());
        }
        "/token" => token(script, asked, stream),
        "/revoke" => {
            let (mut script, token) = (script.lock().unwrap(), asked.field("token").unwrap());
            script.good.remove(&token);
            script.refresh.remove(&token);
            script.revoked.push(token);
            answer(stream, 200, "", "");
        }
        _ => refuse(stream, "invalid_client", asked),
    }
}

fn token(script: &Mutex<Script>, asked: &Asked, stream: &mut TcpStream) {
    let grant = asked.field("grant_type").unwrap();
    let then = {
        let mut script = script.lock().unwrap();
        script.asked.push((grant.clone(), Instant::now()));
        script.next.pop_front()
    };
    match then {
        Some(Then::Say(word)) => return refuse(stream, word, asked),
        Some(Then::Ill) => return answer(stream, 503, "", "no"),
        _ => {}
    }
    if then == Some(Then::Hold) {
        while !script.lock().unwrap().go_on {
            std::thread::yield_now();
        }
    }
    let outcome = if grant == "refresh_token" {
        script.lock().unwrap().refresh(&asked.field("refresh_token").unwrap())
    } else {
        script.lock().unwrap().device()
    };
    match outcome {
        _ if then == Some(Then::Lose) => {}
        Ok(tokens) => answer(stream, 200, "", &tokens.to_string()),
        Err(word) => refuse(stream, word, asked),
    }
}

/// Some providers repeat what they were sent.
fn refuse(stream: &mut TcpStream, word: &str, asked: &Asked) {
    let code = asked.field("refresh_token").or(asked.field("device_code")).unwrap_or_default();
    let refusal = json!({ "error": word, "error_description": format!("{code} is not good") });
    answer(stream, 400, "", &refusal.to_string());
}

impl Script {
    fn device(&mut self) -> Result<Value, &'static str> {
        if self.agreed { Ok(self.give()) } else { Err("authorization_pending") }
    }

    fn refresh(&mut self, token: &str) -> Result<Value, &'static str> {
        if !self.refresh.contains(token) {
            return Err("invalid_grant");
        }
        if !self.leeway {
            self.refresh.remove(token);
        }
        Ok(self.give())
    }

    fn give(&mut self) -> Value {
        self.given += 1;
        let claims = json!({ "sub": "sub-1", "email": self.email, "n": self.given });
        let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
        let access = format!("e30.{payload}.canary-access-{}", self.given);
        let refresh = format!("canary-refresh-{}", self.given);
        self.good.insert(access.clone());
        let mut tokens = json!({
            "access_token": access, "token_type": "Bearer", "expires_in": self.life,
            "id_token": format!("e30.{payload}.canary-id"), "scope": "openid",
        });
        if self.refreshing {
            self.refresh.insert(refresh.clone());
            tokens["refresh_token"] = json!(refresh);
        }
        tokens
    }
}
