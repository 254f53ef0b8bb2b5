//! Distinguishes an aborted upload from a complete one.
//!
//! When a client cancels a call, tonic ends the request's stream as if the client had sent everything, and a server
//! that commits what it received would commit a part of the rows. The underlying HTTP body does report the difference,
//! so it is watched here, below tonic, and the result is attached to the request for `ingest` to read.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::{Bytes, Service, http};
use tonic::server::NamedService;
use tonic::{Extensions, Status};

use crate::error::{Error, ErrorKind, Result};

/// How a request's body ended. Shared by the body and the reader of the request.
#[derive(Debug, Clone, Default)]
pub(crate) struct UploadEnd {
    broken: Arc<AtomicBool>,
}

impl UploadEnd {
    /// The state that [`WatchUploads`] attached to the request.
    pub fn of(request: &Extensions) -> Result<Self> {
        let missing = || Error::new(ErrorKind::Internal, "the service was set up without watching uploads");
        request.get().cloned().ok_or_else(missing)
    }

    /// Returns an error if the upload was aborted. Call it when the request's stream has ended.
    pub fn check(&self) -> Result<()> {
        if self.broken.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Cancelled, "the client aborted the upload"));
        }
        Ok(())
    }
}

/// A gRPC service whose requests carry an [`UploadEnd`].
#[derive(Debug, Clone)]
pub(crate) struct WatchUploads<S>(pub S);

impl<S> Service<http::Request<Body>> for WatchUploads<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> S::Future {
        let end = UploadEnd::default();
        request.extensions_mut().insert(end.clone());
        self.0.call(request.map(|body| Body::new(WatchedBody { body, end })))
    }
}

impl<S: NamedService> NamedService for WatchUploads<S> {
    const NAME: &'static str = S::NAME;
}

struct WatchedBody {
    body: Body,
    end: UploadEnd,
}

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Err(_)) = &frame {
            self.end.broken.store(true, Ordering::Release);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
