//! The Authentik blueprint: only what Authentik knows stands in it, and every
//! value comes out as it went in. No Authentik runs here.

use std::collections::BTreeMap;

use heph_ops::blueprint::Blueprint;
use proptest::prelude::*;
use serde_json::{Value, json};

/// What a field holds.
#[derive(Clone, Copy)]
enum Holds {
    Text,
    Flag,
    Number,
    Word(&'static [&'static str]),
    /// `hours=1;minutes=2`
    Span,
    /// The key of an object of this model: `!Find` or `!KeyOf`.
    Key(&'static str),
    Keys(&'static str),
    Words(&'static [&'static str]),
    RedirectUris,
    Identifiers,
}
use Holds::{Flag, Identifiers, Key, Keys, Number, RedirectUris, Span, Text, Word, Words};

const FLOW: &str = "authentik_flows.flow";
const GRANTS: &[&str] = &[
    "authorization_code",
    "implicit",
    "hybrid",
    "refresh_token",
    "client_credentials",
    "password",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:token-exchange",
];

/// The fields that are used, of each model, as they are in the blueprint
/// schema of Authentik 2026.8 (`blueprints/schema.json` in its repository) and
/// in the serializers that it is made from (`authentik/*/api/*.py`).
const MODELS: &[(&str, &[(&str, Holds)])] = &[
    (
        "authentik_blueprints.metaapplyblueprint",
        &[("identifiers", Identifiers), ("required", Flag)],
    ),
    ("authentik_core.group", &[("name", Text)]),
    (
        "authentik_providers_oauth2.oauth2provider",
        &[
            ("name", Text),
            ("client_id", Text),
            ("client_type", Word(&["confidential", "public"])),
            ("grant_types", Words(GRANTS)),
            ("authorization_flow", Key(FLOW)),
            ("invalidation_flow", Key(FLOW)),
            ("redirect_uris", RedirectUris),
            ("signing_key", Key("authentik_crypto.certificatekeypair")),
            ("issuer_mode", Word(&["global", "per_provider"])),
            ("sub_mode", Word(&["hashed_user_id", "user_id", "user_uuid", "user_username"])),
            ("include_claims_in_id_token", Flag),
            ("property_mappings", Keys("authentik_providers_oauth2.scopemapping")),
            ("access_code_validity", Span),
            ("access_token_validity", Span),
            ("refresh_token_validity", Span),
            ("refresh_token_threshold", Span),
        ],
    ),
    (
        "authentik_core.application",
        &[
            ("name", Text),
            ("slug", Text),
            ("provider", Key("authentik_providers_oauth2.oauth2provider")),
            ("meta_launch_url", Text),
            ("policy_engine_mode", Word(&["all", "any"])),
        ],
    ),
    (
        "authentik_policies.policybinding",
        &[
            ("target", Key("authentik_core.application")),
            ("group", Key("authentik_core.group")),
            ("order", Number),
            ("enabled", Flag),
            ("negate", Flag),
        ],
    ),
    (
        FLOW,
        &[
            ("name", Text),
            ("slug", Text),
            ("title", Text),
            ("designation", Word(&["authentication", "authorization", "stage_configuration"])),
            ("authentication", Word(&["none", "require_authenticated", "require_superuser"])),
        ],
    ),
    ("authentik_brands.brand", &[("domain", Text), ("flow_device_code", Key(FLOW))]),
];

fn blueprint() -> Blueprint {
    Blueprint {
        client_id: "heph".to_owned(),
        slug: "heph".to_owned(),
        group: "heph".to_owned(),
        brand: "authentik-default".to_owned(),
        signing_key: "authentik Self-signed Certificate".to_owned(),
        hub_urls: ["https://heph.example.org/", "http://hub:8787/"]
            .map(|url| url.parse().unwrap())
            .into(),
    }
}

