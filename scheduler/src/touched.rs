//! Notes which tables a statement reads and changes, for the audit.

use bergmill_catalog::QualifiedName;
use bergmill_statement::{Ddl, TableName, identifier as sql_name};
use datafusion::common::TableReference;

use crate::define::qualified;
use crate::session::StatementSession;
use crate::statement::Planned;
use crate::write::identifier;

impl StatementSession {
    /// Notes the tables that planning has found, and those that the statement changes, if it could be planned.
    pub(crate) fn note_tables(&self, planned: Option<&Planned>) {
        let changed = planned.map(|planned| self.changed(planned)).unwrap_or_default();
        let mut read = self.tables.found();
        read.retain(|table| !changed.contains(table));
        self.record.touches(read, changed);
    }

    fn changed(&self, planned: &Planned) -> Vec<String> {
        let default = &self.settings.namespace;
        // A name in another catalog is an error, and no table.
        let reference = |name: &TableReference| identifier(name, default).ok();
        let name = |name: &TableName| qualified(name, default).ok();
        let names = match planned {
            Planned::Insert(insert) => [reference(&insert.table), None],
            Planned::ChangeReferences { table, .. } | Planned::Truncate { table, .. } => [reference(table), None],
            Planned::ChangeRows { statement, .. } => [reference(&statement.table_name), None],
            Planned::CreateTable(create) => [reference(&create.name), None],
            Planned::DropTable { name, .. } => [reference(name), None],
            Planned::Define(ddl) => match ddl.as_ref() {
                Ddl::AlterTable { table, .. } | Ddl::Comment { table, .. } => [name(table), None],
                Ddl::RenameTable { table, to, .. } => {
                    let beside = || name(table).map(|table| table.beside(&to.table));
                    [name(table), if to.namespace.is_some() { name(to) } else { beside() }]
                }
                Ddl::CreateView(view) => [name(&view.name), None],
                Ddl::DropView { view, .. } => [name(view), None],
            },
            Planned::Query(_)
            | Planned::ExplainAnalyze(_)
            | Planned::CreateNamespace { .. }
            | Planned::DropNamespace { .. }
            | Planned::Users(_)
            | Planned::Set(_)
            | Planned::Kill(_)
            | Planned::NoEffect => [None, None],
        };
        names.iter().flatten().map(in_sql).collect()
    }
}

/// A name as statements have it.
pub(crate) fn in_sql(name: &QualifiedName) -> String {
    format!("{}.{}", sql_name(&name.namespace()), sql_name(name.name()))
}
