//! Decides whether the user of a statement may run it.
//!
//! What a statement reads is decided where its tables are found, in the session's
//! [`NamespaceCatalog`](bergmill_catalog::NamespaceCatalog). Here, each kind of statement names the privileges that it
//! needs to write. A statement about a table of which the user may not know ends as if there were none.

use std::sync::Arc;

use bergmill_access::Rights;
use bergmill_catalog::{Guard, QualifiedName};
use bergmill_gateway::{Caller, IngestMode};
use bergmill_statement::{Alteration, Ddl, Privilege, TableName};
use datafusion::common::TableReference;
use datafusion::logical_expr::WriteOp;
use datafusion::logical_expr::dml::{MergeIntoAction, MergeIntoOp};

use crate::define::qualified;
use crate::error::{Error, ErrorKind, Result};
use crate::process::Scheduler;
use crate::session::StatementSession;
use crate::statement::{CreateTable, InsertMode, Planned};
use crate::write::identifier;

impl Scheduler {
    /// What a caller may do: everything, if it is an administrator, or where nobody has to log in.
    pub(crate) async fn guard(&self, caller: Option<&Caller>) -> Result<Guard> {
        let rights = match caller {
            Some(caller) if !caller.is_admin => self.users()?.rights(&caller.user).await?,
            _ => Arc::new(Rights::unrestricted()),
        };
        Ok(Guard::new(rights, self.access.clone()))
    }
}

/// What to do with a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Run,
    /// It ends without an effect, such as `DROP TABLE IF EXISTS` of a table that is not there.
    NoEffect,
}

impl StatementSession {
    /// The statement, if its user may run it.
    pub(crate) async fn admit(&self, mut planned: Planned) -> Result<Planned> {
        if self.is_unrestricted() {
            return Ok(planned);
        }
        let decision = match &mut planned {
            // Their tables were found by planning them.
            Planned::Query(_) | Planned::ExplainAnalyze(_) | Planned::NoEffect => Decision::Run,
            // Each of them decides itself. Options are those of the user's own session.
            Planned::Users(_) | Planned::Set(_) | Planned::Kill(_) => Decision::Run,
            Planned::Insert(insert) => {
                let needed: &[Privilege] = match insert.mode {
                    InsertMode::Append => &[Privilege::Insert],
                    InsertMode::Overwrite | InsertMode::OverwritePartitions(_) => {
                        &[Privilege::Insert, Privilege::Delete]
                    }
                };
                self.needs(&self.identifier(&insert.table)?, needed).await?
            }
            Planned::ChangeReferences { table, .. } => {
                self.needs(&self.identifier(table)?, &[Privilege::Alter]).await?
            }
            Planned::ChangeRows { statement, .. } => {
                self.needs(&self.identifier(&statement.table_name)?, &of_row_change(&statement.op)).await?
            }
            Planned::Truncate { table, .. } => self.needs(&self.identifier(table)?, &[Privilege::Delete]).await?,
            Planned::CreateTable(create) => self.may_create_table(create).await?,
            Planned::CreateNamespace { name, if_not_exists, .. } => match self.sees_namespace(name).await? {
                true if *if_not_exists => Decision::NoEffect,
                _ => return Err(self.only_admin("create namespaces")),
            },
            Planned::DropTable { name, if_exists } => self.may_drop(name, *if_exists).await?,
            Planned::DropNamespace { name, if_exists } => match self.sees_namespace(name).await? {
                false if *if_exists => Decision::NoEffect,
                _ => return Err(self.only_admin("drop namespaces")),
            },
            Planned::Define(ddl) => self.may_define(ddl).await?,
        };
        Ok(if decision == Decision::Run { planned } else { Planned::NoEffect })
    }

    /// The mode of a bulk ingest, if the user may run it. A table of which it may not know is only created: the ingest
    /// fails if it exists.
    pub(crate) async fn admit_ingest(&self, table: &QualifiedName, mode: IngestMode) -> Result<IngestMode> {
        if self.is_unrestricted() {
            return Ok(mode);
        }
        let seen = self.sees(table).await?;
        match mode {
            IngestMode::Append => {
                self.needs(table, &[Privilege::Insert]).await?;
            }
            IngestMode::CreateAppend if seen => {
                self.needs(table, &[Privilege::Insert]).await?;
                return Ok(IngestMode::Append);
            }
            IngestMode::Replace if seen => {
                self.needs(table, &[Privilege::Insert, Privilege::Delete]).await?;
            }
            IngestMode::Create | IngestMode::CreateAppend | IngestMode::Replace => {
                self.tables.check_namespace(&table.namespace(), Privilege::Create).await?;
                return Ok(IngestMode::Create);
            }
        }
        Ok(mode)
    }

    async fn needs(&self, table: &QualifiedName, privileges: &[Privilege]) -> Result<Decision> {
        self.tables.check(table, privileges.iter().copied().collect()).await?;
        Ok(Decision::Run)
    }

    /// Like [`needs`](Self::needs), but with `if_exists` it is no error if the user may not know of the table.
    async fn needs_if_exists(
        &self,
        table: &QualifiedName,
        privileges: &[Privilege],
        if_exists: bool,
    ) -> Result<Decision> {
        match self.needs(table, privileges).await {
            Err(e) if if_exists && e.kind() == ErrorKind::NotFound => Ok(Decision::NoEffect),
            other => other,
        }
    }

    async fn may_drop(&self, table: &TableReference, if_exists: bool) -> Result<Decision> {
        self.needs_if_exists(&self.identifier(table)?, &[Privilege::Drop], if_exists).await
    }

