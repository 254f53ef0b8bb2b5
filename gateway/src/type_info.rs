//! The SQL types of columns (GetXdbcTypeInfo), which JDBC tools use for their type lists.

use std::sync::LazyLock;

use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};

use XdbcDataType::*;

/// All types; a call may request those of one code.
pub(crate) static TYPE_INFO: LazyLock<XdbcTypeInfoData> = LazyLock::new(|| {
    let mut types = XdbcTypeInfoDataBuilder::new();
    types.append(plain("BOOLEAN", XdbcBit, 1));
    types.append(number("INT", XdbcInteger, 32));
    types.append(number("BIGINT", XdbcBigint, 64));
    types.append(number("REAL", XdbcReal, 24));
    types.append(number("DOUBLE", XdbcDouble, 53));
    types.append(XdbcTypeInfo {
        create_params: Some(vec!["precision".into(), "scale".into()]),
        num_prec_radix: Some(10),
        minimum_scale: Some(0),
        maximum_scale: Some(38),
        fixed_prec_scale: true,
        ..number("DECIMAL", XdbcDecimal, 38)
    });
    types.append(XdbcTypeInfo { case_sensitive: true, ..quoted("VARCHAR", XdbcVarchar, i32::MAX, "'") });
    types.append(quoted("VARBINARY", XdbcVarbinary, i32::MAX, "X'"));
    types.append(XdbcTypeInfo {
        // In the protocol "date" has the number of "year", and prost keeps one name per number.
        datetime_subcode: Some(XdbcDatetimeSubcode::XdbcSubcodeYear),
        sql_data_type: XdbcDatetime,
        ..quoted("DATE", XdbcDate, 10, "DATE '")
    });
    types.append(XdbcTypeInfo {
        datetime_subcode: Some(XdbcDatetimeSubcode::XdbcSubcodeTime),
        sql_data_type: XdbcDatetime,
        ..quoted("TIME", XdbcTime, 15, "TIME '")
    });
    types.append(XdbcTypeInfo {
        datetime_subcode: Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp),
        sql_data_type: XdbcDatetime,
        ..quoted("TIMESTAMP", XdbcTimestamp, 26, "TIMESTAMP '")
    });
    // The types are constants: a failure here is a mistake in the lines above, which any test finds.
    types.build().expect("the types above fit the builder's columns")
});

fn plain(name: &str, code: XdbcDataType, size: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.to_owned(),
        data_type: code,
        sql_data_type: code,
        column_size: Some(size),
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Full,
        local_type_name: Some(name.to_owned()),
        ..XdbcTypeInfo::default()
    }
}

fn number(name: &str, code: XdbcDataType, bits: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        unsigned_attribute: Some(false),
        auto_increment: Some(false),
        num_prec_radix: Some(2),
        ..plain(name, code, bits)
    }
}

fn quoted(name: &str, code: XdbcDataType, size: i32, prefix: &str) -> XdbcTypeInfo {
    XdbcTypeInfo {
        literal_prefix: Some(prefix.to_owned()),
        literal_suffix: Some("'".to_owned()),
        ..plain(name, code, size)
    }
}
