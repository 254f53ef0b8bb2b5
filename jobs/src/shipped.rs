//! The pipelines embedded in the binary, from `jobs/pipelines/`. They are loaded like a user's folder.

use crate::error::JobError;
use crate::pipeline::{Files, Pipeline};

macro_rules! folder {
    ($name:literal: $($file:literal),* $(,)?) => {
        ($name, &[$(($file, include_str!(concat!("../pipelines/", $name, "/", $file)))),*])
    };
}

type Folder = (&'static str, &'static [(&'static str, &'static str)]);

const FOLDERS: [Folder; 2] = [
    folder!(
        "daily_analytics":
        "pipeline.toml",
        "lexicon.toml",
        "check_data_quality.sql",
        "purchases.sql",
        "daily_sales.sql",
        "category_sales.sql",
        "hourly_traffic.sql",
        "product_conversion.sql",
        "review_mentions.sql",
        "review_sentiment.sql",
        "rating_distribution.sql",
        "product_ratings.sql",
        "daily_metrics.sql",
        "report/report.txt",
        "report/report.md",
        "report/report.html",
    ),
    folder!(
        "daily_report":
        "pipeline.toml",
        "category_stats.sql",
        "hourly_activity.sql",
        "funnel.sql",
        "user_behavior.sql",
        "report.txt",
    ),
];

/// All shipped pipelines.
pub fn shipped() -> Result<Vec<Pipeline>, JobError> {
    FOLDERS.iter().map(load).collect()
}

/// The shipped pipeline of a name.
pub fn shipped_named(name: &str) -> Result<Pipeline, JobError> {
    let folder = FOLDERS.iter().find(|(known, _)| *known == name);
    let known = || FOLDERS.iter().map(|(name, _)| (*name).to_owned()).collect();
    load(folder.ok_or_else(|| JobError::UnknownPipeline { name: name.to_owned(), known: known() })?)
}

fn load((name, files): &Folder) -> Result<Pipeline, JobError> {
    let files: Files = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    Pipeline::from_files(name, &files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_load() {
        for pipeline in shipped().unwrap_or_else(|error| panic!("{error}")) {
            assert!(!pipeline.steps.is_empty(), "{}", pipeline.name);
        }
        let error = shipped_named("daily").unwrap_err().to_string();
        assert_eq!(error, "there is no pipeline \"daily\"; known pipelines: daily_analytics, daily_report");
    }
}
