//! TLS by rustls, with ring as the only provider of cryptography.
//!
//! [`ServerTls`] accepts connections with a certificate that is reread when its files change, and [`ClientTls`]
//! connects to servers whose certificates it trusts. [`ClusterTls`] is both for the processes of a cluster, which prove
//! to each other who they are. [`grpc`] has the connections as tonic takes them. [`authority`] makes certificates for
//! installations that have none.
//! A process calls [`install_provider`] once, before anything that uses rustls, so that libraries find the same
//! provider.
//!
//! ```
//! use bergmill_tls::{CertificateFiles, ClientTls, ServerTls, authority};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::net::{TcpListener, TcpStream};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let request = authority::Request { server_names: vec!["localhost".to_string()], ..authority::Request::default() };
//! authority::make(folder.path(), &request)?;
//!
//! let [certificate, key] = ["server.pem", "server.key"].map(|file| folder.path().join(file));
//! let server = ServerTls::open(CertificateFiles { certificate, key })?;
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! let answering = tokio::spawn(async move {
//!     let (tcp, _) = listener.accept().await?;
//!     server.accept(tcp).await?.write_all(b"hello").await
//! });
//!
//! let client = ClientTls::trusting(Some(&folder.path().join("ca.pem")))?;
//! let mut connection = client.connect("localhost", TcpStream::connect(address).await?).await?;
//! let mut answer = [0; 5];
//! connection.read_exact(&mut answer).await?;
//! assert_eq!(&answer, b"hello");
//! answering.await??;
//! # Ok(())
//! # }
//! ```

pub mod authority;
mod client;
mod cluster;
mod error;
mod files;
pub mod grpc;
mod provider;
mod reread;
mod server;

pub use client::{ClientStream, ClientTls, refusal};
pub use cluster::{CLUSTER_NAME, ClusterTls};
pub use error::{Error, ErrorKind, Result};
pub use files::CertificateFiles;
pub use provider::install_provider;
pub use server::{NotTls, ServerStream, ServerTls};
