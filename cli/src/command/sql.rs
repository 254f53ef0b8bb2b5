//! `bergmill sql`: runs statements from the command line, a file or a pipe, or opens a prompt.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bergmill_gateway::{Answer, Client};
use bergmill_statement::split;

use crate::cluster::Target;
use crate::output::{self, Format};
use crate::progress::seconds;
use crate::prompt::{Prompt, show_place};
use crate::signals::StopSignals;

/// Arguments of `sql`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Statements to run, separated by semicolons
    #[arg(short, long, value_name = "SQL")]
    execute: Vec<String>,
    /// File of statements to run
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    #[command(flatten)]
    target: Target,
}

/// Runs the statements in order and stops at the first error.
pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let mut scripts = arguments.execute;
    for file in &arguments.file {
        scripts.push(std::fs::read_to_string(file).with_context(|| format!("file {}", file.display()))?);
    }
    let prompt = scripts.is_empty() && std::io::stdin().is_terminal();
    if scripts.is_empty() && !prompt {
        let mut script = String::new();
        std::io::stdin().read_to_string(&mut script).context("standard input")?;
        scripts.push(script);
    }
    if arguments.format.is_binary() && std::io::stdout().is_terminal() {
        bail!("this format is not text: redirect the output to a file");
    }
    if prompt {
        // Ctrl-C cancels a statement here, and leaves the cluster alone.
        let connected = arguments.target.open_until(StopSignals::without_interrupt()?).await?;
        return Prompt::new(connected.client.clone(), arguments.format).run(&connected.folder).await;
    }
    let connected = arguments.target.open().await?;
    for statement in scripts.iter().flat_map(|s| split(s).0) {
        execute(&connected.client, &statement, arguments.format).await.inspect_err(|e| show_place(&statement, e))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn execute(client: &Client, statement: &str, format: Format) -> Result<()> {
    let started = Instant::now();
    let on_terminal = std::io::stdout().is_terminal();
    match client.execute(statement, None).await? {
        Answer::Rows(rows) => {
            let n = output::print(rows, format, output::terminal_width(), &mut output::stdout()).await?;
            if on_terminal {
                eprintln!("{n} row{} in {}", if n == 1 { "" } else { "s" }, seconds(started.elapsed()));
            }
        }
        Answer::Updated(rows) if on_terminal => {
            eprintln!("done, {rows} rows written in {}", seconds(started.elapsed()));
        }
        Answer::Updated(_) => {}
    }
    Ok(())
}