    async fn may_create_table(&self, create: &mut CreateTable) -> Result<Decision> {
        let clauses = &create.clauses;
        if clauses.location.is_some() || clauses.properties.keys().any(|key| is_location(key)) {
            return Err(self.only_admin(CHOOSE_LOCATIONS));
        }
        let name = self.identifier(&create.name)?;
        self.may_create(&name, create.if_not_exists, &mut create.or_replace).await
    }

    /// Whether a table or view can be created. One of which the user may not know is not replaced: the statement fails
    /// because the name is taken.
    async fn may_create(&self, name: &QualifiedName, if_not_exists: bool, or_replace: &mut bool) -> Result<Decision> {
        let seen = self.sees(name).await?;
        if seen && if_not_exists {
            return Ok(Decision::NoEffect);
        }
        self.tables.check_namespace(&name.namespace(), Privilege::Create).await?;
        if seen && *or_replace {
            return self.needs(name, &[Privilege::Drop]).await;
        }
        *or_replace = false;
        Ok(Decision::Run)
    }

    async fn may_define(&self, ddl: &mut Ddl) -> Result<Decision> {
        match ddl {
            Ddl::AlterTable { table, if_exists, alteration } => {
                if let Alteration::SetProperties(properties) = alteration
                    && properties.keys().any(|key| is_location(key))
                {
                    return Err(self.only_admin(CHOOSE_LOCATIONS));
                }
                self.needs_if_exists(&self.qualified(table)?, &[Privilege::Alter], *if_exists).await
            }
            // What `DROP` and `CREATE` do. In another namespace, its grants are for the table too, so the user must
            // have what these could give.
            Ddl::RenameTable { table, if_exists, to } => {
                let from = self.qualified(table)?;
                let to = if to.namespace.is_some() { self.qualified(to)? } else { from.beside(&to.table) };
                let needed: &[Privilege] = match to.namespace() == from.namespace() {
                    true => &[Privilege::Alter, Privilege::Drop],
                    false => &Privilege::OF_TABLES,
                };
                match self.needs_if_exists(&from, needed, *if_exists).await? {
                    Decision::NoEffect => Ok(Decision::NoEffect),
                    Decision::Run => {
                        self.tables.check_namespace(&to.namespace(), Privilege::Create).await?;
                        Ok(Decision::Run)
                    }
                }
            }
            Ddl::Comment { table, is_view: _, text: _ } => {
                self.needs(&self.qualified(table)?, &[Privilege::Alter]).await
            }
            Ddl::CreateView(view) => {
                let name = self.qualified(&view.name)?;
                self.may_create(&name, view.if_not_exists, &mut view.or_replace).await
            }
            Ddl::DropView { view, if_exists } => {
                self.needs_if_exists(&self.qualified(view)?, &[Privilege::Drop], *if_exists).await
            }
        }
    }

    async fn sees(&self, table: &QualifiedName) -> Result<bool> {
        match self.tables.check_seen(table).await {
            Err(e) if e.kind() == bergmill_catalog::ErrorKind::NotFound => Ok(false),
            other => Ok(other.map(|()| true)?),
        }
    }

    async fn sees_namespace(&self, namespace: &str) -> Result<bool> {
        Ok(self.tables.namespaces().await?.iter().any(|known| known.to_string() == namespace))
    }

    /// The table to which a name refers.
    fn identifier(&self, name: &TableReference) -> Result<QualifiedName> {
        identifier(name, &self.settings.namespace)
    }

    /// The table or view to which a name refers.
    fn qualified(&self, name: &TableName) -> Result<QualifiedName> {
        qualified(name, &self.settings.namespace)
    }

    fn is_unrestricted(&self) -> bool {
        self.caller.as_ref().is_none_or(|caller| caller.is_admin)
    }

    fn only_admin(&self, what: &str) -> Error {
        let user = self.caller.as_ref().map_or("", |caller| caller.user.as_str());
        only_admin(user, what)
    }
}

const CHOOSE_LOCATIONS: &str = "choose where files are kept";

/// The error of a user who is no administrator.
pub(crate) fn only_admin(user: &str, what: &str) -> Error {
    Error::new(ErrorKind::Forbidden, format!("user {user} may not {what}: only administrators may"))
}

/// Whether a table property is the location of files, which could be that of another table.
fn is_location(property: &str) -> bool {
    property.starts_with("write.") && property.ends_with(".path")
}

/// The privileges that a `DELETE`, `UPDATE` or `MERGE` needs. Each reads the table, as its count of rows shows.
fn of_row_change(op: &WriteOp) -> Vec<Privilege> {
    let of_op: Vec<Privilege> = match op {
        WriteOp::Delete => vec![Privilege::Delete],
        WriteOp::Update => vec![Privilege::Update],
        WriteOp::MergeInto(merge) => of_merge(merge),
        // Not a change of rows, or one that a later DataFusion adds: everything is needed.
        _ => Privilege::OF_TABLES.to_vec(),
    };
    of_op.into_iter().chain([Privilege::Select]).collect()
}

fn of_merge(merge: &MergeIntoOp) -> Vec<Privilege> {
    let of_action = |action: &MergeIntoAction| match action {
        MergeIntoAction::Update(_) => Privilege::Update,
        MergeIntoAction::Insert { .. } => Privilege::Insert,
        MergeIntoAction::Delete => Privilege::Delete,
    };
    merge.clauses.iter().map(|clause| of_action(&clause.action)).collect()
}
