use arrow::compute::SortOptions;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};

use super::*;

#[tokio::test]
async fn a_plan_survives_the_codec() {
    let table = Table::new(shop(), shop_layout());
    let plan = IcebergWriteExec::try_new(input(vec![vec![events(0, 96)]]), Arc::new(table.spec())).unwrap();
    let bytes = encode(&plan).unwrap();
    let decoded = decode(&bytes, Arc::clone(plan.input())).unwrap();
    let decoded = decoded.downcast_ref::<IcebergWriteExec>().unwrap();
    assert_eq!(decoded.spec(), plan.spec());
    assert_eq!(decoded.required_input_ordering(), plan.required_input_ordering());
    assert!(decode(b"{}", Arc::clone(plan.input())).is_err());
}

#[tokio::test]
async fn the_rest_of_the_plan_survives_the_codec_too() {
    use datafusion_proto::bytes::{physical_plan_from_bytes, physical_plan_to_bytes};
    let table = Table::new(shop(), shop_layout());
    let plan =
        plan_write(input(vec![vec![events(0, 8)], vec![events(0, 8)]]), &table.spec(), &ConfigOptions::default())
            .unwrap();
    let sorted = plan.children()[0];
    let session = SessionContext::new();
    session.register_udf(partition_udf());
    let decoded =
        physical_plan_from_bytes(&physical_plan_to_bytes(Arc::clone(sorted)).unwrap(), &session.task_ctx()).unwrap();
    let shown = |plan: &Arc<dyn ExecutionPlan>| displayable(plan.as_ref()).indent(false).to_string();
    assert_eq!(shown(&decoded), shown(sorted));
    // The decoded order still satisfies the write.
    let again = plan_write(decoded, &table.spec(), &ConfigOptions::default()).unwrap();
    assert!(again.children()[0].is::<SortExec>(), "{}", shown(&again));
    assert!(!again.children()[0].children()[0].is::<SortExec>(), "{}", shown(&again));
}

#[test]
fn a_plan_distributes_and_sorts_only_as_needed() {
    let check = |layout: Layout, tasks: usize, expected: &str| {
        let table = Table::new(shop(), layout);
        let parts = vec![vec![events(0, 8)]; tasks];
        let mut config = ConfigOptions::default();
        config.execution.target_partitions = 4;
        let plan = plan_write(input(parts), &table.spec(), &config).unwrap();
        let mut names = Vec::new();
        let mut next = Some(&plan);
        while let Some(node) = next {
            names.push(format!("{}:{}", node.name(), node.output_partitioning().partition_count()));
            next = node.children().first().copied();
        }
        assert_eq!(names.join(" "), expected);
    };
    check(Layout::default(), 2, "IcebergWriteExec:2 DataSourceExec:2");
    check(shop_layout(), 1, "IcebergWriteExec:1 SortExec:1 DataSourceExec:1");
    check(shop_layout(), 2, "IcebergWriteExec:4 SortExec:4 RepartitionExec:4 DataSourceExec:2");
    let mode = |mode| Layout { properties: vec![("write.distribution-mode", mode)], ..shop_layout() };
    check(mode("none"), 2, "IcebergWriteExec:2 SortExec:2 DataSourceExec:2");
    let unpartitioned = Layout { partitions: vec![], ..shop_layout() };
    check(unpartitioned, 2, "IcebergWriteExec:2 SortExec:2 DataSourceExec:2");
}

#[test]
fn the_optimizer_keeps_the_order_of_a_write() {
    let table = Table::new(shop(), shop_layout());
    let config = SessionConfig::new().with_target_partitions(4);
    let session = SessionContext::new_with_config(config.clone()).state();
    let bare = IcebergWriteExec::try_new(input(vec![vec![events(0, 8)]; 2]), Arc::new(table.spec())).unwrap();
    let planned = plan_write(input(vec![vec![events(0, 8)]; 2]), &table.spec(), config.options()).unwrap();
    let bare: Arc<dyn ExecutionPlan> = Arc::new(bare);
    for plan in [bare, planned] {
        let optimized = optimize(plan, &session);
        let shown = displayable(optimized.as_ref()).indent(false).to_string();
        assert!(shown.contains("SortExec") && shown.contains("RepartitionExec: partitioning=Hash"), "{shown}");
        assert_eq!(shown.matches("SortExec").count(), 1, "{shown}");
    }
}

#[test]
fn sorted_rows_are_written_by_one_task() {
    let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(4)).state();
    let check = |layout: Layout, by: &[(&str, bool)], expected: &str| {
        let table = Table::new(shop(), layout);
        let rows = input(vec![vec![events(0, 8)]; 2]);
        let order = by.iter().map(|(name, descending)| {
            let options = SortOptions { descending: *descending, nulls_first: !descending };
            PhysicalSortExpr::new(col(name, &rows.schema()).unwrap(), options)
        });
        let rows = Arc::new(SortExec::new(LexOrdering::new(order).unwrap(), rows));
        let plan = optimize(plan_write(rows, &table.spec(), session.config_options()).unwrap(), &session);
        let names =
            |node: &Arc<dyn ExecutionPlan>| format!("{}:{}", node.name(), node.output_partitioning().partition_count());
        let mut found = vec![names(&plan)];
        let mut next = plan.children().first().copied();
        while let Some(node) = next {
            found.push(names(node));
            next = node.children().first().copied();
        }
        assert_eq!(found.join(" "), "IcebergWriteExec:1 SortPreservingMergeExec:1 SortExec:2 DataSourceExec:2");
        let shown = displayable(plan.as_ref()).indent(false).to_string();
        assert!(shown.contains(&format!("SortExec: expr=[{expected}")), "{shown}");
    };
    let unpartitioned = || Layout { partitions: vec![], ..shop_layout() };
    check(Layout::default(), &[("product_id", true)], "product_id@2 DESC NULLS LAST");
    check(unpartitioned(), &[("ts", false), ("product_id", true), ("event_type", false)], "ts@0 ASC, product_id@2");
    // The table's own order decides.
    check(unpartitioned(), &[("product_id", true)], "ts@0 ASC, product_id@2");
}

fn optimize(plan: Arc<dyn ExecutionPlan>, session: &datafusion::execution::SessionState) -> Arc<dyn ExecutionPlan> {
    let rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> = PhysicalOptimizer::new().rules;
    rules.iter().fold(plan, |plan, rule| rule.optimize(plan, session.config_options()).unwrap())
}

#[test]
fn a_write_returns_one_column_of_text() {
    let table = Table::new(shop(), shop_layout());
    let plan = plan_write(input(vec![vec![events(0, 8)]]), &table.spec(), &ConfigOptions::default()).unwrap();
    assert_eq!(*plan.schema(), ArrowSchema::new(vec![Field::new(DATA_FILE_COLUMN, DataType::Utf8, false)]));
}
