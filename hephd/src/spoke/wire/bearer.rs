//! How a request gets its token, and a hub's answer to that.
//!
//! None is sent before the hub has asked for one, and none in the clear to
//! where anybody may listen.

use reqwest::{Request, RequestBuilder, Response, StatusCode, header, header::HeaderValue};
use serde::Deserialize;

use super::{Failed, SILENCE, Wire};
use crate::{
    error::{Error, Result},
    login::wall,
    oidc::secret::Secret,
    sync::HeadsBody,
};

/// What a hub says to whoever logs in: where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Known {
    /// Its OpenID provider; none where it asks nobody.
    #[serde(default)]
    pub issuer: Option<String>,
    /// The client to log in as there.
    #[serde(default)]
    pub client_id: Option<String>,
}

impl Wire {
    /// What the hub says to whoever logs in.
    ///
    /// # Errors
    /// `hub_unreachable`.
    pub async fn config(&self) -> Result<Known> {
        let request = self.built(self.http.get(self.url("config")?).timeout(SILENCE))?;
        // Whoever is asked here says where the person logs in: it must be the
        // same that is shown the token afterwards.
        let client = self.private.as_ref().unwrap_or(&self.http);
        let response = client.execute(request).await.map_err(|error| self.cut(&error).error)?;
        match response.status() {
            StatusCode::OK => {
                let body = self.body(response).await.map_err(|failed| failed.error)?;
                self.read(&body).map_err(|failed| failed.error)
            }
            status => match self.refusal(status, response).await {
                Err(failed) => Err(failed.error),
                Ok(_) => Err(self.no_hub(&format!("does not say whom to ask: {status}"))),
            },
        }
    }

    /// Shows the hub a token.
    ///
    /// # Errors
    /// The status that refuses it, if it was one, and what it says.
    pub async fn try_out(&self, token: &Secret) -> Result<(), (Option<u16>, Error)> {
        let request = || self.built(self.http.get(self.url("sync/heads")?).timeout(SILENCE));
        let request = request().map_err(|error| (None, error))?;
        let response = self.send_as(request, Some(token)).await;
        let response = response.map_err(|failed| (None, failed.error))?;
        match response.status() {
            StatusCode::OK => {
                let body = self.body(response).await.map_err(|failed| (None, failed.error))?;
                let heads = self.read::<HeadsBody>(&body);
                heads.map(drop).map_err(|failed| (Some(200), failed.error))
            }
            status => match self.refusal_to(Some(token), status, response).await {
                Err(failed) => Err((Some(status.as_u16()), failed.error)),
                Ok(_) => Err((None, self.no_hub(&format!("said {status}")))),
            },
        }
    }

    /// Sends a request, with a token if the hub wants one. A token that it
    /// does not take is renewed once, and the request repeated.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, Failed> {
        let request = self.built(request)?;
        let Some(login) = &self.login else { return self.send_as(request, None).await };
        let token = login.bearer().await;
        let again = request.try_clone();
        let response = self.send_as(request, token.as_ref()).await?;
        match (response.status(), again) {
            (StatusCode::UNAUTHORIZED, Some(again)) => {
                let token = login.rejected(token).await?;
                self.send_as(again, Some(&token)).await
            }
            _ => {
                token.iter().for_each(|_| login.accepted());
                Ok(response)
            }
        }
    }

    fn built(&self, request: RequestBuilder) -> Result<Request> {
        let headers = self.device.iter().flat_map(|device| device.sender().headers());
        let request = headers.fold(request, |request, (name, value)| request.header(name, value));
        request.build().map_err(Error::internal)
    }

    async fn send_as(
        &self,
        mut request: Request,
        token: Option<&Secret>,
    ) -> Result<Response, Failed> {
        let mut client = &self.http;
        if let Some(token) = token {
            let unfit = |_| Error::internal("the token is no text for a header");
            let mut bearer =
                HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(unfit)?;
            bearer.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, bearer);
            if let Some(private) = &self.private {
                wall::check(&self.hub_url)?;
                client = private;
            }
        }
        client.execute(request).await.map_err(|error| self.cut(&error))
    }
}
