//! `bergmill user`: the users of an installation, changed where they are kept. What they may do is granted by SQL. It
//! needs no server, so it makes the first user, and lets the owner of the data in again who has forgotten a password.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bergmill_access::{Access, random_password};
use clap::Subcommand;
use tempfile::NamedTempFile;

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
    /// Add an administrator with a random password, unless there are users; for installations that set themselves up
    Init {
        /// Name of the administrator
        #[arg(default_value = "admin")]
        name: String,
        #[command(flatten)]
        tables: Tables,
    },
    /// Print the password of the administrator that `user init` has added. It is printed only once
    InitialPassword {
        #[command(flatten)]
        tables: Tables,
    },
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
        Verb::Init { name, tables } => {
            let tables = tables.with_file(config.as_deref())?;
            init(&name, &tables.users().await?, &tables.folder()).await?;
        }
        Verb::InitialPassword { tables } => {
            println!("{}", initial_password(&tables.with_file(config.as_deref())?.folder())?);
        }
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

/// The file that holds the password until it is shown.
const INITIAL_PASSWORD: &str = "initial-password";

/// Adds the administrator if there are no users. A process that is stopped half-way leaves the password for the next.
async fn init(name: &str, users: &Access, folder: &Path) -> Result<()> {
    if users.has_users().await? {
        println!("there are users already");
        return Ok(());
    }
    let path = folder.join(INITIAL_PASSWORD);
    let failed = || format!("password file {}", path.display());
    // Readable by its owner only.
    let mut file = NamedTempFile::new_in(folder).with_context(failed)?;
    writeln!(file, "{}", random_password()?).and_then(|()| file.as_file().sync_all()).with_context(failed)?;
    match file.persist_noclobber(&path) {
        Err(e) if e.error.kind() != ErrorKind::AlreadyExists => return Err(e.error).with_context(failed),
        _ => {}
    }
    users.add_user(name, std::fs::read_to_string(&path).with_context(failed)?.trim_end(), true).await?;
    println!("added administrator {name}; `bergmill user initial-password` prints the password, once");
    Ok(())
}

/// Removes the password from the folder, and returns it.
fn initial_password(folder: &Path) -> Result<String> {
    let path = folder.join(INITIAL_PASSWORD);
    let failed = || format!("password file {}", path.display());
    match std::fs::read_to_string(&path) {
        Ok(password) => {
            std::fs::remove_file(&path).with_context(failed)?;
            Ok(password.trim_end().to_string())
        }
        Err(e) if e.kind() == ErrorKind::NotFound => bail!(
            "there is no initial password in {}: it has been printed already, or `bergmill user init` has added nobody; \
             `bergmill user password NAME` sets a new one",
            folder.display()
        ),
        Err(e) => Err(e).with_context(failed),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bergmill_access::FileStore;

    use super::*;

    #[tokio::test]
    async fn the_first_administrator_has_a_password_that_is_shown_once() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let users = Access::new(Arc::new(FileStore::new(folder.join("access.json"))));
        // As a process leaves it that is stopped before it has added the user.
        std::fs::write(folder.join(INITIAL_PASSWORD), "correct horse battery\n").unwrap();
        init("admin", &users, folder).await.unwrap();
        assert!(users.user("admin").await.unwrap().is_admin);
        init("other", &users, folder).await.unwrap();
        assert_eq!(users.users().await.unwrap().len(), 1);
        let password = initial_password(folder).unwrap();
        assert_eq!(password, "correct horse battery");
        users.log_in("admin", &password, None).await.unwrap();
        let error = initial_password(folder).unwrap_err().to_string();
        assert!(error.contains("has been printed already"), "{error}");
        init("admin", &users, folder).await.unwrap();
        assert!(!folder.join(INITIAL_PASSWORD).exists());
    }

    #[tokio::test]
    async fn initial_passwords_are_random_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let mut passwords = Vec::new();
        for _ in 0..2 {
            let folder = tempfile::tempdir().unwrap();
            let users = Access::new(Arc::new(FileStore::new(folder.path().join("access.json"))));
            init("admin", &users, folder.path()).await.unwrap();
            let mode = std::fs::metadata(folder.path().join(INITIAL_PASSWORD)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            passwords.push(initial_password(folder.path()).unwrap());
        }
        assert_ne!(passwords[0], passwords[1]);
        assert_eq!(passwords[0].len(), 24);
    }
}
