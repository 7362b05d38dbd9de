//! A NATS operator for one test: keys and signed JWTs of operator, account and users, and a server's configuration.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// An operator with a system account and one account, `APP`, that may use JetStream without limits.
pub struct Operator {
    operator: KeyPair,
    /// Signed once: a server does not reload with another.
    jwt: String,
    system: KeyPair,
    app: KeyPair,
    /// When each user was revoked, Unix seconds.
    revoked: BTreeMap<String, u64>,
    app_expires: Option<u64>,
}

/// A user: a key pair and the JWT that an account signed for it.
pub struct User {
    key: KeyPair,
    jwt: String,
}

impl Operator {
    pub fn new() -> Self {
        let (operator, system) = (KeyPair::new_operator(), KeyPair::new_account());
        let nats = json!({ "type": "operator", "version": 2, "system_account": system.public_key() });
        let jwt = sign(&operator, &operator, "OP", None, nats);
        Self { operator, jwt, system, app: KeyPair::new_account(), revoked: BTreeMap::new(), app_expires: None }
    }

    /// The configuration of a server that trusts this operator, as of now: for `ServerOptions::config`, and after a
    /// revocation for `Server::reload`.
    pub fn config(&self) -> String {
        let (system, app) = (self.system.public_key(), self.app.public_key());
        format!(
            "operator: {}\nsystem_account: {system}\nresolver: MEMORY\nresolver_preload {{\n{system}: {}\n{app}: {}\n}}",
            self.jwt,
            self.account_jwt("SYS", &self.system, false),
            self.account_jwt("APP", &self.app, true),
        )
    }

    /// The public key of the account `APP`, as the server names it in `remote_account` and logs.
    pub fn account(&self) -> String {
        self.app.public_key()
    }

    /// A user of `APP` who may do everything, for ever.
    pub fn user(&self, name: &str) -> User {
        self.user_with(name, json!({}))
    }

    /// A user of `APP` whose JWT expires so long from now; JWTs count whole seconds, so it
    /// may be up to one more or less.
    pub fn user_for(&self, name: &str, lifetime: Duration) -> User {
        self.sign_user(&self.app, name, Some(now() + lifetime.as_secs()), json!({}))
    }

    /// A user of `APP` whose JWT expired a minute ago.
    pub fn user_expired(&self, name: &str) -> User {
        self.sign_user(&self.app, name, Some(now() - 60), json!({}))
    }

    /// A user of `APP` with more in the `nats` part of the claims: `{"pub": {"deny": ["orders.secret"]}}`.
    pub fn user_with(&self, name: &str, nats: Value) -> User {
        self.sign_user(&self.app, name, None, nats)
    }

    /// Another JWT for a user that exists, as a rotation makes: the same key, expiring so long from now or never.
    pub fn renewed(&self, user: &User, lifetime: Option<Duration>) -> User {
        let key = KeyPair::from_seed(&user.seed()).expect("a seed of ours");
        self.sign_key(&self.app, key, "renewed", lifetime.map(|lifetime| now() + lifetime.as_secs()), json!({}))
    }

    /// A user of the system account.
    pub fn system_user(&self) -> User {
        self.sign_user(&self.system, "sys", None, json!({}))
    }

    /// Revokes the user's JWTs made up to this second. A server learns it by a reload of [`Self::config`].
    pub fn revoke(&mut self, user: &User) {
        self.revoked.insert(user.public_key(), now());
    }

    /// Takes all revocations back.
    pub fn pardon(&mut self) {
        self.revoked.clear();
    }

    /// Lets the account `APP` itself expire so long from now; `None` is never. A server learns it by a reload.
    pub fn expire_account(&mut self, lifetime: Option<Duration>) {
        self.app_expires = lifetime.map(|lifetime| now() + lifetime.as_secs());
    }

    fn account_jwt(&self, name: &str, account: &KeyPair, jetstream: bool) -> String {
        let storage = if jetstream { -1 } else { 0 };
        let limits = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
            "leaf": -1, "mem_storage": storage, "disk_storage": storage, "streams": storage, "consumer": storage,
        });
        let revocations = if jetstream { json!(self.revoked) } else { json!({}) };
        let nats = json!({ "type": "account", "version": 2, "limits": limits, "revocations": revocations });
        sign(&self.operator, account, name, self.app_expires.filter(|_| jetstream), nats)
    }

    fn sign_user(&self, account: &KeyPair, name: &str, expires: Option<u64>, nats: Value) -> User {
        self.sign_key(account, KeyPair::new_user(), name, expires, nats)
    }

    fn sign_key(&self, account: &KeyPair, key: KeyPair, name: &str, expires: Option<u64>, mut nats: Value) -> User {
        for (member, value) in [("type", json!("user")), ("version", json!(2))] {
            nats[member] = value;
        }
        for limit in ["subs", "data", "payload"] {
            nats[limit] = nats.get(limit).cloned().unwrap_or(json!(-1));
        }
        let jwt = sign(account, &key, name, expires, nats);
        User { key, jwt }
    }
}

impl User {
    pub fn jwt(&self) -> &str {
        &self.jwt
    }

    /// The seed, which is the secret: `SU...`.
    pub fn seed(&self) -> String {
        self.key.seed().expect("a key made here has its seed")
    }

    pub fn public_key(&self) -> String {
        self.key.public_key()
    }

    /// The signature of a server's nonce, as CONNECT carries it.
    pub fn signature(&self, nonce: &str) -> String {
        signature(&self.key, nonce)
    }

    /// The text of a credentials file, as `nsc` writes it.
    pub fn creds(&self) -> String {
        format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\
             NKEY Seed printed below can be used to sign and prove identity.\n\
             NKEYs are sensitive and should be treated as secrets.\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n\n\
             *************************************************************\n",
            self.jwt,
            self.seed()
        )
    }
}

/// A bare nkey user, for a server without an operator: its public key and its seed.
pub fn nkey_user() -> (String, String) {
    let key = KeyPair::new_user();
    (key.public_key(), key.seed().expect("a key made here has its seed"))
}

fn sign(issuer: &KeyPair, subject: &KeyPair, name: &str, expires: Option<u64>, nats: Value) -> String {
    let mut claims = json!({
        "jti": subject.public_key(), "iat": now(), "iss": issuer.public_key(), "name": name,
        "sub": subject.public_key(), "nats": nats,
    });
    if let Some(expires) = expires {
        claims["exp"] = json!(expires);
    }
    let encoded = |json: Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
    let head = encoded(json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
    let signed = format!("{head}.{}", encoded(claims));
    let signature = signature(issuer, &signed);
    format!("{signed}.{signature}")
}

fn signature(key: &KeyPair, words: &str) -> String {
    BASE64URL_NOPAD.encode(&key.sign(words.as_bytes()).expect("a key made here can sign"))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}
