//! At each hub there is one login under way: the one that was begun last. Who
//! begins another, in another window or on another day, does not mean to type
//! two codes.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::oneshot;
use url::Url;

use crate::error::{Code, Error, Result};

/// The logins that wait for a person. Each ends when its sender is dropped.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<HashMap<Url, oneshot::Sender<()>>>);

impl UnderWay {
    /// Logs in at a hub, until somebody else does.
    ///
    /// # Errors
    /// `auth_failed` where another login was begun; the login's own.
    pub(super) async fn only<T>(
        &self,
        hub: &Url,
        login: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let (stays, replaced) = oneshot::channel();
        {
            let mut logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            logins.retain(|_, login| !login.is_closed());
            logins.insert(hub.clone(), stays);
        }
        tokio::select! {
            done = login => done,
            _ = replaced => Err(Error::new(
                Code::AuthFailed,
                format!("another login was begun at {hub}: this one was ended"),
                "go on with the other one; or begin anew: heph auth login",
            )),
        }
    }
}
