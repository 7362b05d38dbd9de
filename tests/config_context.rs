//! Contexts of the `nats` command: where they are looked up, what they mean, what they override, and what is refused.

#[path = "support/plans.rs"]
mod plans;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use natsink::config::{AuthPlan, ConfigError, ConfigErrorKind, Document, Flags, Plan, check};
use natsink::connection::UserInfo;
use natsink::credentials::Held;
use plans::FirstSink as _;
use serde_json::{Value, json};
use tempfile::TempDir;

/// As `nats context save` (natscli 0.5.1) writes one that says nothing.
const EMPTY: &str = r#"{
  "description": "",
  "url": "",
  "socks_proxy": "",
  "token": "",
  "user": "",
  "password": "",
  "creds": "",
  "nkey": "",
  "cert": "",
  "key": "",
  "ca": "",
  "nsc": "",
  "jetstream_domain": "",
  "jetstream_api_prefix": "",
  "jetstream_event_prefix": "",
  "inbox_prefix": "",
  "user_jwt": "",
  "user_seed": "",
  "color_scheme": "",
  "tls_first": false,
  "windows_cert_store": "",
  "windows_cert_match_by": "",
  "windows_cert_match": "",
  "windows_ca_certs_match": null
}"#;

/// A home folder with contexts in it, and the environment that leads there.
struct Home {
    folder: TempDir,
    variables: BTreeMap<&'static str, OsString>,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("nats/context")).expect("the folder is ours");
        let variables = BTreeMap::from([("XDG_CONFIG_HOME", folder.path().into())]);
        Self { folder, variables }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("nats/context/{name}.json"))
    }

    /// Saves a context with these members besides the empty ones.
    fn save(&self, name: &str, members: Value) {
        let mut context: Value = serde_json::from_str(EMPTY).expect("JSON");
        let members = members.as_object().expect("an object").clone();
        context.as_object_mut().expect("an object").extend(members);
        fs::write(self.path(name), context.to_string()).expect("the folder is ours");
    }

    fn plan(&self, document: Option<&Document>, flags: &Flags) -> Result<Plan, ConfigError> {
        check(document, flags, &|name| self.variables.get(name).cloned())
    }

    /// The plan with this context and nothing besides.
    fn with(&self, members: Value) -> Result<Plan, ConfigError> {
        self.save("it", members);
        self.plan(None, &flags("it"))
    }

    /// The words of the refusal, without the context's path.
    fn refused(&self, members: Value) -> String {
        let shown = members.to_string();
        let error = self.with(members).err().unwrap_or_else(|| panic!("accepted: {shown}"));
        let path = format!("{}: ", self.path("it").display());
        let words = error.to_string();
        words.strip_prefix(&path).unwrap_or_else(|| panic!("no path in {words}")).into()
    }
}

fn flags(context: &str) -> Flags {
    Flags {
        context: Some(context.into()),
        stream: Some("ORDERS".into()),
        subject: Some("orders.events".into()),
        ..Flags::default()
    }
}

fn user_password(user: &str, password: &str) -> AuthPlan {
    AuthPlan::UserInfo(UserInfo::UserPassword { user: user.into(), password: password.into() })
}

fn file(path: &str) -> Held {
    Held::File(path.into())
}

#[test]
fn a_context_says_where_to_connect_and_how() {
    let home = Home::new();
    let context = json!({
        "description": "d", "url": "nats://h1:1, tls://h2", "user": "u", "password": "p", "ca": "/ca", "cert": "cert",
        "key": "file:///key", "tls_first": true, "jetstream_domain": "hub", "inbox_prefix": "_I.x", "no one knows": [1],
    });
    let plan = home.with(context).expect("a plan").nats();
    let servers: Vec<_> = plan.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["nats://h1:1", "tls://h2:4222"]);
    assert_eq!(plan.auth, user_password("u", "p"));
    assert_eq!((plan.js_api_prefix.as_str(), plan.inbox_prefix.as_str()), ("$JS.hub.API", "_I.x"));
    let tls = plan.tls;
    let files = [tls.ca_file, tls.cert_file, tls.key_file].map(|path| path.expect("given"));
    assert!(tls.first && files == ["/ca", "cert", "/key"], "{files:?}");
    let plan = home.with(json!({ "url": "h", "jetstream_api_prefix": "JS.x" })).expect("a plan").nats();
    assert_eq!(plan.js_api_prefix.as_str(), "JS.x");
    assert!(!plan.tls.is_demanded());
}

