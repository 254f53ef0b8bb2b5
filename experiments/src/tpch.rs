//! The tables of TPC-H as streams of batches, from the generator that DataFusion's own benchmarks use.

use arrow::array::RecordBatchReader;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow, SupplierArrow,
};

/// Batches generated ahead of the one being read.
const BATCHES_AHEAD: usize = 4;

/// A table of TPC-H.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TpchTable {
    /// `lineitem`, six million rows at scale factor 1.
    LineItem,
    /// `orders`, one and a half million.
    Orders,
    /// `partsupp`, 800,000.
    PartSupp,
    /// `part`, 200,000.
    Part,
    /// `customer`, 150,000.
    Customer,
    /// `supplier`, 10,000.
    Supplier,
    /// `nation`, 25 at any scale.
    Nation,
    /// `region`, 5 at any scale.
    Region,
}

/// All tables, the largest first.
pub const TPCH_TABLES: [TpchTable; 8] = [
    TpchTable::LineItem,
    TpchTable::Orders,
    TpchTable::PartSupp,
    TpchTable::Part,
    TpchTable::Customer,
    TpchTable::Supplier,
    TpchTable::Nation,
    TpchTable::Region,
];

impl TpchTable {
    /// The name in SQL, without the namespace.
    pub fn name(self) -> &'static str {
        match self {
            Self::LineItem => "lineitem",
            Self::Orders => "orders",
            Self::PartSupp => "partsupp",
            Self::Part => "part",
            Self::Customer => "customer",
            Self::Supplier => "supplier",
            Self::Nation => "nation",
            Self::Region => "region",
        }
    }
}

/// The rows of one table at scale factor `scale`. The same scale always has the same rows.
pub fn tpch_table(table: TpchTable, scale: f64) -> SendableRecordBatchStream {
    match table {
        TpchTable::LineItem => stream(LineItemArrow::new(LineItemGenerator::new(scale, 1, 1))),
        TpchTable::Orders => stream(OrderArrow::new(OrderGenerator::new(scale, 1, 1))),
        TpchTable::PartSupp => stream(PartSuppArrow::new(PartSuppGenerator::new(scale, 1, 1))),
        TpchTable::Part => stream(PartArrow::new(PartGenerator::new(scale, 1, 1))),
        TpchTable::Customer => stream(CustomerArrow::new(CustomerGenerator::new(scale, 1, 1))),
        TpchTable::Supplier => stream(SupplierArrow::new(SupplierGenerator::new(scale, 1, 1))),
        TpchTable::Nation => stream(NationArrow::new(NationGenerator::new(scale, 1, 1))),
        TpchTable::Region => stream(RegionArrow::new(RegionGenerator::new(scale, 1, 1))),
    }
}

fn stream(batches: impl RecordBatchReader + Send + 'static) -> SendableRecordBatchStream {
    let mut builder = RecordBatchReceiverStream::builder(batches.schema(), BATCHES_AHEAD);
    let sender = builder.tx();
    builder.spawn_blocking(move || {
        for batch in batches {
            if sender.blocking_send(batch.map_err(Into::into)).is_err() {
                // The reader is gone: the load failed and reports why.
                break;
            }
        }
        Ok(())
    });
    builder.build()
}
