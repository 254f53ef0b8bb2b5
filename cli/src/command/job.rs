//! `bergmill job`: lists pipelines, runs one for a date, shows what has run.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bergmill_jobs::{Interval, Pipeline, RunOptions, run as run_pipeline, shipped, status};
use chrono::NaiveDate;
use clap::Subcommand;

use crate::cluster::Target;
use crate::progress::{Display, seconds};
use crate::query::FrontDoor;

/// Arguments of `job`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    /// Folder of your own pipelines, each a folder with a pipeline.toml
    #[arg(long, env = "BERGMILL_PIPELINES", value_name = "DIR", global = true)]
    pipelines: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the pipelines
    List,
    /// Run a pipeline for a date; the results of an earlier run for that date are replaced
    Run {
        /// The pipeline
        name: String,
        /// The date, for example 2026-02-14
        #[arg(long, value_name = "DATE", value_parser = date)]
        date: NaiveDate,
        /// Run only this step, over the tables that other steps filled earlier; may be repeated
        #[arg(long = "step", value_name = "NAME")]
        steps: Vec<String>,
        /// A parameter of the pipeline, as name=value; may be repeated
        #[arg(long = "set", value_name = "NAME=VALUE")]
        parameters: Vec<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Show which dates each table of a pipeline holds, and when they were written
    Status {
        /// The pipeline [default: all]
        name: Option<String>,
        #[command(flatten)]
        target: Target,
    },
}

/// Runs the subcommand.
pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let mut pipelines = shipped()?;
    if let Some(folder) = &arguments.pipelines {
        pipelines.extend(Pipeline::load_all(folder)?);
    }
    match arguments.verb {
        Verb::List => {
            for pipeline in &pipelines {
                println!("{:20} {}", pipeline.name, pipeline.description);
                for step in &pipeline.steps {
                    println!("  {:30} {}", step.name, step.description);
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Run { name, date, steps, parameters, target } => {
            let pipeline = named(&pipelines, &name)?;
            let pipeline = if steps.is_empty() { pipeline.clone() } else { pipeline.only(&steps)? };
            let connected = target.open().await?;
            let mut options = RunOptions::new(connected.folder.join("reports"), connected.folder.join("exports"));
            options.parameters = self::parameters(&parameters)?;
            let display = Display::new();
            let query = FrontDoor(connected.client.clone());
            let record = run_pipeline(&pipeline, Interval::of(date), &query, &options, &display).await?;
            for report in &record.reports {
                print!("{}", report.text);
                for file in &report.files {
                    println!("report {}", file.display());
                }
            }
            for file in record.steps.iter().flat_map(|s| &s.files) {
                if !record.reports.iter().any(|r| r.files.contains(file)) {
                    println!("export {}", file.display());
                }
            }
            let outcome = if record.succeeded() { "done" } else { "FAILED" };
            eprintln!("{name} {date}: {outcome} in {}", seconds(record.duration));
            Ok(if record.succeeded() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Verb::Status { name, target } => {
            let selected: Vec<&Pipeline> = match &name {
                Some(name) => vec![named(&pipelines, name)?],
                None => pipelines.iter().collect(),
            };
            let connected = target.open().await?;
            let query = FrontDoor(connected.client.clone());
            for pipeline in selected {
                println!("{}", pipeline.name);
                for table in status(pipeline, &query).await? {
                    if table.intervals.is_empty() {
                        println!("  {:36} never", table.table.to_string());
                    }
                    for done in &table.intervals {
                        let rows = done.rows.map_or(String::new(), |n| format!("{n} rows, "));
                        println!(
                            "  {:36} {}  {rows}{}",
                            table.table.to_string(),
                            done.interval.date(),
                            done.at.format("%Y-%m-%d %H:%M:%S UTC")
                        );
                    }
                }
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn named<'a>(pipelines: &'a [Pipeline], name: &str) -> Result<&'a Pipeline> {
    match pipelines.iter().find(|p| p.name == name) {
        Some(pipeline) => Ok(pipeline),
        None => {
            let names: Vec<_> = pipelines.iter().map(|p| p.name.as_str()).collect();
            bail!("pipeline {name} not found; there are {}", names.join(", "))
        }
    }
}

/// A date as `YYYY-MM-DD`.
pub fn date(text: &str) -> Result<NaiveDate, String> {
    let interval = text.parse::<Interval>().map_err(|e| format!("{text} is not a date like 2026-02-14: {e}"))?;
    Ok(interval.date())
}

/// `name=value` pairs; a value that is not TOML is text.
fn parameters(pairs: &[String]) -> Result<toml::Table> {
    let mut table = toml::Table::new();
    for pair in pairs {
        let (name, value) = pair.split_once('=').with_context(|| format!("--set {pair} is not name=value"))?;
        let parsed = format!("v = {value}").parse::<toml::Table>().ok().and_then(|mut t| t.remove("v"));
        table.insert(name.to_string(), parsed.unwrap_or_else(|| toml::Value::String(value.to_string())));
    }
    Ok(table)
}
