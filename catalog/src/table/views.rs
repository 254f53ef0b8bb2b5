//! Views, stored as in the Iceberg View Specification: a metadata file per change, and a pointer in the catalog to the
//! newest. The query is stored as text in Bergmill's SQL dialect; a view of another engine is listed, but can only be
//! read if it has a representation in this dialect too.

use std::collections::HashMap;

use arrow::datatypes::Schema as ArrowSchema;
use iceberg::spec::{
    NestedField, Schema, SqlViewRepresentation, ViewFormatVersion, ViewMetadata, ViewMetadataBuilder,
    ViewRepresentation, ViewRepresentations, ViewVersion,
};
use iceberg::{NamespaceIdent, TableIdent};
use uuid::Uuid;

use crate::bridge;
use crate::error::{Error, ErrorKind, Result};
use crate::pointers::store::{ViewChange, ViewEntry, check_name, check_namespace, missing};
use crate::table::Warehouse;
use crate::table::evolve::COMMENT;

/// The dialect of our representation of a view.
pub const DIALECT: &str = "bergmill";

/// Number of attempts to change a view's pointer when concurrent commits win.
const TRIES: usize = 10;

/// A view at the time it was loaded.
#[derive(Debug, Clone)]
pub struct View {
    ident: TableIdent,
    location: String,
    metadata: ViewMetadata,
}

/// The definition of a new view.
#[derive(Debug, Clone)]
pub struct NewView {
    /// The columns of its query, with the view's names.
    pub columns: ArrowSchema,
    /// Comments of columns, by name.
    pub docs: HashMap<String, String>,
    /// Its query, which returns exactly these columns.
    pub sql: String,
    /// Namespace of tables that the query names without one.
    pub default_namespace: String,
    /// Properties; the view's comment is one of them.
    pub properties: HashMap<String, String>,
}

impl NewView {
    /// What determines its rows, apart from its tables: two views with the same definition are the same query.
    pub fn definition(&self) -> String {
        definition(&self.default_namespace, &self.sql)
    }
}

fn definition(default_namespace: &str, sql: &str) -> String {
    // No name has a NUL.
    format!("{default_namespace}\0{sql}")
}

impl View {
    /// `namespace.view`.
    pub fn ident(&self) -> &TableIdent {
        &self.ident
    }

    /// Its identity, which no other view ever has.
    pub fn id(&self) -> String {
        self.metadata.uuid().to_string()
    }

    /// What determines its rows, apart from its tables; see [`NewView::definition`].
    ///
    /// # Errors
    /// `Unsupported` if it only has representations in other dialects.
    pub fn definition(&self) -> Result<String> {
        Ok(definition(&self.default_namespace().to_string(), self.sql()?))
    }

    /// Its query.
    ///
    /// # Errors
    /// `Unsupported` if it only has representations in other dialects.
    pub fn sql(&self) -> Result<&str> {
        let all = self.metadata.current_version().representations();
        let ours = all.iter().find_map(|ViewRepresentation::Sql(r)| (r.dialect == DIALECT).then_some(r.sql.as_str()));
        ours.ok_or_else(|| {
            let others: Vec<_> = all.iter().map(|ViewRepresentation::Sql(r)| r.dialect.as_str()).collect();
            let what = format!("view {} has no {DIALECT} SQL, only that of {}", self.ident, others.join(", "));
            Error::new(ErrorKind::Unsupported, what)
        })
    }

    /// Namespace of tables that its query names without one.
    pub fn default_namespace(&self) -> &NamespaceIdent {
        self.metadata.current_version().default_namespace()
    }

    /// Its columns at the time it was created.
    pub fn columns(&self) -> Result<ArrowSchema> {
        bridge::plain_arrow_schema(self.metadata.current_schema())
    }

    /// The comments of its columns, by name.
    pub fn docs(&self) -> HashMap<String, String> {
        let fields = self.metadata.current_schema().as_struct().fields();
        fields.iter().filter_map(|f| Some((f.name.clone(), f.doc.clone()?))).collect()
    }

    /// Its properties.
    pub fn properties(&self) -> &HashMap<String, String> {
        self.metadata.properties()
    }

