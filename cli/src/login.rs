//! How a command connects to a front door that is protected: which servers it trusts, and who it is.

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bergmill_gateway::{Client, ConnectOptions, Credentials};
use clap::Args;

/// Who connects, and to which servers. Passwords and tokens have no flags, since other users can see the arguments of a
/// process.
#[derive(Debug, Clone, Default, Args)]
pub struct Login {
    /// Log in as this user. The password is BERGMILL_PASSWORD, or else asked for; without a user, BERGMILL_TOKEN is
    /// the token to log in with
    #[arg(long, env = "BERGMILL_USER", value_name = "NAME")]
    user: Option<String>,
    /// File that holds the password of --user
    #[arg(long, env = "BERGMILL_PASSWORD_FILE", value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// File of the certificate authority that the server's certificate is from, such as the ca.pem of `bergmill certs`
    /// [default: those that this machine trusts]
    #[arg(long, env = "BERGMILL_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
}

impl Login {
    /// Connects to a front door.
    pub async fn connect(&self, address: &str) -> Result<Client> {
        let options = self.without_user();
        let credentials = self.credentials(|name| std::env::var(name).ok())?;
        Ok(Client::connect_with(address, &ConnectOptions { credentials, ..options }).await?)
    }

    /// The options for a connection that makes no statement.
    pub fn without_user(&self) -> ConnectOptions {
        ConnectOptions { ca: self.tls_ca.clone(), credentials: None }
    }

    fn credentials(&self, environment: impl Fn(&str) -> Option<String>) -> Result<Option<Credentials>> {
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        let Some(user) = self.user.clone().filter(|user| !user.is_empty()) else {
            return Ok(variable("BERGMILL_TOKEN").map(Credentials::Token));
        };
        let password = match (&self.password_file, variable("BERGMILL_PASSWORD")) {
            (Some(file), _) => password_in(file)?,
            (None, Some(password)) => password,
            (None, None) if std::io::stdin().is_terminal() => ask(&format!("password of {user}: "))?,
            (None, None) => bail!("no password for user {user}: set BERGMILL_PASSWORD or --password-file"),
        };
        Ok(Some(Credentials::Password { user, password }))
    }
}

/// A new password: from a file, or typed twice, or the first line of standard input.
pub fn new_password(file: Option<&Path>, user: &str) -> Result<String> {
    if let Some(file) = file {
        return password_in(file);
    }
    let input = std::io::stdin();
    if !input.is_terminal() {
        let mut line = String::new();
        input.lock().read_line(&mut line).context("the password on standard input")?;
        return Ok(first_line(&line));
    }
    let password = ask(&format!("new password of {user}: "))?;
    if ask("the same again: ")? != password {
        bail!("the passwords differ");
    }
    Ok(password)
}

/// Asks without showing what is typed.
fn ask(prompt: &str) -> Result<String> {
    rpassword::prompt_password(prompt).context("cannot ask for the password on this terminal")
}

fn password_in(file: &Path) -> Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("password file {}", file.display()))?;
    Ok(first_line(&text))
}

/// Editors end files with a line break, which is no part of the password.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_comes_from_the_file_or_the_environment_and_a_token_needs_no_user() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "in file\n").unwrap();
        let check = |user: Option<&str>, file: Option<&Path>, expected: Option<Credentials>| {
            let login = Login {
                user: user.map(ToString::to_string),
                password_file: file.map(Path::to_path_buf),
                ..Login::default()
            };
            let variables = |name: &str| Some(format!("in {name}"));
            assert_eq!(login.credentials(variables).unwrap(), expected);
        };
        let password =
            |password: &str| Some(Credentials::Password { user: "ada".to_string(), password: password.to_string() });
        check(Some("ada"), Some(&file), password("in file"));
        check(Some("ada"), None, password("in BERGMILL_PASSWORD"));
        check(None, None, Some(Credentials::Token("in BERGMILL_TOKEN".to_string())));
        check(Some(""), None, Some(Credentials::Token("in BERGMILL_TOKEN".to_string())));
        assert_eq!(Login::default().credentials(|_| None).unwrap(), None);
    }
}
