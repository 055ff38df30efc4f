//! Tokens that must not count, each with its status and its reason.

use hephd::{
    hub::door::Door,
    oidc::keys::{NoKey, Pace},
};
use serde_json::{Value, json};

use super::{
    door::get_with,
    mint::{Key, Mint, b64, sign, text_of},
    served::Served,
};

/// What makes a good token bad, and what is said of it.
struct Bad {
    name: &'static str,
    token: String,
    why: &'static str,
}

fn bad(name: &'static str, token: String, why: &'static str) -> Bad {
    Bad { name, token, why }
}

/// A good token with other claims; null takes one away.
fn claims(mint: &Mint, changes: Value) -> String {
    let mut claims = mint.claims("ann");
    merge(&mut claims, changes);
    sign(&mint.header(), &claims, mint.key())
}

/// A good token with another header.
fn header(mint: &Mint, changes: Value) -> String {
    let mut header = mint.header();
    merge(&mut header, changes);
    sign(&header, &mint.claims("ann"), mint.key())
}

fn merge(into: &mut Value, changes: Value) {
    let (into, Value::Object(changes)) = (into.as_object_mut().unwrap(), changes) else {
        panic!("an object of changes");
    };
    for (name, value) in changes {
        // What stays null is what a test wants to be null.
        match value {
            Value::Null => drop(into.remove(&name)),
            Value::String(text) if text == "NULL" => drop(into.insert(name, Value::Null)),
            value => drop(into.insert(name, value)),
        }
    }
}

/// The same claims under a signature of HMAC, with the public key as secret.
fn hmac_with_the_public_key(mint: &Mint) -> String {
    let jwk = mint.key().jwk("first");
    let secret = jwk["n"].as_str().unwrap();
    let header = json!({ "alg": "HS256", "kid": "first", "typ": "at+jwt" });
    let text = text_of(&header, &mint.claims("ann"));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let signed = ring::hmac::sign(&key, text.as_bytes());
    format!("{text}.{}", b64(signed.as_ref()))
}

fn unsigned(mint: &Mint, algorithm: &str) -> String {
    let header = json!({ "alg": algorithm, "kid": "first", "typ": "at+jwt" });
    format!("{}.", text_of(&header, &mint.claims("ann")))
}

/// A good token whose claims were changed after it was signed.
fn changed(mint: &Mint) -> String {
    let token = mint.token("ann");
    let mut parts: Vec<&str> = token.split('.').collect();
    let claims = b64(mint.claims("root").to_string().as_bytes());
    parts[1] = &claims;
    parts.join(".")
}

fn now() -> u64 {
    hephd::clock::Clock::System.now_ms() / 1000
}