    /// Its comment.
    pub fn comment(&self) -> Option<&str> {
        self.properties().get(COMMENT).map(String::as_str)
    }
}

impl Warehouse {
    /// The current view, if there is such a view.
    pub async fn find_view(&self, view: &TableIdent) -> Result<Option<View>> {
        let Some(ViewEntry { location, metadata }) = self.catalog().find_view(view).await? else { return Ok(None) };
        let metadata = match metadata {
            Some(metadata) => metadata,
            None => self.read_view(&location).await.map_err(|e| e.context(format_args!("view {view}")))?,
        };
        Ok(Some(View { ident: view.clone(), location, metadata }))
    }

    /// The current view.
    ///
    /// # Errors
    /// `NotFound` if there is no such view.
    pub async fn load_view(&self, view: &TableIdent) -> Result<View> {
        match self.find_view(view).await? {
            Some(found) => Ok(found),
            None => Err(self.view_not_found(view).await),
        }
    }

    /// Creates a view. `AlreadyExists` if there is a table of that name, or a view and `or_replace` is `false`.
    pub async fn create_view(&self, view: &TableIdent, new: NewView, or_replace: bool) -> Result<()> {
        check_namespace(view.namespace())?;
        check_name("view", view.name())?;
        for _ in 0..TRIES {
            let present = self.find_view(view).await?;
            let invalid = |e| Error::new(ErrorKind::Invalid, format!("view {view}")).with_source(e);
            match present {
                Some(_) if !or_replace => return Err(taken(view)),
                Some(present) => {
                    let builder = present.metadata.clone().into_builder();
                    let builder = builder.set_current_version(version(&new)?, schema(&new)?).map_err(invalid)?;
                    let builder = builder.set_properties(new.properties.clone()).map_err(invalid)?;
                    if self.swap_view(&present, builder).await? {
                        return Ok(());
                    }
                }
                None => {
                    let location = self.new_location(view).await?;
                    let (version, properties) = (version(&new)?, new.properties.clone());
                    let format = ViewFormatVersion::V1;
                    let builder = ViewMetadataBuilder::new(location, schema(&new)?, version, format, properties);
                    let built = builder.and_then(ViewMetadataBuilder::build).map_err(invalid)?;
                    let at = self.write_view(&built.metadata, 0).await?;
                    let (metadata, updates) = (&built.metadata, built.changes.as_slice());
                    let change = ViewChange { view, base: None, location: &at, metadata, updates };
                    let Err(e) = self.catalog().create_view(&change).await else { return Ok(()) };
                    if e.kind() == ErrorKind::Unknown {
                        return Err(e);
                    }
                    self.discard_view(at).await;
                    // A view of that name was created concurrently, which the next attempt replaces; or it is a table.
                    let replaceable = or_replace
                        && e.kind() == ErrorKind::AlreadyExists
                        && self.catalog().view_pointer(view).await?.is_some();
                    if !replaceable {
                        return Err(e);
                    }
                }
            }
        }
        Err(contended(view))
    }

    /// Sets or removes the comment of a view.
    pub async fn comment_view(&self, view: &TableIdent, text: Option<String>) -> Result<()> {
        for _ in 0..TRIES {
            let present = self.load_view(view).await?;
            let builder = present.metadata.clone().into_builder();
            let builder = match &text {
                Some(text) => builder.set_properties(HashMap::from([(COMMENT.to_string(), text.clone())]))?,
                None => builder.remove_properties(&[COMMENT.to_string()]),
            };
            if self.swap_view(&present, builder).await? {
                return Ok(());
            }
        }
        Err(contended(view))
    }

    /// Removes the view from the catalog; its files stay.
    pub async fn drop_view(&self, view: &TableIdent) -> Result<()> {
        match self.catalog().remove_view(view).await {
            Err(e) if e.kind() == ErrorKind::NotFound => Err(self.view_not_found(view).await),
            other => other,
        }
    }