/// YAML's readers here know none of Authentik's tags, so those become lists:
/// `["!Find", model, [field, value]]`. A tag stands before the first quote of
/// its line, where no value can be.
fn parse(text: &str) -> Value {
    let untagged = text.lines().map(|line| {
        let at = line.find(['"', '#']).unwrap_or(line.len());
        let (before, rest) = line.split_at(at);
        let before = before.replace("!Find [", "[\"!Find\", ");
        match before.split_once("!KeyOf ") {
            Some((key, id)) => format!("{key}[\"!KeyOf\", {id}]\n"),
            None => format!("{before}{rest}\n"),
        }
    });
    let untagged: String = untagged.collect();
    serde_saphyr::from_str(&untagged).unwrap_or_else(|e| panic!("{e}\n{untagged}"))
}

/// The entries by model; where there are several of one, the last.
fn entries(blueprint: &Blueprint) -> BTreeMap<String, Value> {
    let text = blueprint.to_text().unwrap();
    let document = parse(&text);
    let all = document["entries"].as_array().unwrap().iter();
    all.map(|entry| (entry["model"].as_str().unwrap().to_owned(), entry.clone())).collect()
}

#[track_caller]
fn check(field: &str, holds: Holds, value: &Value, ids: &BTreeMap<&str, &str>) {
    let key = |model: &str, value: &Value| match value[0].as_str() {
        Some("!Find") => value[1] == model && value[2].as_array().is_some_and(|c| c.len() == 2),
        Some("!KeyOf") => value[1].as_str().and_then(|id| ids.get(id)) == Some(&model),
        _ => false,
    };
    let all = |fits: &dyn Fn(&Value) -> bool| {
        value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(fits))
    };
    let is_one_of = |words: &[&str], value: &Value| words.iter().any(|word| value == word);
    let fits = match holds {
        Text => value.as_str().is_some_and(|text| !text.is_empty()),
        Flag => value.is_boolean(),
        Number => value.is_i64(),
        Identifiers => value["name"].is_string(),
        Span => value.as_str().is_some_and(|text| {
            text.split_once('=').is_some_and(|(unit, n)| {
                ["seconds", "minutes", "hours", "days"].contains(&unit) && n.parse::<u32>().is_ok()
            })
        }),
        Word(words) => is_one_of(words, value),
        Words(words) => all(&|value| is_one_of(words, value)),
        Key(model) => key(model, value),
        Keys(model) => all(&|value| key(model, value)),
        RedirectUris => all(&|uri| uri["matching_mode"] == "strict" && uri["url"].is_string()),
    };
    assert!(fits, "{field}: {value}");
}

#[test]
fn every_field_is_one_that_authentik_has() {
    let document = parse(&blueprint().to_text().unwrap());
    assert_eq!(document["version"], 1);
    assert_eq!(document["metadata"]["name"], "Hephaestus (heph)");
    let mut ids = BTreeMap::new();
    for entry in document["entries"].as_array().unwrap() {
        let model = entry["model"].as_str().unwrap();
        let known = MODELS.iter().find(|(name, _)| *name == model);
        let (_, fields) = known.unwrap_or_else(|| panic!("{model} is no model"));
        for key in entry.as_object().unwrap().keys() {
            let known = ["model", "id", "state", "conditions", "identifiers", "attrs"];
            assert!(known.contains(&key.as_str()), "{model}: {key}");
        }
        if entry["state"] != Value::Null {
            assert_eq!(entry["state"], "created");
        }
        for part in ["identifiers", "attrs"] {
            for (field, value) in entry[part].as_object().into_iter().flatten() {
                let known = fields.iter().find(|(name, _)| name == field);
                let (_, holds) = known.unwrap_or_else(|| panic!("{model} has no {field}"));
                check(&format!("{model} {field}"), *holds, value, &ids);
            }
        }
        // A later entry may refer to it, an earlier one may not.
        if let Some(id) = entry["id"].as_str() {
            ids.insert(id, model);
        }
    }
}