fn by_header(mint: &Mint) -> Vec<Bad> {
    let other = Key::rsa(2048);
    let others = |header: Value| sign(&header, &mint.claims("ann"), &other);
    let own_jwk = json!({ "alg": "RS256", "kid": "first", "typ": "at+jwt", "jwk": other.jwk("x") });
    let url = "http://127.0.0.1:9/keys";
    vec![
        bad("alg none", unsigned(mint, "none"), "its algorithm is unknown"),
        bad("alg NONE", unsigned(mint, "NONE"), "its algorithm is unknown"),
        bad("alg empty", unsigned(mint, ""), "its algorithm is unknown"),
        bad("RS256 without a signature", unsigned(mint, "RS256"), "signature does not hold"),
        bad("HS256 with the public key", hmac_with_the_public_key(mint), "HS256 is no algorithm"),
        bad("alg RS384", header(mint, json!({ "alg": "RS384" })), "RS384 is no algorithm"),
        bad("alg PS256", header(mint, json!({ "alg": "PS256" })), "PS256 is no algorithm"),
        bad("alg EdDSA", header(mint, json!({ "alg": "EdDSA" })), "EdDSA is no algorithm"),
        bad(
            "alg ES256 of an RSA key",
            header(mint, json!({ "alg": "ES256" })),
            "no key of that id",
        ),
        bad("alg missing", header(mint, json!({ "alg": null })), "its header"),
        bad("alg a number", header(mint, json!({ "alg": 5 })), "its header"),
        bad("kid unknown", header(mint, json!({ "kid": "second" })), "no key of that id"),
        bad("kid a path", header(mint, json!({ "kid": "../../etc/passwd" })), "no key of that id"),
        bad("kid of SQL", header(mint, json!({ "kid": "' OR 1=1 --" })), "no key of that id"),
        bad("kid empty", header(mint, json!({ "kid": "" })), "no key of that id"),
        bad(
            "kid of 300 bytes",
            header(mint, json!({ "kid": "k".repeat(300) })),
            "no key of that id",
        ),
        bad("kid a list", header(mint, json!({ "kid": ["first"] })), "its header"),
        bad("its own key in the header", others(own_jwk), "signature does not hold"),
        bad(
            "its own address of keys",
            others(json!({ "alg": "RS256", "kid": "first", "jku": url, "x5u": url })),
            "signature does not hold",
        ),
        bad("signed by another key", others(mint.header()), "signature does not hold"),
        bad("typ of a logout", header(mint, json!({ "typ": "logout+jwt" })), "its type is another"),
        bad(
            "typ of an event",
            header(mint, json!({ "typ": "secevent+jwt" })),
            "its type is another",
        ),
        bad("extensions", header(mint, json!({ "crit": ["exp"], "exp": 1 })), "extensions"),
    ]
}

fn by_claims(mint: &Mint) -> Vec<Bad> {
    let slash = format!("{}/", mint.issuer);
    vec![
        bad("iss missing", claims(mint, json!({ "iss": null })), "no good iss"),
        bad("iss null", claims(mint, json!({ "iss": "NULL" })), "no good iss"),
        bad(
            "iss of another",
            claims(mint, json!({ "iss": "https://id.example" })),
            "another issuer",
        ),
        bad("iss with a slash more", claims(mint, json!({ "iss": slash })), "another issuer"),
        bad("iss a list", claims(mint, json!({ "iss": [mint.issuer] })), "another issuer"),
        bad("iss a number", claims(mint, json!({ "iss": 7 })), "no good iss"),
        bad("aud missing", claims(mint, json!({ "aud": null })), "no audience"),
        bad("aud empty", claims(mint, json!({ "aud": "" })), "audience is empty"),
        bad("aud an empty list", claims(mint, json!({ "aud": [] })), "audience is empty"),
        bad("aud of another", claims(mint, json!({ "aud": "grafana" })), "meant for \"grafana\""),
        bad("aud others", claims(mint, json!({ "aud": ["a", "b"] })), "meant for \"a, b\""),
        bad("aud in other letters", claims(mint, json!({ "aud": "HEPH" })), "meant for"),
        bad("aud a number", claims(mint, json!({ "aud": 1 })), "no audience"),
        bad("aud an object", claims(mint, json!({ "aud": { "heph": 1 } })), "no audience"),
        bad("sub missing", claims(mint, json!({ "sub": null })), "no good sub"),
        bad("sub empty", claims(mint, json!({ "sub": "" })), "sub is no name"),
        bad("sub a number", claims(mint, json!({ "sub": 1 })), "no good sub"),
        bad("sub of two lines", claims(mint, json!({ "sub": "ann\nroot" })), "sub is no name"),
        bad("sub without end", claims(mint, json!({ "sub": "a".repeat(1025) })), "sub is no name"),
        bad("exp missing", claims(mint, json!({ "exp": null })), "no good exp"),
        bad("exp a text", claims(mint, json!({ "exp": "9999999999" })), "no good exp"),
        bad("exp below zero", claims(mint, json!({ "exp": -1 })), "no good exp"),
        bad("exp zero", claims(mint, json!({ "exp": 0 })), "it ended"),
        bad("exp a minute ago", claims(mint, json!({ "exp": now() - 60 })), "it ended 6"),
        bad("nbf in a minute", claims(mint, json!({ "nbf": now() + 60 })), "it begins in"),
        bad("nbf a text", claims(mint, json!({ "nbf": "tomorrow" })), "nbf is no time"),
        bad("nbf a list", claims(mint, json!({ "nbf": [0] })), "its claims"),
        bad("exp beyond all numbers", claims(mint, json!({ "exp": 1e300 })), "no good exp"),
    ]
}

