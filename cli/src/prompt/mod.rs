//! The prompt of `bergmill sql`: statements and commands, typed one after the other.

mod assist;
mod command;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use bergmill_gateway::{Answer, Client};
use bergmill_statement::{split, without_passwords};
use clap::ValueEnum;
use console::Term;
use futures::FutureExt;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use crate::output::{self, Format};
use crate::progress::seconds;
use crate::prompt::assist::Assistant;
use crate::prompt::command::{Command, HELP};
use crate::signals::interrupts;

/// The prompt.
pub struct Prompt {
    client: Client,
    assistant: Assistant,
    format: Format,
    timing: bool,
    /// Where results go, if they are not shown.
    file: Option<PathBuf>,
}

/// What to do after a line.
#[derive(PartialEq, Eq)]
enum Next {
    Line,
    Quit,
}

impl Prompt {
    /// A prompt for a server, that shows results in this format.
    pub fn new(client: Client, format: Format) -> Self {
        Self { client, assistant: Assistant::new(), format, timing: true, file: None }
    }

    /// Runs it until its user quits. Ctrl-C cancels a statement. The history is kept in `folder`.
    pub async fn run(mut self, folder: &Path) -> Result<ExitCode> {
        let config = Config::builder().completion_type(CompletionType::List).max_history_size(10_000)?.build();
        let mut editor: Editor<Assistant, FileHistory> =
            Editor::with_config(config).context("cannot open a prompt on this terminal")?;
        editor.set_helper(Some(self.assistant.clone()));
        let mut interrupts = interrupts()?;
        let history = folder.join(".sql_history");
        // A missing history is not an error.
        let _ = editor.load_history(&history);
        self.learn_names();
        eprintln!("bergmill {}. End a statement with ;  \\? lists commands, \\q quits.", env!("CARGO_PKG_VERSION"));
        loop {
            let text = match editor.readline("bergmill> ") {
                Ok(text) => text,
                // What was typed is dropped.
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => break,
                Err(e) => return Err(e).context("prompt"),
            };
            if !text.trim().is_empty() {
                // The history is a file.
                let _ = editor.add_history_entry(without_passwords(text.trim()));
            }
            // An earlier Ctrl-C was for a pager.
            while interrupts.recv().now_or_never().is_some() {}
            let done = tokio::select! {
                biased;
                done = self.line(&text) => done,
                // The server cancels what its client does not wait for.
                _ = interrupts.recv() => Err(anyhow!("the statement was cancelled")),
            };
            match done {
                Ok(Next::Quit) => break,
                Ok(Next::Line) => {}
                Err(e) => eprintln!("error: {e:#}"),
            }
        }
        if let Err(e) = editor.save_history(&history) {
            eprintln!("cannot save the history to {}: {e}", history.display());
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Asks for names in the background. Without them, the prompt works all the same.
    fn learn_names(&self) {
        let (client, assistant) = (self.client.clone(), self.assistant.clone());
        tokio::spawn(async move {
            let _without = assistant.learn(&client).await;
        });
    }

    async fn line(&mut self, text: &str) -> Result<Next> {
        let trimmed = text.trim();
        if matches!(trimmed, "quit" | "exit") {
            return Ok(Next::Quit);
        }
        if !trimmed.starts_with('\\') {
            self.statements(text).await?;
            return Ok(Next::Line);
        }
        match command::parse(trimmed).map_err(anyhow::Error::msg)? {
            Command::Quit => return Ok(Next::Quit),
            Command::Help => print!("{HELP}"),
            Command::Query(sql) => self.execute(&sql).await?,
            Command::Vertical(on) => {
                let on = on.unwrap_or(self.format != Format::Vertical);
                self.format = if on { Format::Vertical } else { Format::Table };
                println!("values are shown {}", if on { "below each other" } else { "in a table" });
            }
            Command::Timing(on) => {
                self.timing = on.unwrap_or(!self.timing);
                println!("timing is {}", if self.timing { "on" } else { "off" });
            }
            Command::Format(format) => self.format = format,
            Command::Output(file) => {
                // An error now, and not after a long query.
                if let Some(path) = &file {
                    File::create(path).with_context(|| format!("file {}", path.display()))?;
                }
                self.file = file;
            }
            Command::Include(file) => {
                let script = std::fs::read_to_string(&file).with_context(|| format!("file {}", file.display()))?;
                self.statements(&script).await?;
            }
        }
        Ok(Next::Line)
    }

    async fn statements(&self, text: &str) -> Result<()> {
        for statement in split(text).0 {
            self.execute(&statement).await.inspect_err(|e| show_place(&statement, e))?;
        }
        Ok(())
    }

    async fn execute(&self, statement: &str) -> Result<()> {
        let started = Instant::now();
        let done = match self.client.execute(statement, None).await? {
            Answer::Rows(rows) => {
                let n = match &self.file {
                    Some(path) => {
                        let format = format_of(path, self.format);
                        // Results of several statements follow each other, as they would be shown; a binary file has
                        // one.
                        let file = match format.is_binary() {
                            true => File::create(path),
                            false => File::options().append(true).create(true).open(path),
                        };
                        let file = file.with_context(|| format!("file {}", path.display()))?;
                        output::print(rows, format, None, &mut BufWriter::new(file)).await?
                    }
                    None => {
                        let mut shown = Vec::new();
                        let n = output::print(rows, self.format, output::terminal_width(), &mut shown).await?;
                        show(&shown)?;
                        n
                    }
                };
                format!("{n} row{}", if n == 1 { "" } else { "s" })
            }
            Answer::Updated(rows) => {
                self.learn_names();
                format!("done, {rows} rows written")
            }
        };
        match self.timing {
            true => eprintln!("{done} in {}", seconds(started.elapsed())),
            false => eprintln!("{done}"),
        }
        Ok(())
    }
}

/// The format that a file's name asks for, else the given one.
fn format_of(path: &Path, otherwise: Format) -> Format {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension {
        "md" => Format::Markdown,
        "jsonl" => Format::Ndjson,
        "txt" => otherwise,
        other => Format::from_str(other, true).unwrap_or(otherwise),
    }
}

/// Shows a result, in a pager if it has more lines than the terminal.
fn show(text: &[u8]) -> Result<()> {
    let terminal = Term::stdout();
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    let fits = !terminal.is_term() || lines + 2 <= usize::from(terminal.size().0);
    if fits || !paged(text) {
        let mut out = output::stdout();
        out.write_all(text)?;
        out.flush()?;
    }
    Ok(())
}

/// Whether a pager has shown the text. `PAGER` names it, and is empty for none; without it, `less` is used.
fn paged(text: &[u8]) -> bool {
    let pager = std::env::var("PAGER").unwrap_or_else(|_| "less".into());
    let mut words = pager.split_whitespace();
    let Some(program) = words.next() else { return false };
    let mut command = std::process::Command::new(program);
    // Long lines are not folded; the text stays on the screen.
    command.args(words).env("LESS", std::env::var("LESS").unwrap_or_else(|_| "SRX".into())).stdin(Stdio::piped());
    let Ok(mut child) = command.spawn() else { return false };
    if let Some(mut input) = child.stdin.take() {
        // A pager that its user quits does not read all.
        let _quit = input.write_all(text);
    }
    child.wait().is_ok()
}

/// Shows where in a statement its mistake is, if the error says so.
pub fn show_place(statement: &str, error: &anyhow::Error) {
    if let Some(place) = caret(statement, &format!("{error:#}")) {
        eprintln!("{place}");
    }
}

/// The line of a statement in which a mistake is, with a caret below it, if the message says where.
fn caret(statement: &str, message: &str) -> Option<String> {
    let (_, place) = message.rsplit_once("(line ")?;
    let (line, column) = place.split_once(')')?.0.split_once(", column ")?;
    let (line, column): (usize, usize) = (line.parse().ok()?, column.parse().ok()?);
    let text = statement.lines().nth(line.checked_sub(1)?)?;
    let before: String = text.chars().take(column.checked_sub(1)?).collect();
    // Tabs stay, so that both lines have them.
    let gap: String = before
        .chars()
        .map(|c| if c == '\t' { c.to_string() } else { " ".repeat(console::measure_text_width(&c.to_string())) })
        .collect();
    Some(format!("{text}\n{gap}^"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_is_below_the_mistake() {
        let check = |statement: &str, message: &str, expected: Option<&str>| {
            assert_eq!(caret(statement, message).as_deref(), expected, "{message}");
        };
        check("SELECT a\nFROM 상품 WHER", "SQL: wrong (line 2, column 9)", Some("FROM 상품 WHER\n          ^"));
        check("\tSELEKT", "SQL: wrong (line 1, column 2)", Some("\tSELEKT\n\t^"));
        check("SELECT", "there is no table x", None);
        check("SELECT", "wrong (line 7, column 1)", None);
        check("SELECT", "wrong (line 0, column 0)", None);
    }

    #[test]
    fn the_name_of_a_file_decides_its_format() {
        for (name, format) in [
            ("a.csv", Format::Csv),
            ("a.PARQUET", Format::Parquet),
            ("a.jsonl", Format::Ndjson),
            ("a.md", Format::Markdown),
            ("a.txt", Format::Table),
            ("a", Format::Table),
        ] {
            assert_eq!(format_of(Path::new(name), Format::Table), format, "{name}");
        }
    }
}
