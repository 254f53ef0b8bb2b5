//! `bergmill user`: the users of an installation, changed where they are kept. What they may do is granted by SQL. It
//! needs no server, so it makes the first user, and lets the owner of the data in again who has forgotten a password.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::login::new_password;
use crate::settings::Tables;

/// Arguments of `user`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    /// Configuration file (TOML); flags and environment variables override it
    #[arg(long, env = "BERGMILL_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Add a user. From then on, clients have to log in
    Add {
        /// Name of the user
        name: String,
        /// Let the user do everything, such as changing users; the first user may in any case
        #[arg(long)]
        admin: bool,
        #[command(flatten)]
        password: Password,
        #[command(flatten)]
        tables: Tables,
    },
    /// Change the password of a user, which ends its sessions and revokes its tokens
    Password {
        /// Name of the user
        name: String,
        #[command(flatten)]
        password: Password,
        #[command(flatten)]
        tables: Tables,
    },
    /// Remove a user, its sessions and its tokens
    Drop {
        /// Name of the user
        name: String,
        #[command(flatten)]
        tables: Tables,
    },
    /// List the users
    List {
        #[command(flatten)]
        tables: Tables,
    },
}

#[derive(Debug, clap::Args)]
struct Password {
    /// File that holds the password [default: asked for, or the first line of standard input]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Runs the subcommand.
pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let config = arguments.config;
    let open = async |tables: Tables| tables.with_file(config.as_deref())?.users().await;
    match arguments.verb {
        Verb::Add { name, admin, password, tables } => {
            let users = open(tables).await?;
            users.add_user(&name, &new_password(password.password_file.as_deref(), &name)?, admin).await?;
            let is_admin = users.user(&name).await?.is_admin;
            println!("added {} {name}", if is_admin { "administrator" } else { "user" });
        }
        Verb::Password { name, password, tables } => {
            let users = open(tables).await?;
            // Before the password is asked for.
            users.user(&name).await?;
            users.set_password(&name, &new_password(password.password_file.as_deref(), &name)?).await?;
            println!("changed the password of {name}");
        }
        Verb::Drop { name, tables } => {
            open(tables).await?.drop_user(&name).await?;
            println!("dropped {name}");
        }
        Verb::List { tables } => {
            for user in open(tables).await?.users().await? {
                println!("{:24} {}", user.name, if user.is_admin { "admin" } else { "user" });
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