fn by_shape(mint: &Mint) -> Vec<Bad> {
    let token = mint.token("ann");
    let untyped = |changes: Value| {
        let mut claims = mint.claims("ann");
        merge(&mut claims, changes);
        let header = json!({ "alg": "RS256", "kid": "first", "typ": "JWT" });
        sign(&header, &claims, mint.key())
    };
    let twice = format!("{}.{}", token, token.rsplit('.').next().unwrap());
    vec![
        bad("a word", "secret".to_owned(), "three parts"),
        bad("two parts", token.rsplit_once('.').unwrap().0.to_owned(), "no token"),
        bad("four parts", twice, "no token"),
        bad("dots", "..".to_owned(), "no token"),
        bad("no base64", format!("!!.{}", token.split_once('.').unwrap().1), "no token"),
        bad("cut short", token[..token.len() - 22].to_owned(), "signature does not hold"),
        bad("changed claims", changed(mint), "signature does not hold"),
        bad(
            "claims that are no object",
            sign(&mint.header(), &json!([1]), mint.key()),
            "its claims",
        ),
        bad("an ID token, by its hash", untyped(json!({ "at_hash": "x" })), "another token"),
        bad("an ID token, by its type", untyped(json!({ "typ": "ID" })), "ID token"),
        bad("an ID token, without scope", untyped(json!({ "scope": null })), "no scope"),
    ]
}

fn all(mint: &Mint) -> Vec<Bad> {
    [by_header(mint), by_claims(mint), by_shape(mint)].into_iter().flatten().collect()
}