#[test]
fn each_method_of_a_context_is_understood() {
    let mut home = Home::new();
    home.variables.extend([("HOME", "/home/ann".into()), ("KEYS", "/k".into()), ("P", "from-env".into())]);
    let text = |text: &str| Held::Text(text.into());
    let cases = [
        (json!({}), AuthPlan::None),
        (json!({ "token": "t" }), AuthPlan::UserInfo(UserInfo::Token("t".into()))),
        (json!({ "user": "u", "password": "env://P" }), user_password("u", "from-env")),
        (json!({ "url": "nats://a:b@h" }), user_password("a", "b")),
        (json!({ "creds": "~/a.creds" }), AuthPlan::CredsFile("/home/ann/a.creds".into())),
        (json!({ "creds": "file://${KEYS}/$P.creds" }), AuthPlan::CredsFile("/k/from-env.creds".into())),
        (json!({ "creds": "rel~ative" }), AuthPlan::CredsFile("rel~ative".into())),
        (json!({ "nkey": "/a.nk" }), AuthPlan::Nkey(file("/a.nk"))),
        (
            json!({ "user_jwt": "eyJ0.e.s", "user_seed": "SUAM" }),
            AuthPlan::Jwt { jwt: text("eyJ0.e.s"), seed: Some(text("SUAM")) },
        ),
        (
            json!({ "user_jwt": "/a.jwt", "user_seed": "env://P" }),
            AuthPlan::Jwt { jwt: file("/a.jwt"), seed: Some(text("from-env")) },
        ),
        (json!({ "user_jwt": "eyJ0.e.s" }), AuthPlan::Jwt { jwt: text("eyJ0.e.s"), seed: None }),
    ];
    for (mut members, auth) in cases {
        let shown = members.to_string();
        if members.get("url").is_none() {
            members["url"] = json!("h");
        }
        assert_eq!(home.with(members).expect(&shown).nats().auth, auth, "{shown}");
    }
}

#[test]
fn what_a_context_cannot_mean_is_told_with_its_file_and_key() {
    let mut home = Home::new();
    home.variables.insert("EMPTY", "".into());
    let help = "keep them in a file, and give that with --creds or --nkey";
    let cases = [
        (
            json!({ "nsc": "nsc://O/A/U" }),
            "nsc: natsink does not run nsc; write the credentials to a file, nsc generate",
        ),
        (json!({ "creds": "nsc://O/A/U" }), "creds: natsink does not run nsc; "),
        (json!({ "nkey": "op://v/i/f" }), "nkey: natsink does not run op; "),
        (json!({ "token": "OP://v/i/f" }), "token: natsink does not run op; "),
        (
            json!({ "creds": "data:;base64,Y2FuYXJ5" }),
            &format!("creds: credentials inside of the context are not read; {help}"),
        ),
        (json!({ "creds": "env://P" }), "creds: a file in a variable is not in this version"),
        (json!({ "socks_proxy": "socks5://h" }), "socks_proxy: a SOCKS proxy is not in this version"),
        (
            json!({ "windows_cert_store": "user" }),
            "windows_cert_store: Windows' certificate store is not in this version",
        ),
        (
            json!({ "creds": "/c", "token": "canary" }),
            "creds: a second method of authentication beside token; give one",
        ),
        (
            json!({ "nkey": "/n", "user_jwt": "eyJ" }),
            "user_jwt: a second method of authentication beside nkey; give one",
        ),
        (
            json!({ "nkey": "/n", "user_seed": "SU" }),
            "user_seed: a second method of authentication beside nkey; give one",
        ),
        (json!({ "user_seed": "SUcanary" }), "user_seed: a seed without user_jwt; a seed alone is nkey"),
        (json!({ "user": "u" }), "user: a user without a password"),
        (json!({ "password": "canary" }), "password: a password without a user"),
        (json!({ "cert": "/c" }), "cert: a client certificate without its key"),
        (json!({ "creds": "~bob/c" }), "creds: ~ stands for your own home folder only; write the path in full"),
        (json!({ "creds": "~/c" }), "creds: ~ in the path, and the variable HOME is not set"),
        (json!({ "creds": "$NOPE/c" }), "creds: the variable \"NOPE\" in the path is not set"),
        (json!({ "creds": "$/c" }), "creds: the variable \"\" in the path is not set"),
        (json!({ "creds": "c\u{0}" }), "creds: a path with a NUL in it"),
        (json!({ "token": "env://NOPE" }), "token: the variable NOPE is not set, empty or not UTF-8"),
        (json!({ "token": "env://EMPTY" }), "token: the variable EMPTY is not set, empty or not UTF-8"),
        (json!({ "url": "http://canary@h" }), "url: the URL's scheme is neither nats:// nor tls://"),
        (json!({ "url": 5 }), "url: must be a text"),
        (json!({ "token": ["canary"] }), "token: must be a text"),
        (json!({ "tls_first": "canary" }), "tls_first: must be true or false"),
        (json!({ "inbox_prefix": "a..b" }), "inbox_prefix: "),
        (
            json!({ "jetstream_domain": "d", "jetstream_api_prefix": "p" }),
            "jetstream_api_prefix: a JetStream domain and an API prefix; give one of them",
        ),
    ];
    for (mut members, words) in cases {
        if members.get("url").is_none() {
            members["url"] = json!("h");
        }
        let found = home.refused(members);
        assert!(found.starts_with(words) && !found.contains("canary"), "{found} is not {words}");
    }
    for (text, words) in [
        ("", "not JSON at line 1, column 0"),
        ("{\"token\": \"canary\"", "not JSON at line 1, column "),
        ("\"canary\"", "a context is a JSON object"),
        (&" ".repeat(natsink::config::FILE_LEN_MAX + 1), "a context of more than 1048576 bytes"),
    ] {
        fs::write(home.path("it"), text).expect("the folder is ours");
        let error = home.plan(None, &flags("it")).expect_err(words);
        assert_eq!(error.kind(), ConfigErrorKind::Invalid);
        assert!(error.to_string().starts_with(&format!("{}: {words}", home.path("it").display())), "{error}");
    }
}

