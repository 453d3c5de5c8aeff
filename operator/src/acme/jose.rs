//! Signatures of requests to an authority (RFC 7515, RFC 8555 6.2): ECDSA on P-256.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::certificates::pem;

/// The key of an account.
pub struct AccountKey {
    pair: EcdsaKeyPair,
    jwk: Value,
    thumbprint: String,
}

/// How the authority finds the key of a request.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// By the key itself: the account is not known yet.
    Key,
    /// By the URL of the account.
    Account(&'a str),
}

// === impl AccountKey ===

impl AccountKey {
    /// Reads the key, PEM.
    ///
    /// # Errors
    /// Says what is wrong, without a byte of the key.
    pub fn parse(text: &SecretString) -> Result<Self, String> {
        let der = pem::private_key(text.expose_secret().as_bytes())?;
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_der())
            .map_err(|_| "is no ECDSA key on P-256; remove it, and igw makes a new one".to_owned())?;
        let point = pair.public_key().as_ref();
        // An uncompressed point: a mark, then both coordinates.
        let (Some(x), Some(y)) = (point.get(1..33), point.get(33..65)) else {
            return Err("has no public part; remove it, and igw makes a new one".to_owned());
        };
        let (x, y) = (encode(x), encode(y));
        // The members in this order, without blanks, are what the thumbprint is of (RFC 7638 3.2).
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        Ok(Self {
            pair,
            jwk: json!({"crv": "P-256", "kty": "EC", "x": x, "y": y}),
            thumbprint: encode(&Sha256::digest(canonical.as_bytes())),
        })
    }

    /// Names the key among all keys.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// What proves that the holder of the account answers a token (RFC 8555 8.1).
    #[must_use]
    pub fn authorization(&self, token: &str) -> String {
        format!("{token}.{}", self.thumbprint)
    }

    /// A signed request; without payload it reads (RFC 8555 6.3).
    ///
    /// # Errors
    /// Says that the library refused, which it does for want of randomness alone.
    pub fn sign(
        &self,
        url: &str,
        nonce: &str,
        by: By<'_>,
        payload: Option<&Value>,
    ) -> Result<Vec<u8>, String> {
        let mut protected = json!({"alg": "ES256", "nonce": nonce, "url": url});
        match by {
            By::Key => protected["jwk"] = self.jwk.clone(),
            By::Account(account) => protected["kid"] = account.into(),
        }
        let protected = encode(protected.to_string().as_bytes());
        let payload = payload.map(|payload| encode(payload.to_string().as_bytes())).unwrap_or_default();
        let signature = self
            .pair
            .sign(&SystemRandom::new(), format!("{protected}.{payload}").as_bytes())
            .map_err(|_| "the request cannot be signed".to_owned())?;
        let whole =
            json!({"protected": protected, "payload": payload, "signature": encode(signature.as_ref())});
        Ok(whole.to_string().into_bytes())
    }

    /// Binds the account to one that the authority knows by another key (RFC 8555 7.3.4).
    ///
    /// # Errors
    /// Says that the other key is none.
    pub fn bind(&self, key_id: &str, hmac_key: &SecretString, url: &str) -> Result<Value, String> {
        let text = hmac_key.expose_secret().trim().trim_end_matches('=');
        let secret = URL_SAFE_NO_PAD
            .decode(text.replace('+', "-").replace('/', "_"))
            .map_err(|_| "is not base64url; write it as the authority gave it".to_owned())?;
        let protected = encode(json!({"alg": "HS256", "kid": key_id, "url": url}).to_string().as_bytes());
        let payload = encode(self.jwk.to_string().as_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let tag = hmac::sign(&key, format!("{protected}.{payload}").as_bytes());
        Ok(json!({"protected": protected, "payload": payload, "signature": encode(tag.as_ref())}))
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountKey").field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}

/// Base64url without padding.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    fn key() -> AccountKey {
        AccountKey::parse(&rcgen::KeyPair::generate().unwrap().serialize_pem().into()).unwrap()
    }

    #[test]
    fn a_request_is_signed_by_the_key_that_it_names() {
        let key = key();
        let signed = key.sign("https://ca.test/a", "n1", By::Key, Some(&json!({"a": 1}))).unwrap();
        let signed: Value = serde_json::from_slice(&signed).unwrap();
        let part = |name: &str| signed[name].as_str().unwrap().to_owned();
        let protected: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part("protected")).unwrap()).unwrap();
        assert_eq!(protected["nonce"], "n1");
        let coordinate =
            |name: &str| URL_SAFE_NO_PAD.decode(protected["jwk"][name].as_str().unwrap()).unwrap();
        let point = [vec![4], coordinate("x"), coordinate("y")].concat();
        let message = format!("{}.{}", part("protected"), part("payload"));
        let signature = URL_SAFE_NO_PAD.decode(part("signature")).unwrap();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        assert!(public.verify(message.as_bytes(), &signature).is_ok());
        assert!(public.verify(b"other", &signature).is_err());
    }

    #[test]
    fn a_key_shows_nothing_of_itself() {
        let text = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let key = AccountKey::parse(&text.clone().into()).unwrap();
        let shown = format!("{key:?}");
        assert!(text.lines().all(|line| !shown.contains(line)), "{shown}");
        assert!(AccountKey::parse(&"x".to_owned().into()).is_err());
        assert!(key.bind("k", &"***".to_owned().into(), "u").is_err());
        assert!(key.bind("k", &"c2VjcmV0".to_owned().into(), "u").is_ok());
    }
}