fn reason(door: &Door, token: &str) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(door.verify(token, now())) {
        Ok(_) => None,
        Err(NoKey::Refused(why)) => Some(why.to_string()),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn no_bad_token_counts_and_each_has_its_reason() {
    let mint = Mint::new(Key::rsa(2048));
    let bads = all(&mint);
    assert!(bads.len() >= 40, "{}", bads.len());
    for Bad { name, token, why } in bads {
        // Each for itself: the keys are asked for anew, and no typed token came.
        let door = Door::new(mint.rules(), Pace::default()).unwrap();
        let said = reason(&door, &token).unwrap_or_else(|| panic!("{name} counts"));
        assert!(said.contains(why), "{name}: {said:?} does not say {why:?}");
        assert!(!said.contains(&token), "{name}: {said}");
    }
}

/// The same table over HTTP: 401, a reason, and never the token.
#[test]
fn row_28_row_29_a_bad_token_is_401_with_its_reason() {
    let mint = Mint::new(Key::rsa(2048));
    for Bad { name, token, why } in all(&mint) {
        let door = Door::new(mint.rules(), Pace::default()).unwrap();
        let hub = Served::with(|hub| hub.behind(door));
        let answer = get_with(&hub, &token);
        assert_eq!(answer.0, 401, "{name}: {}", answer.2);
        assert!(
            answer.1.to_lowercase().contains("www-authenticate: bearer"),
            "{name}: {}",
            answer.1
        );
        let body: Value = serde_json::from_str(&answer.2).unwrap();
        let said = body["error"]["message"].as_str().unwrap();
        assert!(said.contains(why) && !said.contains(&token), "{name}: {said}");
        assert_eq!(body["error"]["code"], "auth_failed", "{name}");
    }
}

#[test]
fn good_tokens_count_in_all_their_shapes() {
    let mint = Mint::new(Key::ec());
    mint.lists(vec![mint.key().jwk("first"), Key::rsa(2048).jwk("other")]);
    let door = Door::new(mint.rules(), Pace::default()).unwrap();
    let good = [
        ("as Authentik makes it", header(&mint, json!({ "typ": "JWT" }))),
        ("without a type", header(&mint, json!({ "typ": null }))),
        ("for several", claims(&mint, json!({ "aud": ["grafana", "heph"] }))),
        ("that begins now", claims(&mint, json!({ "nbf": now() }))),
        ("from a clock that is 5 s ahead", claims(&mint, json!({ "nbf": now() + 5 }))),
        ("that ended 5 s ago by our clock", claims(&mint, json!({ "exp": now() - 5 }))),
        ("with parts of seconds", claims(&mint, json!({ "exp": now() as f64 + 60.5 }))),
        ("of the one key for its algorithm", header(&mint, json!({ "kid": null, "typ": "JWT" }))),
        ("with the whole media type", header(&mint, json!({ "typ": "application/AT+JWT" }))),
    ];
    let (untyped, typed): (Vec<_>, Vec<_>) = good.into_iter().partition(|(name, _)| {
        ["as Authentik makes it", "without a type", "of the one key for its algorithm"]
            .contains(name)
    });
    for (name, token) in untyped.iter().chain(&typed) {
        assert_eq!(reason(&door, token), None, "{name}");
    }
    // From then on this issuer is known to say what an access token is.
    for (name, token) in &untyped {
        let said = reason(&door, token).unwrap_or_default();
        assert!(said.contains("no access token"), "{name}: {said:?}");
    }
}

#[test]
fn a_token_must_name_its_key_where_there_are_several() {
    let mint = Mint::new(Key::ec());
    mint.lists(vec![mint.key().jwk("first"), Key::ec().jwk("second")]);
    let door = Door::new(mint.rules(), Pace::default()).unwrap();
    let said = reason(&door, &header(&mint, json!({ "kid": null })));
    assert!(said.unwrap_or_default().contains("which key"));
}

#[test]
fn keys_that_are_not_for_signing_tokens_are_not_used() {
    let mint = Mint::new(Key::ec());
    let jwk = |changes: Value| {
        let mut jwk = mint.key().jwk("first");
        merge(&mut jwk, changes);
        jwk
    };
    let secret = json!({ "kty": "oct", "kid": "first", "k": b64(b"0123456789abcdef") });
    for unusable in
        [jwk(json!({ "use": "enc" })), jwk(json!({ "alg": "ES384" })), secret, json!({ "kty": 7 })]
    {
        mint.lists(vec![unusable.clone(), Key::rsa(2048).jwk("other")]);
        let door = Door::new(mint.rules(), Pace::default()).unwrap();
        let said = reason(&door, &mint.token("ann")).unwrap_or_default();
        assert!(said.contains("no key of that id"), "{unusable}: {said}");
    }
}

/// Whoever lists a short key may find its token taken for a good one.
#[test]
fn a_key_of_1024_bits_checks_nothing() {
    let mint = Mint::new(Key::ec());
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("weak.pem");
    let path = pem.to_str().unwrap();
    openssl(&[
        "genpkey",
        "-quiet",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:1024",
        "-out",
        path,
    ]);
    let modulus = String::from_utf8(openssl(&["rsa", "-in", path, "-noout", "-modulus"])).unwrap();
    let hex = modulus.trim().strip_prefix("Modulus=").unwrap();
    let byte = |i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
    let n: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    mint.lists(vec![json!({ "kty": "RSA", "kid": "first", "n": b64(&n), "e": "AQAB" })]);
    let header = json!({ "alg": "RS256", "kid": "first", "typ": "at+jwt" });
    let text = text_of(&header, &mint.claims("ann"));
    let message = folder.path().join("message");
    std::fs::write(&message, &text).unwrap();
    let signed = openssl(&["dgst", "-sha256", "-sign", path, message.to_str().unwrap()]);
    assert_eq!(signed.len(), 128, "it signs");
    let door = Door::new(mint.rules(), Pace::default()).unwrap();
    let said = reason(&door, &format!("{text}.{}", b64(&signed))).unwrap_or_default();
    assert!(said.contains("signature does not hold"), "{said}");
}

fn openssl(words: &[&str]) -> Vec<u8> {
    let output = std::process::Command::new("openssl").args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