#[test]
fn a_context_is_found_by_its_name_or_its_path() {
    let mut home = Home::new();
    home.save("a b", json!({ "url": "nats://named" }));
    let host = |home: &Home, name: &str| home.plan(None, &flags(name)).map(|plan| plan.nats().servers[0].host.clone());
    assert_eq!(host(&home, "a b").as_deref(), Ok("named"));
    let path = home.folder.path().join("elsewhere.json");
    fs::write(&path, r#"{"url":"nats://elsewhere"}"#).expect("the folder is ours");
    assert_eq!(host(&home, path.to_str().expect("UTF-8")).as_deref(), Ok("elsewhere"));
    for name in ["../elsewhere", "a/b", "/a", "..", "a\\b", "x\u{1b}", "", &"x".repeat(129)] {
        let error = host(&home, name).expect_err(name).to_string();
        assert!(error.starts_with("--context: a context"), "{name:?}: {error}");
    }
    let absent = host(&home, "/absent/it.json").expect_err("no such file");
    assert!(absent.to_string().starts_with("--context: no context /absent/it.json: "), "{absent}");
    // A folder and a pipe alike: neither is waited for.
    fs::create_dir(home.path("folder")).expect("the folder is ours");
    let folder = host(&home, "folder").expect_err("a folder");
    assert!(folder.to_string().ends_with("folder.json: not a file"), "{folder}");
    let absent = host(&home, "absent").expect_err("no such context");
    let start = format!("--context: no context {}: ", home.path("absent").display());
    assert!(absent.to_string().starts_with(&start), "{absent}");
    // Without XDG_CONFIG_HOME, and with an empty one, it is the home folder's.
    fs::rename(home.folder.path().join("nats"), home.folder.path().join("moved")).expect("the folder is ours");
    fs::create_dir(home.folder.path().join(".config")).expect("the folder is ours");
    fs::rename(home.folder.path().join("moved"), home.folder.path().join(".config/nats")).expect("the folder is ours");
    home.variables.insert("XDG_CONFIG_HOME", "".into());
    home.variables.insert("HOME", home.folder.path().into());
    assert_eq!(host(&home, "a b").as_deref(), Ok("named"));
    home.variables.clear();
    let nowhere = host(&home, "a b").expect_err("no home");
    assert_eq!(nowhere.to_string(), "--context: neither XDG_CONFIG_HOME nor HOME is set: where are the contexts?");
}

#[test]
fn flags_override_a_context_and_a_context_the_file() {
    let mut home = Home::new();
    home.variables.insert("NATS_USER", "env-user".into());
    home.variables.insert("NATS_PASSWORD", "env-password".into());
    home.save(
        "full",
        json!({
            "url": "nats://context", "user": "context-user", "password": "context-password", "ca": "/context-ca",
            "jetstream_domain": "context", "inbox_prefix": "_context",
        }),
    );
    home.save("bare", json!({ "url": "nats://bare" }));
    let text = "\
sinks:
  - type: nats
    config:
      url: nats://file
      subject: s
      stream: S
      username: file-user
      password: file-password
      tls: { ca_file: /file-ca, server_name: file }
      js_api_prefix: JS.file
      inbox_prefix: _file
";
    let document = Document { path: "p.yaml".into(), text: text.into() };
    let plan = |flags: &Flags| home.plan(Some(&document), flags).expect("a plan").nats();
    let over_file = plan(&flags("full"));
    assert_eq!(over_file.servers[0].host, "context");
    assert_eq!(over_file.auth, user_password("context-user", "context-password"));
    assert_eq!((over_file.js_api_prefix.as_str(), over_file.inbox_prefix.as_str()), ("$JS.context.API", "_context"));
    // Options of TLS are each for themselves.
    let tls = over_file.tls;
    assert_eq!((tls.ca_file.as_deref(), tls.server_name.as_deref()), (Some("/context-ca"), Some("file")));
    let typed = Flags {
        url: Some("nats://flag".into()),
        creds: Some("flag.creds".into()),
        tls_ca: Some("flag-ca".into()),
        js_api_prefix: Some("JS.flag".into()),
        inbox_prefix: Some("_flag".into()),
        ..flags("full")
    };
    let over_context = plan(&typed);
    assert_eq!(over_context.servers[0].host, "flag");
    assert_eq!(over_context.auth, AuthPlan::CredsFile("flag.creds".into()));
    assert_eq!(over_context.tls.ca_file.as_deref(), Some("flag-ca"));
    assert_eq!((over_context.js_api_prefix.as_str(), over_context.inbox_prefix.as_str()), ("JS.flag", "_flag"));
    let password = Flags { password: Some("flag-password".into()), ..flags("full") };
    assert_eq!(plan(&password).auth, user_password("context-user", "flag-password"));
    // What a context does not say, the file says, and then the environment.
    let bare = plan(&flags("bare"));
    assert_eq!((bare.servers[0].host.as_str(), bare.auth), ("bare", user_password("file-user", "file-password")));
    let alone = home.plan(None, &flags("bare")).expect("a plan").nats();
    assert_eq!(alone.auth, user_password("env-user", "env-password"));
    // What is overridden need not be right.
    home.save("nsc", json!({ "url": "nats://h", "nsc": "nsc://O/A/U" }));
    let creds = Flags { creds: Some("c".into()), ..flags("nsc") };
    assert_eq!(home.plan(None, &creds).expect("a plan").nats().auth, AuthPlan::CredsFile("c".into()));
}

#[test]
fn the_variable_names_a_context_only_where_nothing_else_names_a_server() {
    let mut home = Home::new();
    home.save("it", json!({ "url": "nats://context", "token": "t" }));
    home.variables.insert("NATS_CONTEXT", "it".into());
    let none = Flags { context: None, ..flags("it") };
    let token = AuthPlan::UserInfo(UserInfo::Token("t".into()));
    let sink = home.plan(None, &none).expect("a plan").nats();
    assert_eq!((sink.servers[0].host.as_str(), sink.auth), ("context", token));
    let typed = Flags { url: Some("nats://flag".into()), ..none.clone() };
    assert_eq!(home.plan(None, &typed).expect("a plan").nats().auth, AuthPlan::None);
    let text = "sinks: [{ type: nats, config: { url: nats://file } }]\n";
    let document = Document { path: "p.yaml".into(), text: text.into() };
    assert_eq!(home.plan(Some(&document), &none).expect("a plan").nats().auth, AuthPlan::None);
    home.variables.insert("NATS_URL", "nats://env".into());
    let sink = home.plan(None, &none).expect("a plan").nats();
    assert_eq!((sink.servers[0].host.as_str(), sink.auth), ("env", AuthPlan::None));
    home.variables.remove("NATS_URL");
    home.variables.insert("NATS_CONTEXT", "".into());
    let error = home.plan(None, &none).expect_err("no server");
    assert_eq!(error.kind(), ConfigErrorKind::Usage);
    home.variables.insert("NATS_CONTEXT", "../it".into());
    let error = home.plan(None, &none).expect_err("no name");
    assert!(error.to_string().starts_with("$NATS_CONTEXT: a context is given by its name"), "{error}");
}

#[test]
fn secrets_of_a_context_do_not_show() {
    let home = Home::new();
    for members in [
        json!({ "url": "h", "user": "u", "password": "canary" }),
        json!({ "url": "canary@h" }),
        json!({ "url": "h", "user_jwt": "eyJcanary", "user_seed": "SUcanary" }),
    ] {
        let plan = home.with(members).expect("a plan");
        assert!(!format!("{plan:?}").contains("canary"), "{plan:?}");
    }
}
