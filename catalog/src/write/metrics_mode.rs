//! Table properties `write.metadata.metrics.*`: which metrics a manifest keeps of each column.

use std::collections::HashMap;
use std::str::FromStr;

use super::WriteSpec;
use crate::error::{Error, ErrorKind, Result};

/// The metrics that a manifest keeps of a column: properties `write.metadata.metrics.default` and
/// `...metrics.column.<name>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetricsMode {
    None,
    Counts,
    /// Bounds of strings and binaries are truncated to this many characters or bytes.
    Truncate(usize),
    Full,
}

impl FromStr for MetricsMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim().to_lowercase();
        let width = || text.strip_prefix("truncate(")?.strip_suffix(')')?.trim().parse().ok().filter(|n| *n > 0);
        match text.as_str() {
            "none" => Ok(Self::None),
            "counts" => Ok(Self::Counts),
            "full" => Ok(Self::Full),
            _ => width().map(Self::Truncate).ok_or_else(|| {
                Error::new(
                    ErrorKind::Invalid,
                    format!("{text} is not a metrics mode; use none, counts, truncate(16) or full"),
                )
            }),
        }
    }
}

/// The modes of a table's columns.
#[derive(Debug)]
pub(super) struct MetricsModes {
    default: MetricsMode,
    columns: HashMap<i32, MetricsMode>,
}

impl MetricsModes {
    pub(super) fn of(spec: &WriteSpec) -> Result<Self> {
        let default = match spec.property("write.metadata.metrics.default") {
            Some(text) => text.parse()?,
            None => MetricsMode::Truncate(16),
        };
        let own = spec.column_properties("write.metadata.metrics.column.");
        let own = own.filter_map(|(column, mode)| Some((spec.schema.field_by_name(column)?.id, mode)));
        let columns = own.map(|(id, mode)| Ok((id, mode.parse()?))).collect::<Result<_>>()?;
        Ok(Self { default, columns })
    }

    pub(super) fn of_column(&self, id: i32) -> MetricsMode {
        self.columns.get(&id).copied().unwrap_or(self.default)
    }
}

/// Bytes that Parquet must keep of a string's minimum and maximum for these modes; `None` for all of them.
pub(super) fn statistics_bytes(spec: &WriteSpec) -> Result<Option<usize>> {
    /// Default of parquet-rs.
    const USUAL: usize = 64;
    /// Bytes of the longest character in UTF-8.
    const WIDEST: usize = 4;
    let modes = MetricsModes::of(spec)?;
    let of_mode = |mode: &MetricsMode| match mode {
        MetricsMode::None | MetricsMode::Counts => Some(USUAL),
        MetricsMode::Truncate(width) => Some(width.saturating_mul(WIDEST).max(USUAL)),
        MetricsMode::Full => None,
    };
    let widest = modes.columns.values().chain([&modes.default]).map(of_mode).collect::<Option<Vec<_>>>();
    Ok(widest.and_then(|all| all.into_iter().max()))
}