    async fn swap_view(&self, present: &View, builder: ViewMetadataBuilder) -> Result<bool> {
        let built = builder
            .build()
            .map_err(|e| Error::new(ErrorKind::Invalid, format!("view {}", present.ident)).with_source(e))?;
        if built.changes.is_empty() {
            return Ok(true);
        }
        let number = present.location.rsplit('/').next().unwrap_or_default();
        let number = number.split('-').next().and_then(|n| n.parse::<u32>().ok()).map_or(1, |n| n.saturating_add(1));
        let at = self.write_view(&built.metadata, number).await?;
        let change = ViewChange {
            view: &present.ident,
            base: Some((&present.location, &present.metadata)),
            location: &at,
            metadata: &built.metadata,
            updates: &built.changes,
        };
        let swapped = self.catalog().commit_view(&change).await;
        let unused = match &swapped {
            Ok(swapped) => !swapped,
            Err(e) => e.kind() != ErrorKind::Unknown,
        };
        if unused {
            self.discard_view(at).await;
        }
        swapped
    }

    async fn discard_view(&self, location: String) {
        if !self.catalog().writes_metadata() {
            self.discard([location]).await;
        }
    }

    async fn read_view(&self, location: &str) -> Result<ViewMetadata> {
        let bytes = self.file_io().new_input(location)?.read().await?;
        serde_json::from_slice(&bytes).map_err(|e| {
            Error::new(ErrorKind::Corrupt, format!("metadata file {location} cannot be read")).with_source(e)
        })
    }

    /// Writes a metadata file, unless the catalog will do so.
    async fn write_view(&self, metadata: &ViewMetadata, number: u32) -> Result<String> {
        let at = format!("{}/metadata/{number:05}-{}.metadata.json", metadata.location(), Uuid::new_v4());
        if self.catalog().writes_metadata() {
            return Ok(at);
        }
        let internal = |e| Error::new(ErrorKind::Internal, format!("writing metadata file {at}")).with_source(e);
        let json = serde_json::to_vec(metadata).map_err(internal)?;
        let write = async {
            let mut writer = self.file_io().new_output(&at)?.writer().await?;
            writer.write(json.into()).await?;
            writer.close().await
        };
        write.await.map_err(|e| Error::from(e).context(format!("writing metadata file {at}")))?;
        Ok(at)
    }

    async fn view_not_found(&self, view: &TableIdent) -> Error {
        if let Ok(Some(_)) = self.catalog().pointer(view).await {
            return Error::new(ErrorKind::NotFound, format!("{view} is a table, not a view"));
        }
        // An error while finding a hint is ignored.
        let known = self.catalog().views(view.namespace()).await.unwrap_or_default();
        missing::view(view, &known)
    }
}

fn contended(view: &TableIdent) -> Error {
    let what = format!(
        "view {view}: gave up after {TRIES} attempts, because other writers committed first; run the statement again"
    );
    Error::new(ErrorKind::Conflict, what)
}

fn taken(view: &TableIdent) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("{view} already exists"))
}

fn schema(new: &NewView) -> Result<Schema> {
    let plain = bridge::iceberg_schema(&bridge::optional(&new.columns))?;
    let fields = plain.as_struct().fields().iter().map(|field| match new.docs.get(&field.name) {
        Some(text) => NestedField::clone(field).with_doc(text).into(),
        None => field.clone(),
    });
    let built = Schema::builder().with_fields(fields).build();
    built.map_err(|e| Error::new(ErrorKind::Invalid, "the columns of a view need distinct names").with_source(e))
}

fn version(new: &NewView) -> Result<ViewVersion> {
    let sql = SqlViewRepresentation { sql: new.sql.clone(), dialect: DIALECT.to_string() };
    // The crate has no other public constructor for them.
    let representations: std::result::Result<ViewRepresentations, _> =
        serde_json::to_value([ViewRepresentation::Sql(sql)]).and_then(serde_json::from_value);
    let summary = [("engine-name", DIALECT), ("engine-version", env!("CARGO_PKG_VERSION"))];
    Ok(ViewVersion::builder()
        .with_schema_id(0)
        .with_timestamp_ms(chrono::Utc::now().timestamp_millis())
        .with_summary(summary.map(|(k, v)| (k.to_string(), v.to_string())).into())
        .with_representations(
            representations
                .map_err(|e| Error::new(ErrorKind::Internal, "encoding the SQL of a view").with_source(e))?,
        )
        .with_default_namespace(NamespaceIdent::from_strs(new.default_namespace.split('.'))?)
        .build())
}
