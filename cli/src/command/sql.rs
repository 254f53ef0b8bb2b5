//! `bergmill sql`: runs statements from the command line, a file or a pipe, or opens a prompt.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use bergmill_gateway::{Answer, Client};
use bergmill_statement::{split, without_passwords};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::cluster::Target;
use crate::output::{self, Format};
use crate::progress::seconds;

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
    let connected = arguments.target.open().await?;
    if prompt {
        return run_prompt(&connected.client, &connected.folder, arguments.format).await;
    }
    for statement in scripts.iter().flat_map(|s| split(s).0) {
        execute(&connected.client, &statement, arguments.format).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn execute(client: &Client, statement: &str, format: Format) -> Result<()> {
    let started = Instant::now();
    let on_terminal = std::io::stdout().is_terminal();
    match client.execute(statement, None).await? {
        Answer::Rows(rows) => {
            let n = output::print(rows, format, &mut output::stdout()).await?;
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

/// Runs the prompt. A statement ends with a semicolon and may span several lines; an error does not end the session.
async fn run_prompt(client: &Client, folder: &Path, format: Format) -> Result<ExitCode> {
    let mut editor = DefaultEditor::new().context("cannot open a prompt on this terminal")?;
    let history = folder.join(".sql_history");
    // A missing history is not an error.
    let _ = editor.load_history(&history);
    eprintln!("bergmill {}. End a statement with ;  \\d lists tables, \\q quits.", env!("CARGO_PKG_VERSION"));
    let mut text = String::new();
    loop {
        let line = match editor.readline(if text.is_empty() { "bergmill> " } else { "     ...> " }) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                text.clear();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(e) => return Err(e).context("prompt"),
        };
        match line.trim() {
            "\\q" | "quit" | "exit" if text.is_empty() => break,
            "\\d" if text.is_empty() => text.push_str(LIST_TABLES),
            _ => {
                text.push_str(&line);
                text.push('\n');
            }
        }
        let (statements, complete) = split(&text);
        if !complete {
            continue;
        }
        if !text.trim().is_empty() {
            // The history is a file.
            let _ = editor.add_history_entry(without_passwords(text.trim()));
        }
        text.clear();
        for statement in statements {
            if let Err(e) = execute(client, &statement, format).await {
                eprintln!("error: {e:#}");
                break;
            }
        }
    }
    if let Err(e) = editor.save_history(&history) {
        eprintln!("cannot save the history to {}: {e}", history.display());
    }
    Ok(ExitCode::SUCCESS)
}

const LIST_TABLES: &str = "SELECT table_schema AS namespace, table_name AS \"table\" FROM information_schema.tables \
                           WHERE table_schema <> 'information_schema' ORDER BY 1, 2;";
