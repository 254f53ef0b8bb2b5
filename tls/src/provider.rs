//! The one provider of cryptography.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

/// Makes ring the provider of this process. Call it once, first in `main`: a library that finds no provider, or a
/// second one compiled in, panics at its first connection.
pub fn install_provider() {
    // An error means that a provider is installed already, which is ring as well: no other is compiled in (deny.toml).
    let _ = ring::default_provider().install_default();
}

/// The provider for our own settings, which do not depend on [`install_provider`].
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