#[test]
fn it_says_what_a_hub_and_its_devices_need() {
    let entries = entries(&blueprint());
    let provider = &entries["authentik_providers_oauth2.oauth2provider"]["attrs"];
    assert_eq!(provider["client_type"], "public");
    let grants = ["authorization_code", "refresh_token", GRANTS[6]];
    assert_eq!(provider["grant_types"], json!(grants));
    let strict = |url: &str| json!({ "matching_mode": "strict", "url": url });
    let uris = json!([strict("https://heph.example.org/"), strict("http://hub:8787/")]);
    assert_eq!(provider["redirect_uris"], uris);
    let scopes = provider["property_mappings"].as_array().unwrap().iter();
    let scopes: Vec<_> =
        scopes.map(|find| find[2][1].as_str().unwrap().rsplit('-').next().unwrap()).collect();
    assert_eq!(scopes, ["openid", "email", "profile", "offline_access"]);
    let brand = &entries["authentik_brands.brand"];
    assert_eq!(brand["attrs"]["flow_device_code"], json!(["!KeyOf", "device-code"]));
    let exists = json!([["!Find", "authentik_brands.brand", ["domain", "authentik-default"]]]);
    assert_eq!(brand["conditions"], exists, "a brand that is not there is not made");
    let flow = &entries[FLOW]["attrs"];
    assert_eq!(flow["designation"], "stage_configuration");
    assert_eq!(flow["authentication"], "require_authenticated");
}

/// Puts a value everywhere, and finds it again there and nowhere else.
#[track_caller]
fn comes_back(value: &str) {
    let blueprint = Blueprint {
        client_id: format!("{value}1"),
        group: format!("{value}2"),
        brand: format!("{value}3"),
        signing_key: format!("{value}4"),
        ..blueprint()
    };
    let found = entries(&blueprint);
    let provider = &found["authentik_providers_oauth2.oauth2provider"];
    let brand = &found["authentik_brands.brand"];
    assert_eq!(provider["identifiers"], json!({ "client_id": blueprint.client_id }));
    assert_eq!(provider["attrs"]["signing_key"][2], json!(["name", blueprint.signing_key]));
    assert_eq!(found["authentik_core.group"]["identifiers"], json!({ "name": blueprint.group }));
    assert_eq!(brand["identifiers"], json!({ "domain": blueprint.brand }));
    assert_eq!(brand["conditions"][0][2], json!(["domain", blueprint.brand]));
    // All else is as it always is.
    let usual = entries(&self::blueprint());
    let fields = |provider: &Value| provider["attrs"].as_object().unwrap().len();
    assert_eq!(fields(provider), fields(&usual["authentik_providers_oauth2.oauth2provider"]));
    assert_eq!(found.keys().collect::<Vec<_>>(), usual.keys().collect::<Vec<_>>());
}

#[test]
fn hostile_values_stay_values() {
    for value in [
        "it's",
        "\"",
        "\\",
        "\\\"",
        "#",
        " # no comment",
        "a: b",
        "%",
        "%TAG ! tag:x,2000:",
        "{{ client_id }}",
        "{% raw %}",
        "!Find [authentik_core.user, [username, akadmin]]",
        "\", admin: true, x: \"",
        "]], [name, \"x\"",
        "&anchor *alias",
        "---",
        "...",
        "- item",
        "? key",
        "| block",
        "> fold",
        "null",
        "yes",
        "0x10",
        " leading and trailing ",
        "\ttab",
        "\u{1b}[31m",
        "\u{7f}\u{80}\u{85}\u{a0}",
        "\u{2028}\u{2029}\u{feff}\u{fffe}\u{ffff}",
        "ü ß 漢字 🔥 e\u{301} \u{202e}",
    ] {
        comes_back(value);
    }
}

proptest! {
    #[test]
    fn whatever_stands_in_a_line_comes_back(value in "[^\\r\\n\\x00]{0,40}") {
        comes_back(&value);
    }
}
